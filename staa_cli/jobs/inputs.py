"""Find the videos that the command line names, and the result folder of each."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from staa_cli.errors import InputError, NothingMatched, UsageError
from staa_cli.files import APART
from staa_cli.jobs.folders import ResultFolders
from staa_cli.jobs.remote_inputs import listed_video, named_videos
from staa_cli.remote.addresses import Address, is_url, without_credentials
from staa_cli.video.folders import absolute, walk_videos

_RECURSIVE_HINT = "add -r to look into subfolders"


class Problem(NamedTuple):
    """Why an input cannot be processed."""

    cause: str
    hint: str | None


@dataclass(frozen=True, slots=True)
class Job:
    """One video and its result folder."""

    source: Path
    folder: Path
    problem: Problem | None = None
    """Set if the job must fail: no video, or another video has the same result folder."""
    remote: Address | None = None
    """Of a video at a URL; `source` is then its name, and its copy once that is there."""
    destination: Address | None = None
    """Where the result folder is uploaded to; `folder` is then a temporary one."""

    @property
    def title(self) -> str:
        """The video for messages: its path as given, or its URL without credentials."""
        return str(self.source) if self.remote is None else self.remote.shown

    @property
    def place(self) -> str:
        """Where the result folder is in the end, for messages."""
        return str(self.folder) if self.destination is None else self.destination.shown


@dataclass(frozen=True, slots=True)
class Shard:
    """Every `count`-th job, starting with the `index`-th: the share of one of `count` machines."""

    index: int = 1
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Parse a shard written as `i/n`.

        Raises:
            UsageError: it has another form, or i is not from 1 to n.
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
        """The shard's share of all jobs, in order, lazily."""
        return islice(jobs, self.index - 1, None, self.count)


def find_jobs(
    arguments: Sequence[str],
    output_dir: Path,
    *,
    recursive: bool = False,
    listed: Iterable[str] = (),
    root: Path | None = None,
    offline: bool = False,
    destination: Address | None = None,
) -> tuple[Job, ...]:
    """All jobs of a call, each video once; see `iter_jobs`."""
    return tuple(
        iter_jobs(
            arguments,
            output_dir,
            recursive=recursive,
            listed=listed,
            root=root,
            offline=offline,
            destination=destination,
            repeats=False,
        )
    )


def iter_jobs(
    arguments: Sequence[str],
    output_dir: Path,
    *,
    recursive: bool = False,
    listed: Iterable[str] = (),
    root: Path | None = None,
    offline: bool = False,
    destination: Address | None = None,
    repeats: bool = True,
) -> Iterator[Job]:
    """Yield a job per input video: in the order given, with folders and patterns sorted.

    A listed name is read only when its job is requested.

    In folders, hidden files, the output folder, and videos that staa has written are skipped. A
    pattern or a folder without a video yields a job with a problem, so that it is reported. So does
    a video whose result folder is already used by another video of the same call.

    Args:
        arguments: as typed; one that is not a file or folder may be a pattern.
        output_dir: the folder of all results.
        recursive: also search subfolders.
        listed: more inputs, which are never patterns.
        root: folder below which paths of listed inputs are mirrored; by default the current one.
        offline: list no folders at URLs.
        destination: folder that results are uploaded to; `output_dir` is then a temporary one.
        repeats: whether a video that is named again is a job again, so that every line of a list
            has an outcome.

    Raises:
        UsageError: an argument is empty, or no input is a file (a stream, a camera).
        NothingMatched: no input matched a video; raised at the end.
        InputError: the same, and a folder at a URL could not be listed.
        UnavailableError: a package for a URL is missing.
    """
    if "" in arguments:
        raise UsageError("an input name is empty", "is a shell variable unset or misspelled?")
    search = _Search(absolute(output_dir), recursive, root or Path(), offline, destination)
    folders = ResultFolders()
    owners: dict[Path, str] = {}
    for match in search.run(arguments, listed):
        if match.problem is not None:
            yield Job(match.path, output_dir, match.problem, match.remote)
            continue
        if match.remote is not None:
            folder, source = match.base, match.remote.url
        else:
            folder = folders.name(match.path, match.base)
            source = str(absolute(match.path))
        there = None if destination is None else destination.below(folder.as_posix())
        job = Job(match.path, output_dir / folder, None, match.remote, there)
        is_new = folder not in owners
        owner = owners.setdefault(folder, source)
        if owner != source:
            used = without_credentials(owner) if is_url(owner) else owner
            cause = f"its results would go to {job.place}, which is used for {used}"
            yield Job(match.path, output_dir, Problem(cause, APART), match.remote)
        elif is_new or repeats:
            yield job
    if not owners:
        raise search.nothing()


_NOT_FILES = (
    (
        r"-",
        "- stands for standard input",
        "save the video to a file first; use --from-file - for a list",
    ),
    (r"\d+|v4l2:.*|/dev/video\d+", "{} is a camera", "record it first; cameras are not supported"),
)


def _not_a_file(argument: str) -> Problem | None:
    """The problem of an input that cannot be a file, unless a file has this name."""
    for pattern, cause, hint in _NOT_FILES:
        if re.fullmatch(pattern, argument, re.DOTALL) and not os.path.lexists(argument):
            return Problem(f"{cause.format(argument)}, but staa reads only files", hint)
    return None


class _Match(NamedTuple):
    """A video, or an input without one."""

    path: Path
    base: Path
    """The folder below which its path is mirrored; for a URL, its result folder."""
    problem: Problem | None = None
    remote: Address | None = None


class _Search:
    """Finds the videos that inputs name, and records inputs for an error if there is none."""

    def __init__(
        self,
        output_dir: Path,
        recursive: bool,
        root: Path,
        offline: bool,
        destination: Address | None,
    ) -> None:
        self._output_dir, self._recursive, self._root = output_dir, recursive, root
        self._offline, self._destination = offline, destination
        self._first: list[str] = []
        """The first inputs, for a message."""
        self._not_a_file: Problem | None = None
        self._not_listed: Problem | None = None
        self._folder = False

    def run(self, arguments: Sequence[str], listed: Iterable[str]) -> Iterator[_Match]:
        for argument in arguments:
            if _is_remote(argument):
                yield from self._remote(argument, listed=False)
            else:
                yield from self._rejected(argument) or self._expand(argument)
        for name in listed:
            if _is_remote(name):
                yield from self._remote(name, listed=True)
                continue
            for match in self._rejected(name) or self._named(Path(name)):
                yield match._replace(base=self._root)

    def nothing(self) -> UsageError | InputError | NothingMatched:
        """The error if there was no video."""
        if self._not_listed is not None:
            return InputError(*self._not_listed)
        if self._not_a_file is not None:
            return UsageError(*self._not_a_file)
        if not self._first:
            return NothingMatched(
                "no input was given", "name a video, a folder, or a quoted pattern"
            )
        names = ", ".join(self._first[:3]) + " …" * (len(self._first) > 3)
        hint = _RECURSIVE_HINT if self._folder and not self._recursive else None
        return NothingMatched(f"no video in {names}", hint)

    def _rejected(self, name: str) -> list[_Match]:
        """A match with a problem if `name` cannot be a file, else nothing."""
        self._record(name)
        problem = _not_a_file(name)
        self._not_a_file = self._not_a_file or problem
        return [] if problem is None else [_Match(Path(name), Path(), problem)]

    def _record(self, name: str) -> None:
        if len(self._first) <= 3:
            self._first.append(name)

    def _remote(self, url: str, listed: bool) -> Iterator[_Match]:
        """The videos that a URL names."""
        self._record(without_credentials(url))
        address, empty = Address(url), True
        try:
            address = Address.parse(url)
        except InputError as error:
            problem = Problem(error.cause, error.hint)
            self._not_a_file = self._not_a_file or problem
            yield _Match(Path(address.name), Path(), problem, address)
            return
        try:
            for video in (
                [listed_video(address)]
                if listed
                else named_videos(
                    address,
                    recursive=self._recursive,
                    offline=self._offline,
                    skip=self._destination,
                )
            ):
                empty = False
                yield _Match(Path(video.address.name), video.folder, remote=video.address)
        except InputError as error:
            problem = Problem(error.cause, error.hint)
            self._not_listed = Problem(f"{address.shown}: {error.cause}", error.hint)
        else:
            if not empty:
                return
            self._folder = True
            hint = None if self._recursive else _RECURSIVE_HINT
            problem = Problem("no video there", hint)
        yield _Match(Path(address.name), Path(), problem, address)

    def _expand(self, argument: str) -> Iterator[_Match]:
        if not glob.has_magic(argument) or os.path.lexists(argument):
            yield from self._named(Path(argument))
            return
        matches = sorted(glob.glob(argument, recursive=True))  # noqa: PTH207 (it may be absolute)
        files = [Path(match) for match in matches if not _is_folder(match)]
        for path in files:
            yield _Match(path, path.parent)
        if not files:
            problem = Problem("no such file, and no file matches this pattern", None)
            yield _Match(Path(argument), Path(), problem)

    def _named(self, path: Path) -> Iterator[_Match]:
        if not _is_folder(path):
            yield _Match(path, path.parent)
            return
        self._folder, empty = True, True
        for match in self._walk(path):
            empty = False
            yield match
        if empty:
            hint = None if self._recursive else _RECURSIVE_HINT
            yield _Match(path, path, Problem("no video in this folder", hint))

    def _walk(self, folder: Path) -> Iterator[_Match]:
        errors: list[OSError] = []
        for path in walk_videos(
            folder, recursive=self._recursive, skip=self._output_dir, on_error=errors.append
        ):
            yield _Match(path, folder)
        for error in errors:
            cause = f"cannot read this folder: {(error.strerror or str(error)).lower()}"
            yield _Match(Path(error.filename), folder, Problem(cause, None))


def _is_remote(text: str) -> bool:
    """Whether a text is a URL, and no file has this name."""
    return is_url(text) and not os.path.lexists(text)


def _is_folder(path: str | Path) -> bool:
    """Whether it is an accessible folder; inaccessible ones fail later."""
    return os.path.isdir(path)  # noqa: PTH112 (pathlib raises if a name is too long)
