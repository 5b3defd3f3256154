"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from staa_cli.errors import OutputError

REPORT, MAPS, COMPARISON = "report.json", "maps.npz", "compare.json"
WRITTEN_VIDEOS = (ANNOTATED, GIF, COMPARED) = ("annotated.mp4", "annotated.gif", "compare.mp4")
"""What staa writes beside one of those, and could be taken for an input."""
COMPARED_STILL = "compare.png"
MARK = ".staa-writing"
"""Stands in a folder while results are written there; see `results.folder`."""

APART = "give the folder that contains both, or --from-file with --root, or another --output-dir"
"""A hint where two sources would share a result folder."""

_FULL = (errno.ENOSPC, errno.EDQUOT)


def is_own(path: Path) -> bool:
    """Whether a JSON file was written by staa: it says so near its head."""
    try:
        with path.open("rb") as file:
            return b'"staa_version"' in file.read(256)
    except OSError:
        return False


def sha256_of(*paths: Path) -> str:
    """Checksum of files' bytes, one after the other.

    Raises:
        OSError: one cannot be read.
    """
    total = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                total.update(block)
    return total.hexdigest()


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a `.part` path beside a destination; the end of the block moves it there.

    Whatever ends the block early, an interrupt included, removes the part and leaves an older file
    at the destination as it was.

    Raises:
        OutputError: the folder cannot be made or written, or the disk is full.
    """
    part = path.with_name(f"{_part_stem(path)}{uuid4().hex[:8]}.part")
    try:
        with output_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield part
            _flush(part)
            part.replace(path)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def parts_of(path: Path) -> Iterator[Path]:
    """What `atomic_path` has left beside a destination where its process was killed."""
    for found in path.parent.iterdir():
        if found.name.startswith(_part_stem(path)) and found.suffix == ".part":
            yield found


def _part_stem(path: Path) -> str:
    return f".{path.name[:40]}."


@contextmanager
def output_errors(path: Path) -> Iterator[None]:
    """The path being written in; inside, an `OSError` becomes an `OutputError` about it."""
    try:
        yield
    except OSError as error:
        raise _output_error(path, error) from error


def _output_error(path: Path, error: OSError) -> OutputError:
    if error.errno in _FULL:
        return OutputError(
            f"no space left for {path}", "free some disk space, or choose another folder"
        )
    return OutputError(f"cannot write {path}: {(error.strerror or str(error)).lower()}")


def _flush(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())
