"""Models of the user's own: ``--model package.module:factory``, or an entry point.

A factory is a function without arguments that returns a module. What staa needs of it::

    forward(x)            normalised float [B, T, 3, H, W] to logits [B, classes]
    layout()              schema.AttentionLayout: how it attends
    attention_layers()    {(role, block): layer}; a layer is a models.layers.TapAttention, or
                          calls models.taps.offer(self, q, k, v, out, x) in its forward pass
    input                 schema.ModelInput: what it expects to be fed
    labels                names of its classes
    problem_type          what its logits mean, as Hugging Face names it; may be absent, and is then
                          regression for one output, else single_label_classification

Importing a module runs its code. That is why such a name is taken from the command line and from
Python alone, and an entry point only from a package that is installed: ``[project.entry-points.
"staa.models"]``, ``my-model = "package.module:factory"``.
"""

from __future__ import annotations

import hashlib
import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from staa_cli.errors import StaaError, UnavailableError
from staa_cli.models.heads import output_of
from staa_cli.schema import AttentionLayout, ModelInfo, ModelInput


def open_factory(name: str, factory: str) -> tuple[nn.Module, ModelInfo]:
    """A factory in, the module that it makes and what is known of it out.

    Args:
        name: what the report calls it.
        factory: ``package.module:factory``; found where Python finds modules, and in the current
            folder.

    Raises:
        UnavailableError: there is no such function, it fails, or what it makes is not as described
            above.
        CheckpointError: a problem_type that there is not.
    """
    module = _call(factory)
    for needed in ("layout", "attention_layers", "input", "labels"):
        if not hasattr(module, needed):
            raise _unfit(factory, f"has no {needed}")
    layout, given, labels = module.layout(), module.input, tuple(map(str, module.labels))
    if not isinstance(layout, AttentionLayout) or not isinstance(given, ModelInput):
        raise _unfit(factory, "needs a schema.AttentionLayout and a schema.ModelInput")
    if not labels:
        raise _unfit(factory, "has no classes")
    return module, ModelInfo(
        name=name,
        family="own",
        source=factory,
        weights_sha256=_digest(module),
        licence="not stated",
        note="",
        input=given,
        layout=layout,
        labels=labels,
        parameters=sum(parameter.numel() for parameter in module.parameters()),
        output=output_of(getattr(module, "problem_type", None), len(labels), factory),
    )


def _call(factory: str) -> Any:
    where, _, what = factory.partition(":")
    if (folder := str(Path.cwd())) not in sys.path:
        sys.path.append(folder)
    try:
        make: Callable[[], Any] = getattr(importlib.import_module(where), what)
    except Exception as error:  # whatever somebody's own code meets
        raise UnavailableError(
            f"cannot import {factory}: {error}", "wanted: an importable package.module:function"
        ) from error
    try:
        module = make()
    except StaaError:
        raise
    except Exception as error:
        raise UnavailableError(
            f"{factory} failed: {type(error).__name__}: {error}",
            "wanted: a function without arguments; -vv shows where it failed",
        ) from error
    if not isinstance(module, nn.Module):
        raise _unfit(factory, f"is a {type(module).__name__}, not a torch.nn.Module")
    return module


def _unfit(factory: str, why: str) -> UnavailableError:
    return UnavailableError(
        f"what {factory} makes {why}", "README, 'Add a method, or a model', has it all"
    )


def _digest(module: nn.Module) -> str:
    """Of all tensors by name: equal weights, equal results."""
    digest = hashlib.sha256()
    for name, value in module.state_dict().items():
        digest.update(name.encode())
        digest.update(
            value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes()
        )
    return digest.hexdigest()
