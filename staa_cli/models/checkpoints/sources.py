"""Open weights from every supported source as a module and its description."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from staa_cli.errors import UnavailableError, UsageError
from staa_cli.files import sha256_of
from staa_cli.models.architectures import ARCHITECTURES, family_of_arch
from staa_cli.models.catalog.hub import Announce, fetch, revision_of
from staa_cli.models.catalog.manifests import Manifest
from staa_cli.models.catalog.names import HUB
from staa_cli.models.checkpoints.examination import (
    Examined,
    examine_bundled,
    examine_files,
    examine_folder,
)
from staa_cli.models.checkpoints.formats import fit
from staa_cli.models.checkpoints.labels import placeholder_labels
from staa_cli.models.families.base import FAMILIES
from staa_cli.schema import ModelInfo

Opened = tuple[nn.Module, ModelInfo]


def open_bundled(manifest: Manifest) -> Opened:
    """Build the model that a manifest describes, with its weights."""
    module, info = load_examined(examine_bundled(manifest))
    return module, replace(
        info,
        name=manifest.name,
        source="bundled",
        background=manifest.background,
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


def files_of(name: str) -> tuple[Path, ...]:
    """The files of ``a.pt`` or ``encoder.pt,probe.pt``; () if one does not exist."""
    paths = tuple(Path(part).expanduser() for part in name.split(","))
    if Path(name).expanduser().is_file():
        return (Path(name).expanduser(),)
    return paths if all(path.is_file() for path in paths) else ()


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


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
