"""What a checkpoint is, and which of its tensors fit, without a forward pass."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from staa_cli.errors import UnavailableError
from staa_cli.models.catalog.hub import Announce, fetch
from staa_cli.models.catalog.manifests import read_manifests
from staa_cli.models.catalog.names import check_name, published, repository
from staa_cli.models.catalog.zoo import ZOO, zoo_manifest
from staa_cli.models.checkpoints.formats import misfits
from staa_cli.models.checkpoints.sources import (
    examine_bundled,
    examine_files,
    examine_folder,
    files_of,
)
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
        arch: architecture of a checkpoint that does not say its own.
        offline: never download.
        announce: told what is about to be downloaded.

    Raises:
        CheckpointError: it is not a checkpoint, or its family is not supported.
        UnavailableError: there is nothing of that name.
        UsageError: the name is empty.
    """
    check_name(name)
    path, files = Path(name).expanduser(), files_of(name)
    manifest = zoo_manifest(name) if name.startswith(ZOO) else read_manifests().get(name)
    if not files and not path.is_dir() and manifest is None:
        repo = repository(name)
        if repo is None:
            raise UnavailableError(
                f"there is no file or folder {name!r}",
                did_you_mean(name, [*read_manifests(), *published()])
                or "give a checkpoint's folder or file, or hf-hub:ORG/NAME",
            )
        path = fetch(repo, offline=offline, announce=announce)
    if files:
        found = examine_files(files, arch)
    elif path.is_dir() or manifest is None:
        found = examine_folder(path, arch)
    else:
        path, found = manifest.weights, examine_bundled(manifest)
    faults = misfits(found.module, found.state)
    return {
        "path": name if files else str(path),
        "files": [{"name": file.name, "bytes": file.stat().st_size} for file in found.files],
        "family": found.family,
        "configuration": found.arguments,
        "input": asdict(found.input),
        "attention": asdict(found.layout),
        "classes": len(found.labels),
        "labels": list(found.labels),
        "output": found.output,
        "parameters": sum(value.numel() for value in found.module.parameters()),
        "license": found.license,
        "note": found.note,
        "left_out": list(found.left_out),
        **faults,
        "fits": not any(faults.values()),
    }
