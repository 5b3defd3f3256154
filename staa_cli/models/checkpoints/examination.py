"""Examine a checkpoint: which model it holds, with which input and classes.

The module is built with parameters on the meta device, and the tensors are read under our names;
`sources.load_examined` puts the ones into the other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from staa_cli.errors import CheckpointError
from staa_cli.models.architectures import ARCHITECTURES, family_of_arch
from staa_cli.models.catalog.manifests import Manifest
from staa_cli.models.catalog.names import TIMM
from staa_cli.models.checkpoints.formats import (
    find_weights,
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
from staa_cli.schema import AttentionLayout, ModelInput, Output


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
