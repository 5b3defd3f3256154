"""The places that weights come from, each opened to a module and what is known of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from timm.models import is_model_in_modules, model_entrypoint
from timm.models import list_models as list_architectures
from torch import nn

from staa_cli.errors import CheckpointError, UsageError
from staa_cli.files import sha256_of
from staa_cli.models.cards import Card
from staa_cli.models.checkpoints import find_weights, fit, read_json, read_weights
from staa_cli.models.dialects import State
from staa_cli.models.families import FAMILIES, Family, family_of_config, family_of_state
from staa_cli.models.labels import labels_from_config, placeholder_labels
from staa_cli.models.preprocess import processor_input
from staa_cli.registry import did_you_mean
from staa_cli.schema import ModelInfo

Opened = tuple[nn.Module, ModelInfo]

_PROCESSORS = ("video_preprocessor_config.json", "preprocessor_config.json")


def architectures(pattern: str = "*") -> list[str]:
    """Names of the registered architectures of every family that match a shell-style pattern."""
    return [name for f in FAMILIES.names() for name in list_architectures(pattern, module=f)]


def family_of_arch(arch: str) -> str:
    """Name of the family that a registered architecture belongs to.

    Raises:
        UsageError: there is no such architecture.
    """
    for family in FAMILIES.names():
        if is_model_in_modules(arch, [family]):
            return family
    known = architectures()
    raise UsageError(
        f"unknown architecture {arch!r}", did_you_mean(arch, known) or f"there are: {known}"
    )


def open_bundled(card: Card) -> Opened:
    """A card in, the model that it describes out."""
    FAMILIES.get(card.family)  # imports the family, which registers its architectures with timm
    module = _build(model_entrypoint(card.arch), {"num_classes": len(card.labels), **card.kwargs})
    fit(module, read_weights([card.weights]), card.weights.name)
    return module, ModelInfo(
        name=card.name,
        family=card.family,
        source="bundled",
        weights_sha256=sha256_of(card.weights),
        licence=card.licence,
        note=card.note,
        input=card.input,
        layout=module.layout(),
        labels=card.labels,
        parameters=_parameters(module),
        background=card.background,
    )


def open_random(arch: str) -> Opened:
    """An architecture in, with weights from seed 0 out; none is zero, or hides what it does."""
    family = family_of_arch(arch)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = model_entrypoint(arch)()
        for parameter in module.parameters():
            parameter.data += 0.1 * torch.randn_like(parameter)
    sha256 = hashlib.sha256()
    for value in module.state_dict().values():
        sha256.update(value.numpy().tobytes())
    return module, ModelInfo(
        name=arch,
        family=family,
        source="random weights, seed 0",
        weights_sha256=sha256.hexdigest(),
        licence="none",
        note="random weights, for tests: what it says means nothing",
        input=replace(FAMILIES.get(family).input(module), stride=1, rate=4.0),
        layout=module.layout(),
        labels=placeholder_labels(module.num_classes),
        parameters=_parameters(module),
    )


def open_folder(folder: Path, arch: str | None) -> Opened:
    """A Hugging Face folder in, its model out: config, weights, processor, and labels."""
    if not (folder / "config.json").is_file():
        raise CheckpointError(
            f"{folder} has no config.json", "give a folder as Hugging Face saves it, or one file"
        )
    config = read_json(folder / "config.json")
    family = family_of_config(config)
    files = find_weights(folder)
    module, info = _open_checkpoint(folder, files, family, arch, config)
    given, declared = info.input, config.get("num_frames", info.input.frames)
    processor = next((folder / n for n in _PROCESSORS if (folder / n).is_file()), None)
    if processor is not None:
        given = processor_input(read_json(processor), given)
    note = ""
    if declared != given.frames:
        note = f"config.json says {declared} frames, the weights {given.frames}: the weights hold"
    labels = labels_from_config(config, len(info.labels))
    return module, replace(info, input=given, labels=labels, note=note)


def open_file(path: Path, arch: str | None) -> Opened:
    """A checkpoint file in, its model out, as far as the shapes of its tensors tell."""
    return _open_checkpoint(path, (path,), None, arch, None)


def _open_checkpoint(
    path: Path,
    files: tuple[Path, ...],
    family_name: str | None,
    arch: str | None,
    config: Mapping[str, Any] | None,
) -> Opened:
    tensors = read_weights(files)
    family_name = family_name or family_of_state(tensors, str(path))
    family = FAMILIES.get(family_name)
    state = family.convert(tensors)
    module = _build_for(family, state, arch, config)
    fit(module, state, str(path))
    return module, ModelInfo(
        name=path.resolve().name,
        family=family_name,
        source=str(path),
        weights_sha256=sha256_of(*files),
        licence=family.licence,
        note="",
        input=family.input(module),
        layout=module.layout(),
        labels=placeholder_labels(module.num_classes),
        parameters=_parameters(module),
    )


def _build_for(
    family: Family, state: State, arch: str | None, config: Mapping[str, Any] | None
) -> Any:
    if arch is not None:
        family_of_arch(arch)
        return _build(model_entrypoint(arch), family.measured(state))
    if config is None:
        return _build(family.build, family.from_state(state))
    return _build(family.build, {**family.from_config(config), **family.measured(state)})


def _build(build: Callable[..., nn.Module], arguments: dict[str, Any]) -> Any:
    """A module without memory behind its parameters: the checkpoint brings that."""
    try:
        with torch.device("meta"):
            return build(**arguments)
    except (TypeError, ValueError, ArithmeticError, AssertionError, RuntimeError) as error:
        told = ", ".join(f"{name}={value}" for name, value in arguments.items())
        raise CheckpointError(f"no model can be built from {told}: {error}") from error


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
