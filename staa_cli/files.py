"""Names of the written files, checksums, and atomic writes."""

from __future__ import annotations

import errno
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from staa_cli.errors import OutputError

REPORT, PAGE, MAPS = "report.json", "report.html", "maps.npz"
INDEX, OVERVIEW = "index.json", "index.html"
SUMMARY, JUNIT = "summary.md", "junit.xml"
COMPARISON = "compare.json"
WRITTEN_VIDEOS = (ANNOTATED, GIF, COMPARED) = ("annotated.mp4", "annotated.gif", "compare.mp4")
"""Videos that staa writes next to these files; they must not be used as inputs."""
COMPARED_STILL = "compare.png"
MARK = ".staa-writing"
"""Marker file in a folder while results are written there; see `results.folder`."""

APART = "give the folder that contains both, or --from-file with --root, or another --output-dir"
"""Hint for two sources that would share a result folder."""

_SCHEMA_VERSION = re.compile(rb'"schema_version":\s*(\d+)')
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


def is_own(path: Path) -> bool:
    """Whether staa wrote a JSON file: its version is in the first bytes."""
    return b'"staa_version"' in _head(path)


def schema_version_of(path: Path) -> int | None:
    """The schema version of a JSON file that staa wrote, which may be cut short."""
    found = _SCHEMA_VERSION.search(_head(path)) if is_own(path) else None
    return None if found is None else int(found[1])


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(256)
    except OSError:
        return b""


def sha256_of(*paths: Path) -> str:
    """SHA-256 of the concatenated contents of files.

    Raises:
        OSError: a file cannot be read.
    """
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary `.part` path in the same folder; the end of the block renames it.

    An exception or interrupt in the block removes the part and leaves an existing file at `path`
    unchanged.

    Raises:
        OutputError: the folder cannot be created or written, or the disk is full.
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
    """Temporary files of `atomic_path` that a killed process has left behind."""
    for file in path.parent.iterdir():
        if file.name.startswith(_part_stem(path)) and file.suffix == ".part":
            yield file


def _part_stem(path: Path) -> str:
    return f".{path.name[:40]}."


@contextmanager
def output_errors(path: Path | str) -> Iterator[None]:
    """Convert an `OSError` in the block to an `OutputError` that names the path, or the address."""
    try:
        yield
    except OSError as error:
        raise _output_error(path, error) from error


def _output_error(path: Path | str, error: OSError) -> OutputError:
    if error.errno in _DISK_FULL:
        return OutputError(
            f"no space left for {path}", "free some disk space, or choose another folder"
        )
    return OutputError(f"cannot write {path}: {(error.strerror or str(error)).lower()}")


def _flush(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())
