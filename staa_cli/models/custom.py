"""Models by the function that makes them: ``--model package.module:factory``, or a declared name.

A factory is a function without arguments that returns a module. What staa needs of it::

    forward(x)            normalized float [B, T, 3, H, W] to logits [B, classes]
    layout()              schema.AttentionLayout: how it attends
    attention_layers()    {(role, block): layer}; a layer is a models.layers.TapAttention, or
                          calls models.taps.record(self, q, k, v, out, x) in its forward pass;
                          ("block", n) is for what calls record(self, tokens) with what it leaves
    input                 schema.ModelInput: what it expects to be fed
    labels                names of its classes
    problem_type          what its logits mean, as Hugging Face names it; may be absent, and is then
                          regression for one output, else single_label_classification

Importing a module runs its code. That is why such a name is taken from the command line and from
Python alone, and an entry point only from a package that is installed: ``[project.entry-points.
"staa.models"]``, ``my-model = "package.module:factory"``. A declared function may also return a
`Manifest` of weights that come with the package, as those of staa itself do.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from staa_cli.errors import StaaError, UnavailableError
from staa_cli.models.catalog.manifests import Manifest
from staa_cli.models.catalog.names import MODELS, of_packages
from staa_cli.models.checkpoints.sources import open_bundled
from staa_cli.models.heads import output_of
from staa_cli.references import code_sha256, load_reference
from staa_cli.schema import AttentionLayout, ModelInfo, ModelInput


def open_registered(name: str) -> tuple[nn.Module, ModelInfo]:
    """Load a model that is declared or registered under a name.

    Raises:
        UnavailableError: the declared factory cannot be imported, fails, or returns no model.
        CheckpointError: weights that do not fit, or a problem_type that there is not.
    """
    make, package = MODELS.get(name), of_packages().get(name)
    source = name if package is None else package.target
    made = _make(make, source)
    if not isinstance(made, Manifest):
        return _module(made, source), describe(made, name, source, f"the model from {source}", make)
    module, info = open_bundled(replace(made, name=name))
    return module, info if package is None else replace(info, source=source)


def open_custom_model(factory: str) -> tuple[nn.Module, ModelInfo]:
    """Call a factory by its import path; returns its module and what is known about it.

    Args:
        factory: ``package.module:factory``; found where Python finds modules, and in the current
            folder.

    Raises:
        UnavailableError: there is no such function, it fails, or what it makes is not as described
            above.
        CheckpointError: a problem_type that there is not.
    """
    make = load_reference(factory, "function")
    made = _make(make, factory)
    return _module(made, factory), describe(
        made, factory, factory, f"the result of {factory}", make
    )


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
        raise _unfit(called, "it needs a schema.AttentionLayout and a schema.ModelInput")
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


def _make(make: Callable[[], Any], factory: str) -> Any:
    try:
        return make()
    except StaaError:
        raise
    except Exception as error:  # whatever somebody's own code meets
        raise UnavailableError(
            f"{factory} failed: {type(error).__name__}: {error}",
            "expected a function without arguments; -vv shows where it failed",
        ) from error


def _module(made: Any, factory: str) -> nn.Module:
    if not isinstance(made, nn.Module):
        raise _unfit(
            f"the result of {factory}", f"is a {type(made).__name__}, not a torch.nn.Module"
        )
    return made


def _unfit(called: str, why: str) -> UnavailableError:
    return UnavailableError(f"{called} {why}", "see 'A model of your own' in docs/models.md")


def digest(module: nn.Module, *made_by: Callable[[], Any]) -> str:
    """SHA-256 of all tensors by name, and of code of somebody's own: equal ones, equal results."""
    codes = (code_sha256(code) for code in (type(module), *made_by))
    sha256 = hashlib.sha256("".join(codes).encode())
    for name, value in module.state_dict().items():
        sha256.update(name.encode())
        sha256.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return sha256.hexdigest()
