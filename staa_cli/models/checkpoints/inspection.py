"""Describe a checkpoint and check whether its tensors fit, without a forward pass."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from staa_cli.errors import UnavailableError
from staa_cli.models.catalog.hub import Announce, fetch
from staa_cli.models.catalog.manifests import read_manifests
from staa_cli.models.catalog.names import check_name, published, repository
from staa_cli.models.catalog.zoo import ZOO, zoo_manifest, zoo_names
from staa_cli.models.checkpoints.examination import (
    examine_bundled,
    examine_files,
    examine_folder,
)
from staa_cli.models.checkpoints.formats import misfits
from staa_cli.models.checkpoints.sources import files_of
from staa_cli.registry import did_you_mean


def inspect_model(
    name: str,
    *,
    arch: str | None = None,
    offline: bool = False,
    announce: Announce = lambda line: None,
) -> dict[str, Any]:
    """Describe a checkpoint (a folder, a file, or a name on the hub) as plain data.

    Args:
        name: as `load_model` takes it.
        arch: architecture of a checkpoint that does not state it.
        offline: never download.
        announce: called with one line about what is going to be downloaded.

    Raises:
        CheckpointError: it is not a checkpoint, or its family is not supported.
        UnavailableError: there is nothing with that name.
        UsageError: the name is empty.
    """
    check_name(name)
    path, files = Path(name).expanduser(), files_of(name)
    here = bool(files) or path.is_dir()
    manifest = None if here else read_manifests().get(name)
    if name.startswith(ZOO):  # before a path, as `load_model` has it
        manifest = zoo_manifest(name)
    if not here and manifest is None:
        repo = repository(name)
        if repo is None:
            raise UnavailableError(
                f"there is no file or folder {name!r}",
                did_you_mean(name, [*read_manifests(), *published(), *zoo_names()])
                or "give a checkpoint's folder or file, or hf-hub:ORG/NAME",
            )
        path = fetch(repo, offline=offline, announce=announce)
    if manifest is not None:
        path, examined = manifest.weights, examine_bundled(manifest)
    elif files:
        examined = examine_files(files, arch)
    else:
        examined = examine_folder(path, arch)
    faults = misfits(examined.module, examined.state)
    return {
        "path": name if files else str(path),
        "files": [{"name": file.name, "bytes": file.stat().st_size} for file in examined.files],
        "family": examined.family,
        "configuration": examined.arguments,
        "input": asdict(examined.input),
        "attention": asdict(examined.layout),
        "classes": len(examined.labels),
        "labels": list(examined.labels),
        "output": examined.output,
        "parameters": sum(value.numel() for value in examined.module.parameters()),
        "accuracy": None if manifest is None else manifest.accuracy,
        "dataset": manifest.dataset or None if manifest else None,
        "license": examined.license,
        "note": examined.note,
        "left_out": list(examined.left_out),
        **faults,
        "fits": not any(faults.values()),
    }
