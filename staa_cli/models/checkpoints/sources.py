"""The places that weights come from, each opened to a module and what is known of it."""

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
    FAMILIES.get(manifest.family)  # which registers its architectures
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
    """Build an architecture with random weights from seed 0; none of them is zero."""
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
    """A checkpoint in one file or several, its model out, as far as the tensors' shapes tell."""
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
    """Load the image model ``timm:NAME``, applied to a frame at a time, with timm's weights.

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
    """A checkpoint as it was found, before its weights are put into the module."""

    path: Path
    files: tuple[Path, ...]
    family: str
    license: str
    arguments: dict[str, Any]
    """What the module was built from."""
    module: Any
    """Without memory behind its parameters."""
    state: State
    """All tensors under our names."""
    left_out: tuple[str, ...]
    """Names of tensors that have no part in a decision."""
    unwrapping: str
    """What was done to the tensors' names, for a refusal; empty where nothing was."""
    input: ModelInput
    layout: AttentionLayout
    labels: tuple[str, ...]
    output: Output
    note: str


def examine_bundled(manifest: Manifest) -> Examined:
    """A manifest's weights to what is in them."""
    arguments = {"num_classes": len(manifest.labels), **manifest.kwargs}
    FAMILIES.get(manifest.family)  # which registers its architectures
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
    """A Hugging Face or timm folder to what is in it.

    Raises:
        CheckpointError: it is none, or of no supported family.
    """
    refuse_adapter(folder, sorted(file.name for file in folder.iterdir()))
    if not (folder / "config.json").is_file():
        raise CheckpointError(
            f"{folder} has no config.json", "give a folder saved by Hugging Face, or a single file"
        )
    config = read_json(folder / "config.json")
    family = family_of_config(config) if arch is None else family_of_arch(arch)
    found = _examine(folder, find_weights(folder), family, arch, config)
    return configured(found, config, partial(read_processor, folder))


def configured(
    found: Examined, config: Mapping[str, Any], read: Callable[..., tuple[ModelInput, str]]
) -> Examined:
    """A checkpoint with what its config and its processor say of frames, pixels, and classes.

    Args:
        found: as its weights tell it.
        config: Hugging Face's or timm's.
        read: what reads the processor: given the family's classes of processors, and the input that
            holds where it says nothing, it returns its input and a note for the user.

    Raises:
        CheckpointError: they contradict the weights.
    """
    notes, declared = [found.note], config.get("num_frames", found.input.frames)
    if declared != found.input.frames:
        frames = found.input.frames
        notes = [
            f"config.json says {declared} frames, but the weights are for {frames}; the "
            "weights are used"
        ]
    processors = FAMILIES.get(found.family).processors
    if processors is not None:
        given, note = read(processors, found.input)
        found, stretched = _cropped(found, given)
        notes += [note, stretched]
    labels = labels_from_config(config, found.labels)
    return replace(found, labels=labels, note="; ".join(filter(None, notes)))


def _cropped(found: Examined, given: ModelInput) -> tuple[Examined, str]:
    """A checkpoint whose pictures come as its processor makes them, and what to say of that.

    Raises:
        CheckpointError: the model does not take pictures of that size.
    """
    own, wanted, layout = found.input.size, given.size, found.layout
    if own == wanted:
        return replace(found, input=given), ""
    made = (
        f"the processor's crop_size (or size, without a crop) produces pictures of {_told(wanted)}"
    )
    sizes = f"{made}, but the weights are for {_told(own)}"
    patch = own[0] // layout.grid[1]
    if not FAMILIES.get(found.family).any_crop:
        raise CheckpointError(
            f"{found.path}: {sizes}, and {found.family} models accept no other size",
            "set it to the image_size in config.json",
        )
    if any(side % patch for side in wanted):
        raise CheckpointError(f"{found.path}: {made}, which do not divide into patches of {patch}")
    layout = replace(layout, grid=(layout.grid[0], wanted[0] // patch, wanted[1] // patch))
    note = f"{sizes}: position embeddings are interpolated or extended"
    return replace(found, input=given, layout=layout), note


def _told(size: tuple[int, int]) -> str:
    return f"{size[1]} x {size[0]}"


def files_of(name: str) -> tuple[Path, ...]:
    """``a.pt`` or ``encoder.pt,probe.pt`` to the files, () where one of them is none."""
    paths = tuple(Path(part).expanduser() for part in name.split(","))
    if Path(name).expanduser().is_file():
        return (Path(name).expanduser(),)
    return paths if all(path.is_file() for path in paths) else ()


def examine_files(paths: tuple[Path, ...], arch: str | None) -> Examined:
    """A checkpoint's file, or an encoder's and its probe's, to what is in it.

    Raises:
        CheckpointError: it is none, or of no supported family.
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
    # Shards are one model; an encoder and its probe were saved apart, each in its own wrapping.
    parts = [files] if config is not None else [(file,) for file in files]
    opened = [unwrapped(read_weights(part), family_name) for part in parts]
    tensors = {name: tensor for part in opened for name, tensor in part.tensors.items()}
    unwrapping = "".join(part.told for part in opened)
    family_name = family_name or family_of_state(tensors, str(path), unwrapping)
    found = examine_tensors(path, tensors, family_name, arch, config, unwrapping)
    beside = (name for part in opened for name in part.left_out)
    return replace(found, files=files, left_out=(*found.left_out, *beside))


def examine_tensors(
    path: Path,
    tensors: State,
    family_name: str,
    arch: str | None,
    config: Mapping[str, Any] | None,
    unwrapping: str = "",
) -> Examined:
    """Tensors under the names of any dialect to what is in them.

    Args:
        path: where they come from, for people.
        tensors: of one model of that family.
        family_name: in `FAMILIES`.
        arch: architecture, where somebody has said it.
        config: Hugging Face's or timm's, where there is one.
        unwrapping: what was done to their names, for a refusal.

    Raises:
        CheckpointError: they are of no model that is supported.
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


def load_examined(found: Examined) -> Opened:
    """The module with its weights in it, and what is known of it.

    Raises:
        CheckpointError: they do not fit.
    """
    fit(found.module, found.state, str(found.path), found.unwrapping)
    return found.module, ModelInfo(
        name=found.path.resolve().name,
        family=found.family,
        source=str(found.path),
        weights_sha256=sha256_of(*found.files),
        license=found.license,
        note=found.note,
        input=found.input,
        layout=found.layout,
        labels=found.labels,
        parameters=_parameters(found.module),
        output=found.output,
    )


def _recipe(
    family: Family, state: State, arch: str | None, config: Mapping[str, Any] | None
) -> tuple[Callable[..., nn.Module], dict[str, Any]]:
    """What builds the module, and from what."""
    if arch is not None and arch.startswith(TIMM):
        from staa_cli.models.families.framewise.key_map import timm_name

        return family.build, {"architecture": timm_name(arch), **family.measured(state)}
    if arch is not None:
        return ARCHITECTURES.get(arch).build, family.measured(state)
    if config is None:
        return family.build, family.from_state(state)
    return family.build, {**family.from_config(config), **family.measured(state)}


def _build(build: Callable[..., nn.Module], arguments: dict[str, Any]) -> Any:
    """A module without memory behind its parameters: the checkpoint brings that."""
    patch = arguments.get("patch_size", 1)
    if any(side % patch for side in pair(arguments.get("img_size", patch))):
        raise CheckpointError(
            f"pictures of {arguments['img_size']} pixels do not divide into patches of {patch}"
        )
    try:
        with torch.device("meta"):
            return build(**arguments)
    except (TypeError, ValueError, ArithmeticError, AssertionError, RuntimeError) as error:
        told = ", ".join(f"{name}={value}" for name, value in arguments.items())
        raise CheckpointError(f"cannot build a model from {told}: {error}") from error


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
