"""Open weights from every supported source as a module and its description."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from staa_cli.errors import CheckpointError, UnavailableError, UsageError
from staa_cli.files import sha256_of
from staa_cli.models.architectures import ARCHITECTURES
from staa_cli.models.catalog.hub import Announce, fetch, revision_of
from staa_cli.models.catalog.manifests import Manifest
from staa_cli.models.catalog.names import HUB, TIMM
from staa_cli.models.checkpoints.formats import (
    find_weights,
    fit,
    read_json,
    read_weights,
    refuse_adapter,
)
from staa_cli.models.checkpoints.key_maps import State
from staa_cli.models.checkpoints.labels import labels_from_config, placeholder_labels
from staa_cli.models.checkpoints.prefixes import unwrapped
from staa_cli.models.checkpoints.processors import read_processor
from staa_cli.models.families.base import FAMILIES, Family, family_of_config, family_of_state
from staa_cli.models.heads import output_of
from staa_cli.models.layers import pair
from staa_cli.registry import did_you_mean
from staa_cli.schema import AttentionLayout, ModelInfo, ModelInput, Output

Opened = tuple[nn.Module, ModelInfo]


def architectures(pattern: str = "*") -> list[str]:
    """Names of the registered architectures of every family that match a shell-style pattern."""
    return ARCHITECTURES.names(pattern)


def family_of_arch(arch: str) -> str:
    """Name of the family that a registered architecture, or ``timm:NAME``, belongs to.

    Raises:
        UsageError: there is no such architecture.
    """
    if arch.startswith(TIMM):
        return "framewise"
    if arch in ARCHITECTURES.names():
        return ARCHITECTURES.get(arch).family
    known = [name for name in architectures() if not name.startswith("test_")]
    raise UsageError(
        f"unknown architecture {arch!r}",
        did_you_mean(arch, known) or f"available: {', '.join(known)}",
    )


def open_bundled(manifest: Manifest) -> Opened:
    """Build the model that a manifest describes, with its weights."""
    arguments = {"num_classes": len(manifest.labels), **manifest.kwargs}
    FAMILIES.get(manifest.family)  # this registers its architectures
    module = _build(ARCHITECTURES.get(manifest.arch).build, arguments)
    fit(module, read_weights([manifest.weights]), manifest.weights.name)
    return module, ModelInfo(
        name=manifest.name,
        family=manifest.family,
        source="bundled",
        weights_sha256=sha256_of(manifest.weights),
        license=manifest.license,
        note=manifest.note,
        input=manifest.input,
        layout=module.layout(),
        labels=manifest.labels,
        parameters=_parameters(module),
        background=manifest.background,
        output=manifest.output,
        random_masks=manifest.random_masks,
    )


def open_random(arch: str) -> Opened:
    """Build an architecture with random nonzero weights from seed 0."""
    family = family_of_arch(arch)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = ARCHITECTURES.get(arch).build()
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
        license="none",
        note="random weights, for tests: its answers are meaningless",
        input=replace(FAMILIES.get(family).input(module), stride=1, rate=4.0),
        layout=module.layout(),
        labels=placeholder_labels(module.num_classes),
        parameters=_parameters(module),
    )


def open_folder(folder: Path, arch: str | None) -> Opened:
    """Load a Hugging Face folder: config, weights, processor, and labels."""
    return load_examined(examine_folder(folder, arch))


def open_files(paths: tuple[Path, ...], arch: str | None) -> Opened:
    """Load a checkpoint from its files, with a configuration from the tensors' shapes."""
    return load_examined(examine_files(paths, arch))


def open_hub(name: str, arch: str | None, offline: bool, announce: Announce) -> Opened:
    """Load a model from the hub: `open_folder` on the folder that `fetch` returns."""
    folder = fetch(name, offline=offline, announce=announce)
    module, info = open_folder(folder, arch)
    repo = name.partition("@")[0]
    return module, replace(
        info, name=repo.split("/")[-1], source=f"{HUB}{repo}@{revision_of(folder)}"
    )


def open_timm(name: str, offline: bool, announce: Announce) -> Opened:
    """Load the image model ``timm:NAME``, applied frame by frame, with timm's weights.

    Raises:
        UnavailableError: timm has no such model, no weights for it, or cannot download them.
    """
    from timm.models import get_pretrained_cfg

    from staa_cli.models.families.framewise.key_map import timm_name

    try:
        short = timm_name(name)
    except UsageError as error:
        raise UnavailableError(error.cause, error.hint) from error
    cfg = get_pretrained_cfg(short)
    if cfg is None or not cfg.hf_hub_id:
        raise UnavailableError(
            f"timm has no weights for {short}", f"give a checkpoint and --arch {name}"
        )
    return open_hub(cfg.hf_hub_id, None, offline, announce)


@dataclass(frozen=True, slots=True, eq=False)
class Examined:
    """A checkpoint before its weights are loaded into the module."""

    path: Path
    files: tuple[Path, ...]
    family: str
    license: str
    arguments: dict[str, Any]
    """Arguments that the module was built with."""
    module: Any
    """With parameters on the meta device."""
    state: State
    """All tensors under our names."""
    left_out: tuple[str, ...]
    """Names of tensors that do not affect the prediction."""
    unwrapping: str
    """How the tensors were renamed, for an error message; empty if they were not."""
    input: ModelInput
    layout: AttentionLayout
    labels: tuple[str, ...]
    output: Output
    note: str


def examine_bundled(manifest: Manifest) -> Examined:
    """Examine the weights of a manifest."""
    arguments = {"num_classes": len(manifest.labels), **manifest.kwargs}
    FAMILIES.get(manifest.family)  # this registers its architectures
    module = _build(ARCHITECTURES.get(manifest.arch).build, arguments)
    return Examined(
        path=manifest.weights,
        files=(manifest.weights,),
        family=manifest.family,
        license=manifest.license,
        arguments={"arch": manifest.arch, **arguments},
        module=module,
        state=read_weights([manifest.weights]),
        left_out=(),
        unwrapping="",
        input=manifest.input,
        layout=module.layout(),
        labels=manifest.labels,
        output=manifest.output,
        note=manifest.note,
    )


def examine_folder(folder: Path, arch: str | None) -> Examined:
    """Examine a Hugging Face or timm folder.

    Raises:
        CheckpointError: it is no such folder, or its family is not supported.
    """
    refuse_adapter(folder, sorted(file.name for file in folder.iterdir()))
    if not (folder / "config.json").is_file():
        raise CheckpointError(
            f"{folder} has no config.json", "give a folder saved by Hugging Face, or a single file"
        )
    config = read_json(folder / "config.json")
    family = family_of_config(config) if arch is None else family_of_arch(arch)
    examined = _examine(folder, find_weights(folder), family, arch, config)
    return configured(examined, config, partial(read_processor, folder))


def configured(
    examined: Examined, config: Mapping[str, Any], read: Callable[..., tuple[ModelInput, str]]
) -> Examined:
    """Apply the config and the processor to a checkpoint: frames, pixels, and classes.

    Args:
        examined: the checkpoint, described from its weights.
        config: Hugging Face's or timm's.
        read: reads the processor: takes the family's default processor classes and the default
            input, returns the model's input and a note for the user.

    Raises:
        CheckpointError: they contradict the weights.
    """
    frames, notes = examined.input.frames, [examined.note]
    declared = config.get("num_frames", frames)
    if declared != frames:
        notes = [
            f"config.json says {declared} frames, but the weights are for {frames}; the "
            "weights are used"
        ]
    processors = FAMILIES.get(examined.family).processors
    if processors is not None:
        model_input, note = read(processors, examined.input)
        examined, size_note = _cropped(examined, model_input)
        notes += [note, size_note]
    labels = labels_from_config(config, examined.labels)
    return replace(examined, labels=labels, note="; ".join(filter(None, notes)))


def _cropped(examined: Examined, model_input: ModelInput) -> tuple[Examined, str]:
    """A checkpoint with the frame size of its processor, and a note if that changes it.

    Raises:
        CheckpointError: the model does not support that frame size.
    """
    trained, cropped, layout = examined.input.size, model_input.size, examined.layout
    if trained == cropped:
        return replace(examined, input=model_input), ""
    produces = (
        "the processor's crop_size (or size, without a crop) produces pictures of "
        f"{_width_by_height(cropped)}"
    )
    sizes = f"{produces}, but the weights are for {_width_by_height(trained)}"
    patch = trained[0] // layout.grid[1]
    if not FAMILIES.get(examined.family).any_crop:
        raise CheckpointError(
            f"{examined.path}: {sizes}, and {examined.family} models accept no other size",
            "set it to the image_size in config.json",
        )
    if any(side % patch for side in cropped):
        raise CheckpointError(
            f"{examined.path}: {produces}, which do not divide into patches of {patch}"
        )
    layout = replace(layout, grid=(layout.grid[0], cropped[0] // patch, cropped[1] // patch))
    note = f"{sizes}: position embeddings are interpolated or extended"
    return replace(examined, input=model_input, layout=layout), note


def _width_by_height(size: tuple[int, int]) -> str:
    return f"{size[1]} x {size[0]}"


def files_of(name: str) -> tuple[Path, ...]:
    """The files of ``a.pt`` or ``encoder.pt,probe.pt``; () if one does not exist."""
    paths = tuple(Path(part).expanduser() for part in name.split(","))
    if Path(name).expanduser().is_file():
        return (Path(name).expanduser(),)
    return paths if all(path.is_file() for path in paths) else ()


def examine_files(paths: tuple[Path, ...], arch: str | None) -> Examined:
    """Examine a checkpoint's file, or an encoder's and its probe's.

    Raises:
        CheckpointError: it is no checkpoint, or its family is not supported.
    """
    family = None if arch is None else family_of_arch(arch)
    return _examine(paths[0], paths, family, arch, None)


def _examine(
    path: Path,
    files: tuple[Path, ...],
    family_name: str | None,
    arch: str | None,
    config: Mapping[str, Any] | None,
) -> Examined:
    # Shards are one model; an encoder and its probe were saved separately, with their own prefixes.
    parts = [files] if config is not None else [(file,) for file in files]
    opened = [unwrapped(read_weights(part), family_name) for part in parts]
    tensors = {name: tensor for part in opened for name, tensor in part.tensors.items()}
    unwrapping = "".join(part.detail for part in opened)
    family_name = family_name or family_of_state(tensors, str(path), unwrapping)
    examined = examine_tensors(path, tensors, family_name, arch, config, unwrapping)
    training_only = (name for part in opened for name in part.left_out)
    return replace(examined, files=files, left_out=(*examined.left_out, *training_only))


def examine_tensors(
    path: Path,
    tensors: State,
    family_name: str,
    arch: str | None,
    config: Mapping[str, Any] | None,
    unwrapping: str = "",
) -> Examined:
    """Examine tensors in any of the family's naming schemes.

    Args:
        path: where they come from, for errors.
        tensors: of one model of that family.
        family_name: in `FAMILIES`.
        arch: architecture, if the user gave one.
        config: Hugging Face's or timm's, if there is one.
        unwrapping: how they were renamed, for an error message.

    Raises:
        CheckpointError: the model is not supported.
    """
    family = FAMILIES.get(family_name)
    left_out = tuple(name for name in tensors if name.startswith(family.left_out or ("\0",)))
    state = family.convert({n: tensor for n, tensor in tensors.items() if n not in left_out})
    try:
        build, arguments = _recipe(family, state, arch, config)
    except CheckpointError as error:
        raise CheckpointError(f"{error.cause}{unwrapping}", error.hint) from error
    if config is None:
        arguments = {**arguments, **family.from_original_names(tensors)}
    module = _build(build, arguments)
    output = output_of((config or {}).get("problem_type"), module.num_classes, "config.json")
    return Examined(
        path=path,
        files=(),
        family=family_name,
        license=family.license,
        arguments=arguments,
        module=module,
        state=state,
        left_out=left_out,
        unwrapping=unwrapping,
        layout=module.layout(),
        input=family.input(module),
        labels=family.labels(module) or placeholder_labels(module.num_classes, output),
        output=output,
        note=family.note,
    )


def load_examined(examined: Examined) -> Opened:
    """Load the weights into the module; returns it with its description.

    Raises:
        CheckpointError: they do not fit.
    """
    fit(examined.module, examined.state, str(examined.path), examined.unwrapping)
    return examined.module, ModelInfo(
        name=examined.path.resolve().name,
        family=examined.family,
        source=str(examined.path),
        weights_sha256=sha256_of(*examined.files),
        license=examined.license,
        note=examined.note,
        input=examined.input,
        layout=examined.layout,
        labels=examined.labels,
        parameters=_parameters(examined.module),
        output=examined.output,
    )


def _recipe(
    family: Family, state: State, arch: str | None, config: Mapping[str, Any] | None
) -> tuple[Callable[..., nn.Module], dict[str, Any]]:
    """The function that builds the module, and its arguments."""
    if arch is not None and arch.startswith(TIMM):
        from staa_cli.models.families.framewise.key_map import timm_name

        return family.build, {"architecture": timm_name(arch), **family.measured(state)}
    if arch is not None:
        return ARCHITECTURES.get(arch).build, family.measured(state)
    if config is None:
        return family.build, family.from_state(state)
    return family.build, {**family.from_config(config), **family.measured(state)}


def _build(build: Callable[..., nn.Module], arguments: dict[str, Any]) -> Any:
    """A module with parameters on the meta device; the checkpoint replaces them."""
    patch = arguments.get("patch_size", 1)
    if any(side % patch for side in pair(arguments.get("img_size", patch))):
        raise CheckpointError(
            f"pictures of {arguments['img_size']} pixels do not divide into patches of {patch}"
        )
    try:
        with torch.device("meta"):
            return build(**arguments)
    except (TypeError, ValueError, ArithmeticError, AssertionError, RuntimeError) as error:
        listed = ", ".join(f"{name}={value}" for name, value in arguments.items())
        raise CheckpointError(f"cannot build a model from {listed}: {error}") from error


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
