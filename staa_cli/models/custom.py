"""Models of the user's own: ``--model package.module:factory``, or an entry point.

A factory is a function without arguments that returns a module. What staa needs of it::

    forward(x)            normalized float [B, T, 3, H, W] to logits [B, classes]
    layout()              schema.AttentionLayout: how it attends
    attention_layers()    {(role, block): layer}; a layer is a models.layers.TapAttention, or
                          calls models.taps.record(self, q, k, v, out, x) in its forward pass
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
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from staa_cli.errors import StaaError, UnavailableError
from staa_cli.models.heads import output_of
from staa_cli.references import code_sha256, load_reference
from staa_cli.schema import AttentionLayout, ModelInfo, ModelInput


def open_custom_model(name: str, factory: str) -> tuple[nn.Module, ModelInfo]:
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
    make = load_reference(factory, "function")
    module = _call(factory, make)
    return module, describe(module, name, factory, f"what {factory} makes", make)


def describe(
    module: Any, name: str, source: str, called: str, *made_by: Callable[[], Any]
) -> ModelInfo:
    """What is known of a module of somebody's own.

    Args:
        module: as described above.
        name: what the report calls it.
        source: where it comes from.
        called: what a refusal calls it.
        made_by: what made it, whose code says what it is, too.

    Raises:
        UnavailableError: it is not as described above.
        CheckpointError: a problem_type that there is not.
    """
    for needed in ("layout", "attention_layers", "input", "labels"):
        if not hasattr(module, needed):
            raise _unfit(called, f"has no {needed}")
    layout, given, labels = module.layout(), module.input, tuple(map(str, module.labels))
    if not isinstance(layout, AttentionLayout) or not isinstance(given, ModelInput):
        raise _unfit(called, "needs a schema.AttentionLayout and a schema.ModelInput")
    if not labels:
        raise _unfit(called, "has no classes")
    return ModelInfo(
        name=name,
        family="own",
        source=source,
        weights_sha256=digest(module, *made_by),
        license="not stated",
        note="",
        input=given,
        layout=layout,
        labels=labels,
        parameters=sum(parameter.numel() for parameter in module.parameters()),
        output=output_of(getattr(module, "problem_type", None), len(labels), source),
    )


def _call(factory: str, make: Callable[[], Any]) -> nn.Module:
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
        raise _unfit(
            f"what {factory} makes", f"is a {type(module).__name__}, not a torch.nn.Module"
        )
    return module


def _unfit(called: str, why: str) -> UnavailableError:
    return UnavailableError(f"{called} {why}", "README, 'Add a method, or a model', has it all")


def digest(module: nn.Module, *made_by: Callable[[], Any]) -> str:
    """SHA-256 of all tensors by name, and of code of somebody's own: equal ones, equal results."""
    codes = (code_sha256(code) for code in (type(module), *made_by))
    found = hashlib.sha256("".join(codes).encode())
    for name, value in module.state_dict().items():
        found.update(name.encode())
        found.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return found.hexdigest()
