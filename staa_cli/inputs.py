"""Inputs: what the command line names in, videos and the folder that each one's results go to out.

The folder is `<relative path>/<file name without its ending>` under the output folder. The relative
path is that below a folder argument; a file argument has none. Inputs that would share a folder are
told apart in steps, each taken only by those that still collide: the full file name, then one
parent folder with the name without its ending, then the same with the full name, then one more
parent folder, and so on. Names that differ in case or in Unicode form only count as the same,
because some file systems hold them to be; where nothing else tells two inputs apart, a mark made
from the path does.
"""

from __future__ import annotations

import glob
import hashlib
import os
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from staa_cli.errors import NothingMatched, UsageError

_ENDINGS = """
.3g2 .3gp .asf .avi .divx .dv .f4v .flv .gif .m2ts .m2v .m4v .mjpeg .mkv .mov .mp4 .mpeg .mpg .mts
.mxf .ogg .ogv .qt .rm .rmvb .ts .vob .webm .wmv .y4m
"""
VIDEO_ENDINGS = frozenset(_ENDINGS.split())
"""What counts as a video in a folder; a file that is named itself is taken whatever its ending."""

_NAME_BYTES = 240  # file systems take 255; the rest is room for a mark


@dataclass(frozen=True, slots=True)
class Job:
    """One video, and the folder that its results go to."""

    source: Path
    folder: Path


@dataclass(frozen=True, slots=True)
class Found:
    """The jobs, and the arguments that matched no video at all."""

    jobs: tuple[Job, ...]
    unmatched: tuple[str, ...]


def find_jobs(arguments: Sequence[str], output_dir: Path, *, recursive: bool = False) -> Found:
    """Files, folders, and patterns in, jobs out: in the order given, folders and patterns sorted.

    Hidden files, and what lies in the output folder, are left out of folders.

    Raises:
        NothingMatched: no argument matched a video.
    """
    matches = {
        argument: list(_expand(argument, recursive, _absolute(output_dir)))
        for argument in arguments
    }
    sources: dict[Path, _Source] = {}
    for found in matches.values():
        for source in found:
            sources.setdefault(_absolute(source.path), source)
    if not sources:
        raise NothingMatched(*_nothing(arguments, recursive))
    folders = _folders(list(sources.values()))
    jobs = (
        Job(source.path, output_dir.joinpath(*folder))
        for source, folder in zip(sources.values(), folders, strict=True)
    )
    return Found(tuple(jobs), tuple(name for name, found in matches.items() if not found))


def read_list(source: str) -> list[str]:
    """A file, or `-` for standard input, in; its paths, one a line or NUL-separated, out.

    Raises:
        UsageError: the file cannot be read.
    """
    try:
        data = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
    except OSError as error:
        raise UsageError(
            f"--from-file {source}: {(error.strerror or str(error)).lower()}"
        ) from error
    parts = data.split(b"\0") if b"\0" in data else data.splitlines()
    return [os.fsdecode(part) for part in parts if part.strip()]


@dataclass(frozen=True, slots=True)
class _Source:
    path: Path
    depth: int
    """How many folders between the argument and the file belong to the relative path."""


def _nothing(arguments: Sequence[str], recursive: bool) -> tuple[str, str | None]:
    if not arguments:
        return "no input was given", "name a video, a folder, or a quoted pattern"
    folder = any(Path(argument).is_dir() for argument in arguments)
    hint = "add -r to look into subfolders" if folder and not recursive else None
    return f"no video in {', '.join(arguments[:3])}{' …' if len(arguments) > 3 else ''}", hint


def _expand(argument: str, recursive: bool, output_dir: Path) -> Iterator[_Source]:
    path = Path(argument)
    if path.is_dir():
        yield from _walk(path, recursive, output_dir)
    elif glob.has_magic(argument) and not os.path.lexists(argument):
        matches = sorted(glob.glob(argument, recursive=True))  # noqa: PTH207 (it may be absolute)
        yield from (_Source(Path(match), 0) for match in matches if Path(match).is_file())
    else:
        yield _Source(path, 0)


def _walk(folder: Path, recursive: bool, output_dir: Path) -> Iterator[_Source]:
    for here, subfolders, names in os.walk(folder):
        inner = (name for name in subfolders if not name.startswith("."))
        subfolders[:] = sorted(name for name in inner if _absolute(Path(here, name)) != output_dir)
        depth = len(Path(here).relative_to(folder).parts)
        for name in sorted(names):
            if Path(name).suffix.lower() in VIDEO_ENDINGS and not name.startswith("."):
                yield _Source(Path(here, name), depth)
        if not recursive:
            return


def _folders(sources: Sequence[_Source]) -> list[tuple[str, ...]]:
    """One relative folder a source, no two the same: see the rule at the head of this file."""
    steps = [0] * len(sources)
    limit = 2 * max(len(_absolute(source.path).parts) for source in sources)
    for _ in range(limit):
        folders = [_folder(source, step) for source, step in zip(sources, steps, strict=True)]
        shared = _shared(folders)
        if not any(shared):
            return folders
        steps = [step + same for step, same in zip(steps, shared, strict=True)]
    return [
        _marked(source) if same else folder
        for folder, source, same in zip(folders, sources, shared, strict=True)
    ]


def _folder(source: _Source, step: int) -> tuple[str, ...]:
    *above, name = _absolute(source.path).parts[1:]  # without the root
    parents, full = divmod(step, 2)
    stem = Path(name).stem
    kept = above[max(0, len(above) - source.depth - parents) :]
    return (*map(_safe, kept), _safe(name if full or set(stem) == {"."} else stem))


def _shared(folders: Sequence[tuple[str, ...]]) -> list[bool]:
    names = [unicodedata.normalize("NFC", "/".join(folder)).casefold() for folder in folders]
    count = Counter(names)
    return [count[name] > 1 for name in names]


def _marked(source: _Source) -> tuple[str, ...]:
    *above, name = _folder(source, 1)
    mark = hashlib.sha256(os.fsencode(_absolute(source.path))).hexdigest()[:8]
    return (*above, f"{name.encode()[:_NAME_BYTES].decode(errors='ignore')}~{mark}")


def _safe(name: str) -> str:
    """A name without characters that are no text: controls, and bytes that are no UTF-8."""
    return "".join("_" if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") else c for c in name)


def _absolute(path: Path) -> Path:
    """The path from the root, links left as they are: a link is a name of its own."""
    return Path(os.path.abspath(path))  # noqa: PTH100
