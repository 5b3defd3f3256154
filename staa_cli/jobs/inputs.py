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

import codecs
import glob
import hashlib
import os
import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from staa_cli.errors import NothingMatched, UsageError
from staa_cli.video.folders import absolute, walk_videos

_DEEPER = "add -r to look into subfolders"
_NAME_BYTES = 240  # file systems take 255; the rest is room for a mark


@dataclass(frozen=True, slots=True)
class Job:
    """One video, and the folder that its results go to."""

    source: Path
    folder: Path
    problem: tuple[str, str | None] | None = None
    """Cause and hint, where the input is a pattern or a folder without a video: it fails."""


def find_jobs(
    arguments: Sequence[str],
    output_dir: Path,
    *,
    recursive: bool = False,
    listed: Sequence[str] = (),
) -> tuple[Job, ...]:
    """Files, folders, and patterns in, jobs out: in the order given, folders and patterns sorted.

    Hidden files, what lies in the output folder, and what staa has written beside a report are left
    out of folders. A pattern or a folder without a video is a job with a problem: that somebody
    named it and got nothing must show.

    Args:
        arguments: as they were typed; one that is no file or folder may be a pattern.
        output_dir: the folder above all results.
        recursive: look into subfolders.
        listed: more inputs, which stand for themselves: no character makes a pattern of them.

    Raises:
        UsageError: an argument is empty, or all there is is no file: an address, a camera.
        NothingMatched: nothing matched a video.
    """
    if "" in arguments:
        raise UsageError(
            "an input has no name at all", "is a variable unset, or its name misspelled?"
        )
    output = absolute(output_dir)
    sources: dict[Path, _Source] = {}
    for argument in arguments:
        for source in _no_file(argument) or _expand(argument, recursive, output):
            sources.setdefault(absolute(source.path), source)
    for name in listed:
        for source in _no_file(name) or _named(Path(name), recursive, output):
            sources.setdefault(absolute(source.path), source)
    videos = [source for source in sources.values() if source.problem is None]
    if not videos:
        for source in (each for name in (*arguments, *listed) for each in _no_file(name)):
            if source.problem is not None:
                raise UsageError(*source.problem)
        raise NothingMatched(*_nothing([*arguments, *listed], recursive))
    folders = iter(_folders(videos))
    return tuple(
        Job(source.path, output_dir.joinpath(*next(folders)))
        if source.problem is None
        else Job(source.path, output_dir, source.problem)
        for source in sources.values()
    )


_NO_FILES = (
    (r"-", "- stands for standard input", "save the video first; a list is --from-file -"),
    (r"[A-Za-z][\w+.-]+://.*", "{} is an address", "download it first; streams are not read yet"),
    (r"\d+|v4l2:.*|/dev/video\d+", "{} is a camera", "record it first; cameras are not read yet"),
)


def _no_file(argument: str) -> list[_Source]:
    """What cannot be a file, as the failure that it is, else nothing; one that is there can."""
    for pattern, cause, hint in _NO_FILES:
        if re.fullmatch(pattern, argument, re.DOTALL) and not os.path.lexists(argument):
            told = f"{cause.format(argument)}, and staa reads files"
            return [_Source(Path(argument), 0, (told, hint))]
    return []


def read_list(source: str) -> list[str]:
    """A file, or `-` for standard input, in; its paths, one a line or NUL-separated, out.

    A name is taken as it stands, blanks included; lines of blanks alone are passed over, and lines
    may end as Windows ends them. The bytes are those of the names, as file systems have them; a
    list in UTF-16, or with a byte-order mark, is understood as well.

    Raises:
        UsageError: the file cannot be read, or breaks off in the middle of a character.
    """
    if not source:
        raise UsageError("--from-file: expected a file or -, not ''")
    try:
        data = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
        data = _unmarked(data)
    except OSError as error:
        raise UsageError(
            f"--from-file {source}: {(error.strerror or str(error)).lower()}"
        ) from error
    except UnicodeDecodeError as error:
        raise UsageError(
            f"--from-file {source}: its byte-order mark says {error.encoding}, which it is not",
            "save the list as UTF-8",
        ) from error
    if b"\0" in data:
        return [os.fsdecode(name) for name in data.split(b"\0") if name]
    lines = (line.removesuffix(b"\r") for line in data.split(b"\n"))
    return [os.fsdecode(line) for line in lines if line.strip()]


_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # begins as UTF-16's does
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def _unmarked(data: bytes) -> bytes:
    """A list as bytes in, the same with its names in UTF-8, without a byte-order mark, out.

    Raises:
        UnicodeDecodeError: it is not what its mark says.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            rest = data.removeprefix(mark)
            if encoding == "utf-8":
                return rest  # not decoded: a name in it may still be no UTF-8
            if not rest or b"\0" in rest:  # else it is a name that begins with such bytes
                text = rest.decode(encoding, "surrogatepass")
                return text.encode("utf-8", "surrogatepass")
    return _utf_16_without_mark(data) if b"\0" in data else data


def _utf_16_without_mark(data: bytes) -> bytes:
    """What holds NUL bytes in; in UTF-8 out if it is UTF-16, else as it is.

    It is where an ASCII character of two bytes stands before a line's end of two bytes, or where
    all are ASCII: a NUL-separated list would then have a file whose whole name is a line feed, or
    nothing but names of one byte.
    """
    for encoding in ("utf-16-le", "utf-16-be"):
        try:
            text = data.decode(encoding, "surrogatepass")
        except UnicodeDecodeError:
            continue
        if "\0" not in text and (text.isascii() or re.search(r"[ -~\r]\n", text)):
            return text.encode("utf-8", "surrogatepass")
    return data


@dataclass(frozen=True, slots=True)
class _Source:
    path: Path
    depth: int
    """How many folders between the argument and the file belong to the relative path."""
    problem: tuple[str, str | None] | None = None


def _nothing(arguments: Sequence[str], recursive: bool) -> tuple[str, str | None]:
    if not arguments:
        return "no input was given", "name a video, a folder, or a quoted pattern"
    folder = any(_is_folder(argument) for argument in arguments)
    hint = _DEEPER if folder and not recursive else None
    return f"no video in {', '.join(arguments[:3])}{' …' if len(arguments) > 3 else ''}", hint


def _expand(argument: str, recursive: bool, output_dir: Path) -> Iterator[_Source]:
    if not glob.has_magic(argument) or os.path.lexists(argument):
        yield from _named(Path(argument), recursive, output_dir)
        return
    matches = sorted(glob.glob(argument, recursive=True))  # noqa: PTH207 (it may be absolute)
    found = [_Source(Path(match), 0) for match in matches if not _is_folder(match)]
    yield from found or [_Source(Path(argument), 0, ("no such file, nor any that it fits", None))]


def _named(path: Path, recursive: bool, output_dir: Path) -> Iterator[_Source]:
    if not _is_folder(path):
        yield _Source(path, 0)
        return
    found = list(_walk(path, recursive, output_dir))
    hint = None if recursive else _DEEPER
    yield from found or [_Source(path, 0, ("no video in this folder", hint))]


def _walk(folder: Path, recursive: bool, output_dir: Path) -> Iterator[_Source]:
    unread: list[OSError] = []
    for path in walk_videos(folder, recursive=recursive, skip=output_dir, on_error=unread.append):
        yield _Source(path, len(path.relative_to(folder).parts) - 1)
    for error in unread:
        cause = f"cannot look into this folder: {(error.strerror or str(error)).lower()}"
        yield _Source(Path(error.filename), 0, (cause, None))


def _folders(sources: Sequence[_Source]) -> list[tuple[str, ...]]:
    """One relative folder a source, no two the same: see the rule at the head of this file."""
    steps = [0] * len(sources)
    limit = 2 * max(len(absolute(source.path).parts) for source in sources)
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
    *above, name = absolute(source.path).parts[1:]  # without the root
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
    mark = hashlib.sha256(os.fsencode(absolute(source.path))).hexdigest()[:8]
    return (*above, f"{name.encode()[:_NAME_BYTES].decode(errors='ignore')}~{mark}")


def _safe(name: str) -> str:
    """A name without characters that are no text: controls, and bytes that are no UTF-8."""
    return "".join("_" if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") else c for c in name)


def _is_folder(path: str | Path) -> bool:
    """Whether it is one that can be seen; what cannot fails later, as the input that it is."""
    return os.path.isdir(path)  # noqa: PTH112 (pathlib's raises where a name is too long)
