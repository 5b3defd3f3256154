"""What a checkpoint is, and which of its tensors fit, without a forward pass."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from staa_cli.errors import UnavailableError
from staa_cli.models.cards import read_cards
from staa_cli.models.checkpoints import misfits
from staa_cli.models.hub import Announce, fetch
from staa_cli.models.names import check_name, repository
from staa_cli.models.sources import examine_files, examine_folder, files_of


def inspect_model(
    name: str,
    *,
    arch: str | None = None,
    offline: bool = False,
    announce: Announce = lambda line: None,
) -> dict[str, Any]:
    """A checkpoint's folder, file, or name on the hub in, what was found in it as plain data out.

    Args:
        name: as `load_model` takes it; not a bundled model's.
        arch: architecture of a checkpoint that does not say its own.
        offline: never download.
        announce: told what is about to be downloaded.

    Raises:
        CheckpointError: it is no checkpoint, or of no family that is known here.
        UnavailableError: there is nothing of that name.
        UsageError: the name is empty.
    """
    check_name(name)
    path, files = Path(name).expanduser(), files_of(name)
    if not files and not path.is_dir():
        repo = repository(name)
        if repo is None:
            bundled = name in read_cards()
            raise UnavailableError(
                f"there is no file or folder {name!r}",
                "that model comes with staa: `staa models` says what it is"
                if bundled
                else "give a checkpoint's folder or file, or hf-hub:ORG/NAME",
            )
        path = fetch(repo, offline=offline, announce=announce)
    found = examine_files(files, arch) if files else examine_folder(path, arch)
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
        "licence": found.licence,
        "note": found.note,
        "left_out": list(found.left_out),
        **faults,
        "fits": not any(faults.values()),
    }
