"""Models built by a user's function: ``--model package.module:factory``, or a declared name.

A factory is a function without arguments that returns a module with these members::

    forward(x)            normalized float [B, T, 3, H, W] to logits [B, classes]
    layout()              schema.AttentionLayout: how it attends
    attention_layers()    {(role, block): layer}; a layer is a models.layers.TapAttention, or
                          calls models.taps.record(self, q, k, v, out, x) in its forward pass;
                          ("block", n) is a module that calls record(self, tokens) with the output
                          tokens of block n
    input                 schema.ModelInput: the input it expects
    labels                names of its classes
    problem_type          what its logits mean, in Hugging Face's terms; optional: by default
                          regression for one output, else single_label_classification

Importing a module runs its code. Import paths are therefore accepted only on the command line and
in Python, and entry points only from installed packages: ``[project.entry-points."staa.models"]``,
``my-model = "package.module:factory"``. A declared function may also return a `Manifest` of weights
that the package contains, as staa's own do.
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
    """Load a model that is declared or registered under `name`.

    Raises:
        UnavailableError: the declared factory cannot be imported, fails, or returns no model.
        CheckpointError: weights that do not fit, or an unknown problem_type.
    """
    factory, package = MODELS.get(name), of_packages().get(name)
    source = name if package is None else package.target
    result = _call(factory, source)
    if not isinstance(result, Manifest):
        return _module(result, source), describe(
            result, name, source, f"the model from {source}", factory
        )
    module, info = open_bundled(replace(result, name=name))
    return module, info if package is None else replace(info, source=source)


def open_custom_model(factory: str) -> tuple[nn.Module, ModelInfo]:
    """Import and call a factory; returns its module and the module's description.

    Args:
        factory: ``package.module:factory``, on Python's module path or in the current folder.

    Raises:
        UnavailableError: there is no such function, it fails, or its module lacks a required
            member.
        CheckpointError: an unknown problem_type.
    """
    function = load_reference(factory, "function")
    result = _call(function, factory)
    return _module(result, factory), describe(
        result, factory, factory, f"the result of {factory}", function
    )


def describe(
    module: Any, name: str, source: str, subject: str, *factories: Callable[[], Any]
) -> ModelInfo:
    """Describe a user-defined module.

    Args:
        module: with the members listed above.
        name: its name in the report.
        source: where it comes from.
        subject: what error messages call it.
        factories: functions that built it; their code is part of the digest.

    Raises:
        UnavailableError: a required member is missing or invalid.
        CheckpointError: an unknown problem_type.
    """
    for member in ("layout", "attention_layers", "input", "labels"):
        if not hasattr(module, member):
            raise _unfit(subject, f"has no {member}")
    layout, model_input, labels = module.layout(), module.input, tuple(map(str, module.labels))
    if not isinstance(layout, AttentionLayout) or not isinstance(model_input, ModelInput):
        raise _unfit(subject, "it needs a schema.AttentionLayout and a schema.ModelInput")
    if not labels:
        raise _unfit(subject, "has no classes")
    return ModelInfo(
        name=name,
        family="own",
        source=source,
        weights_sha256=digest(module, *factories),
        license="not stated",
        note="",
        input=model_input,
        layout=layout,
        labels=labels,
        parameters=sum(parameter.numel() for parameter in module.parameters()),
        output=output_of(getattr(module, "problem_type", None), len(labels), source),
    )


def _call(factory: Callable[[], Any], source: str) -> Any:
    try:
        return factory()
    except StaaError:
        raise
    except Exception as error:  # user code may raise anything
        raise UnavailableError(
            f"{source} failed: {type(error).__name__}: {error}",
            "expected a function without arguments; -vv shows where it failed",
        ) from error


def _module(result: Any, source: str) -> nn.Module:
    if not isinstance(result, nn.Module):
        raise _unfit(
            f"the result of {source}", f"is a {type(result).__name__}, not a torch.nn.Module"
        )
    return result


def _unfit(subject: str, why: str) -> UnavailableError:
    return UnavailableError(f"{subject} {why}", "see 'A model of your own' in docs/models.md")


def digest(module: nn.Module, *factories: Callable[[], Any]) -> str:
    """SHA-256 of all named tensors and of user code: equal digests mean equal results."""
    codes = (code_sha256(code) for code in (type(module), *factories))
    sha256 = hashlib.sha256("".join(codes).encode())
    for name, value in module.state_dict().items():
        sha256.update(name.encode())
        sha256.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return sha256.hexdigest()
