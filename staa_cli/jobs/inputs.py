"""Inputs: what the command line names in; videos, and the folder of each one's results, out."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from staa_cli.errors import NothingMatched, UsageError
from staa_cli.files import APART
from staa_cli.jobs.folders import ResultFolders
from staa_cli.video.folders import absolute, walk_videos

_DEEPER = "add -r to look into subfolders"


class Problem(NamedTuple):
    """Why an input brings no video that can be worked on."""

    cause: str
    hint: str | None


@dataclass(frozen=True, slots=True)
class Job:
    """One video, and the folder that its results go to."""

    source: Path
    folder: Path
    problem: Problem | None = None
    """Of an input that is to fail: without a video, or with the folder of another one."""


@dataclass(frozen=True, slots=True)
class Shard:
    """Every `count`-th job, from the `index`-th on: what one of `count` machines does."""

    index: int = 1
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Parse a shard written as `i/n`.

        Raises:
            UsageError: it is something else, or i is not from 1 to n.
        """
        numbers = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
        index, count = map(int, numbers.groups()) if numbers else (0, 0)
        if not 1 <= index <= count:
            raise UsageError(
                f"--shard: expected i/n with i from 1 to n, not {text!r}",
                "three machines use 1/3, 2/3, and 3/3",
            )
        return cls(index, count)

    def of(self, jobs: Iterable[Job]) -> Iterator[Job]:
        """Its share of the jobs of a whole call, in their order, as they come."""
        return islice(jobs, self.index - 1, None, self.count)


def find_jobs(
    arguments: Sequence[str],
    output_dir: Path,
    *,
    recursive: bool = False,
    listed: Iterable[str] = (),
    root: Path | None = None,
) -> tuple[Job, ...]:
    """All jobs of a call, each video once; see `iter_jobs`."""
    return tuple(
        iter_jobs(
            arguments, output_dir, recursive=recursive, listed=listed, root=root, repeats=False
        )
    )


def iter_jobs(
    arguments: Sequence[str],
    output_dir: Path,
    *,
    recursive: bool = False,
    listed: Iterable[str] = (),
    root: Path | None = None,
    repeats: bool = True,
) -> Iterator[Job]:
    """Yield a job per input video: in the order given, with folders and patterns sorted.

    A listed name is taken when its job is asked for, and not before.

    Hidden files, what lies in the output folder, and what staa has written beside a report are left
    out of folders. A pattern or a folder without a video is a job with a problem: that somebody
    named it and got nothing must show. So is a video whose results would go where those of another
    one of the same call go.

    Args:
        arguments: as they were typed; one that is no file or folder may be a pattern.
        output_dir: the folder above all results.
        recursive: look into subfolders.
        listed: more inputs, which stand for themselves: no character makes a pattern of them.
        root: the folder below which the paths of listed inputs are mirrored, the current one where
            None.
        repeats: whether a video that is named again is a job again, so that whoever feeds a list
            line by line has an answer to every line.

    Raises:
        UsageError: an argument is empty, or all there is is no file: an address, a camera.
        NothingMatched: nothing matched a video; at the end.
    """
    if "" in arguments:
        raise UsageError("an input name is empty", "is a shell variable unset or misspelled?")
    search = _Search(absolute(output_dir), recursive, root or Path())
    folders = ResultFolders()
    owners: dict[Path, Path] = {}
    for found in search.run(arguments, listed):
        if found.problem is not None:
            yield Job(found.path, output_dir, found.problem)
            continue
        folder = folders.name(found.path, found.base)
        is_new, source = folder not in owners, absolute(found.path)
        owner = owners.setdefault(folder, source)
        if owner != source:
            cause = f"its results would go to {output_dir / folder}, which is used for {owner}"
            yield Job(found.path, output_dir, Problem(cause, APART))
        elif is_new or repeats:
            yield Job(found.path, output_dir / folder)
    if not owners:
        raise search.nothing()


_NO_FILES = (
    (
        r"-",
        "- stands for standard input",
        "save the video to a file first; use --from-file - for a list",
    ),
    (r"[A-Za-z][\w+.-]+://.*", "{} is a URL", "download it first; streams are not supported"),
    (r"\d+|v4l2:.*|/dev/video\d+", "{} is a camera", "record it first; cameras are not supported"),
)


def _no_file(argument: str) -> Problem | None:
    """What is wrong with an input that cannot be a file; one that is there can."""
    for pattern, cause, hint in _NO_FILES:
        if re.fullmatch(pattern, argument, re.DOTALL) and not os.path.lexists(argument):
            return Problem(f"{cause.format(argument)}, but staa reads only files", hint)
    return None


class _Found(NamedTuple):
    """A video, or an input without one."""

    path: Path
    base: Path
    """The folder below which its path is mirrored."""
    problem: Problem | None = None


class _Search:
    """Looks for the videos that inputs name, and remembers what it needs to say that none did."""

    def __init__(self, output_dir: Path, recursive: bool, root: Path) -> None:
        self._output_dir, self._recursive, self._root = output_dir, recursive, root
        self._first: list[str] = []
        """Some of the inputs, for a message."""
        self._no_file: Problem | None = None
        self._folder = False

    def run(self, arguments: Sequence[str], listed: Iterable[str]) -> Iterator[_Found]:
        for argument in arguments:
            yield from self._refused(argument) or self._expand(argument)
        for name in listed:
            for found in self._refused(name) or self._named(Path(name)):
                yield found._replace(base=self._root)

    def nothing(self) -> UsageError | NothingMatched:
        """What to raise where there was no video."""
        if self._no_file is not None:
            return UsageError(*self._no_file)
        if not self._first:
            return NothingMatched(
                "no input was given", "name a video, a folder, or a quoted pattern"
            )
        names = ", ".join(self._first[:3]) + " …" * (len(self._first) > 3)
        hint = _DEEPER if self._folder and not self._recursive else None
        return NothingMatched(f"no video in {names}", hint)

    def _refused(self, name: str) -> list[_Found]:
        """What cannot be a file, as the failure that it is, else nothing."""
        if len(self._first) <= 3:
            self._first.append(name)
        problem = _no_file(name)
        self._no_file = self._no_file or problem
        return [] if problem is None else [_Found(Path(name), Path(), problem)]

    def _expand(self, argument: str) -> Iterator[_Found]:
        if not glob.has_magic(argument) or os.path.lexists(argument):
            yield from self._named(Path(argument))
            return
        matches = sorted(glob.glob(argument, recursive=True))  # noqa: PTH207 (it may be absolute)
        files = [Path(match) for match in matches if not _is_folder(match)]
        for path in files:
            yield _Found(path, path.parent)
        if not files:
            problem = Problem("no such file, and no file matches this pattern", None)
            yield _Found(Path(argument), Path(), problem)

    def _named(self, path: Path) -> Iterator[_Found]:
        if not _is_folder(path):
            yield _Found(path, path.parent)
            return
        self._folder, empty = True, True
        for found in self._walk(path):
            empty = False
            yield found
        if empty:
            hint = None if self._recursive else _DEEPER
            yield _Found(path, path, Problem("no video in this folder", hint))

    def _walk(self, folder: Path) -> Iterator[_Found]:
        unread: list[OSError] = []
        for path in walk_videos(
            folder, recursive=self._recursive, skip=self._output_dir, on_error=unread.append
        ):
            yield _Found(path, folder)
        for error in unread:
            cause = f"cannot read this folder: {(error.strerror or str(error)).lower()}"
            yield _Found(Path(error.filename), folder, Problem(cause, None))


def _is_folder(path: str | Path) -> bool:
    """Whether it is one that can be seen; what cannot fails later, as the input that it is."""
    return os.path.isdir(path)  # noqa: PTH112 (pathlib's raises where a name is too long)
