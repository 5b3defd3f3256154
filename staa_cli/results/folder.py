"""A folder with the result of one source: whose it is, whether it is finished, what may go there.

`report.json`, or another document of staa's, comes last and says that the rest is there. While work
is under way, `.staa-writing` lists the names that are staa's own and the source that they are made
from, so that the next run may replace them, and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from staa_cli import __version__
from staa_cli.errors import InputError, OutputError
from staa_cli.files import (
    APART,
    COMPARED,
    COMPARED_STILL,
    COMPARISON,
    MARK,
    REPORT,
    atomic_path,
    output_errors,
    parts_of,
    sha256_of,
)
from staa_cli.paths import as_text, path_fields, path_from
from staa_cli.results.report import load_document, load_report
from staa_cli.results.writers.base import WRITERS
from staa_cli.schema import VideoInfo
from staa_cli.video.folders import absolute

if TYPE_CHECKING:
    from staa_cli.results.document import Report

OF_COMPARISON = (COMPARED, COMPARED_STILL, COMPARISON)


@dataclass(frozen=True, slots=True)
class Source:
    """The file that a result is made from."""

    file: Path | None
    """From the root; None of a result that does not say from which folder its path led."""
    sha256: str | None = None
    """None where nobody has read the file yet."""

    @classmethod
    def of_file(cls, path: Path) -> Source:
        """A file that is to be explained."""
        return cls(absolute(path))

    @classmethod
    def of_video(cls, video: VideoInfo) -> Source:
        """A file that has been probed; what is no file is known by its content alone."""
        file = absolute(Path(video.path))
        return cls(file if file.is_file() else None, video.sha256)

    @classmethod
    def of_document(cls, document: Mapping[str, Any]) -> Source | None:
        """What a report, a comparison, or a mark is of; None where it is of no single video.

        A relative path leads on from the folder that the run was in. Reproducible reports do not
        say which that was.
        """
        video = document.get("video")
        if not isinstance(video, Mapping):
            return None
        run = document.get("run") or {}
        try:
            above = path_from(run, "folder") if "folder" in run else Path()
            path = above / path_from(video) if "path" in video else Path()
        except (TypeError, ValueError, AttributeError):  # somebody has changed it
            path = Path()
        return cls(absolute(path) if path.is_absolute() else None, video.get("sha256"))

    def is_same(self, other: Source) -> bool:
        """Whether a result that was made from the other one is of this.

        Both are one file, whatever is in it by now, or have the same content: an edited or newly
        encoded file is the source that it was, and so is one that was moved.
        """
        if self.file is not None and other.file is not None and _is_one_file(self.file, other.file):
            return True
        if self.file is None:
            return self.sha256 == other.sha256
        try:
            return (self.sha256 or sha256_of(self.file)) == other.sha256
        except OSError:  # whoever opens it tells what is wrong
            return True


class ResultFolder:
    """A folder that holds what is made from one source, for good, beside files of other people.

    Args:
        path: of the folder, which need not be there.
        document: the JSON file that comes last; where staa wrote it, it wrote the others.
        option: by which another folder is chosen.
    """

    def __init__(self, path: Path, document: str = REPORT, option: str = "--output-dir") -> None:
        self.path = path
        self._document, self._option = document, option

    def document(self) -> dict[str, Any] | None:
        """What the document says, None where there is none of staa's."""
        return self._read(self._document)

    def report(self) -> Report | None:
        """The report, None where there is none of staa's."""
        try:
            return load_report(self.path / self._document)
        except InputError:  # cut short, or changed by hand: to be made anew
            return None

    def source(self) -> Source | None:
        """What the document is made from, None where there is no document of a single source."""
        return Source.of_document(self.document() or {})

    def finished(
        self, names: Sequence[str], fingerprint: str, *, reproducible: bool = False
    ) -> Report | None:
        """The report of a finished run with that fingerprint, None where there is work to do.

        A reproducible report stands for any, but one with volatile facts for no reproducible one.
        """
        # What stands beside the document may be of a later run that broke off.
        if (self.path / MARK).exists():
            return None
        report, written = self.report(), [self.path / name for name in names]
        complete = all(path.is_file() and path.stat().st_size for path in written)
        if report is None or not complete or (reproducible and report.run):
            return None
        return report if report.fingerprint == fingerprint else None

    def check(
        self, names: Sequence[str], source: Source | None = None, *, force: bool = False
    ) -> None:
        """See that these names may be written there; makes and changes nothing.

        Args:
            names: of files.
            source: what they are made from, None where that is no single file.
            force: whether the result of another source may be replaced.

        Raises:
            OutputError: a file of such a name is there that staa did not write, or the folder holds
                the result of another source.
        """
        with output_errors(self.path):
            own_files = self._own_names(names)
            foreign = [
                name for name in names if name not in own_files and (self.path / name).exists()
            ]
        if foreign:
            raise OutputError(
                f"{self.path / foreign[0]} is in the way and was not written by staa",
                f"move it away, or choose another folder with {self._option}",
            )
        if source is not None and not force:
            self.check_source(source)

    def check_source(self, source: Source) -> None:
        """See that what the folder holds, if anything, is of this source.

        Raises:
            OutputError: it is of another one.
        """
        with output_errors(self.path):
            others = [other for other in self._sources() if not source.is_same(other)]
        if others:
            name = f", {as_text(others[0].file)}" if others[0].file is not None else ""
            raise OutputError(
                f"{self.path} holds the results of another video{name}",
                f"{APART}; --force replaces them" if self._document == REPORT else APART,
            )

    @contextmanager
    def writing(
        self, names: Sequence[str], source: Source | None = None, *, force: bool = False
    ) -> Iterator[None]:
        """The time in which names are written: marked, and free of what a killed run has left.

        Where the block ends well, what the folder held of another source goes. Where it breaks off
        before any file was there, all is as it was.

        Raises:
            OutputError: as `check`, or the folder cannot be made or written.
        """
        self.check(names, source, force=force)
        given_up = self._files_of_others(source) - set(names)
        made = not self.path.exists()
        with output_errors(self.path):
            own_files = self._own_names(names)
            self.path.mkdir(parents=True, exist_ok=True)
            for part in [part for name in (*names, MARK) for part in parts_of(self.path / name)]:
                part.unlink(missing_ok=True)
            mark, before = self._bytes(MARK), self._stamps(names)
        try:
            self._put_mark(own_files | set(names), source)
            yield
        except BaseException:
            if self._stamps(names) == before:
                self._restore(mark, made)
            raise
        self.drop([*given_up, MARK])

    def drop(self, names: Iterable[str]) -> None:
        """Remove what staa wrote there for another result: beside this it would pass for its own.

        Raises:
            OutputError: a file cannot be removed.
        """
        for name in names:
            with output_errors(self.path / name):
                (self.path / name).unlink(missing_ok=True)

    def _files_of_others(self, source: Source | None) -> set[str]:
        """Names of what may stand there beside a document of another source."""
        names: set[str] = set()
        of_report = [writer.file for _, writer in WRITERS.items()]
        for document, files in ((REPORT, of_report), (COMPARISON, OF_COMPARISON)):
            held = Source.of_document(self._read(document) or {})
            if source is not None and held is not None and not source.is_same(held):
                names |= set(files)
        return names

    def _sources(self) -> list[Source]:
        """What the folder's documents and its mark are made from."""
        documents = (self._read(REPORT), self._read(COMPARISON), self._mark())
        sources = (Source.of_document(document) for document in documents if document)
        return [source for source in sources if source is not None]

    def _own_names(self, names: Sequence[str]) -> set[str]:
        """Names in the folder that are staa's to replace."""
        own = {str(name) for name in self._mark().get("files", [])}
        return own | set(names) if self.document() is not None else own

    def _read(self, name: str) -> dict[str, Any] | None:
        if not (self.path / name).is_file():
            return None
        try:
            document: dict[str, Any] = load_document(self.path / name, dict)
        except InputError:  # somebody else's, or of another version
            return None
        return document if "staa_version" in document else None

    def _mark(self) -> dict[str, Any]:
        try:
            mark = json.loads(self._bytes(MARK) or b"{}")
        except ValueError:
            return {}
        return mark if isinstance(mark, dict) else {}

    def _put_mark(self, names: Iterable[str], source: Source | None) -> None:
        mark: dict[str, Any] = {"staa_version": __version__, "files": sorted(names)}
        if source is not None:
            path = path_fields(source.file) if source.file is not None else {}
            mark["video"] = path | {"sha256": source.sha256}
        with atomic_path(self.path / MARK) as part:
            part.write_text(json.dumps(mark) + "\n", encoding="utf-8")

    def _restore(self, mark: bytes | None, made: bool) -> None:
        """Put the mark back as it was; gives way to what broke off the writing."""
        with suppress(OSError, OutputError):
            if mark is None:
                (self.path / MARK).unlink(missing_ok=True)
            else:
                with atomic_path(self.path / MARK) as part:
                    part.write_bytes(mark)
            if made:
                self.path.rmdir()

    def _bytes(self, name: str) -> bytes | None:
        path = self.path / name
        return path.read_bytes() if path.is_file() else None

    def _stamps(self, names: Sequence[str]) -> list[tuple[int, int] | None]:
        """What tells a file from the one that replaces it."""
        stamps: list[tuple[int, int] | None] = []
        for name in names:
            try:
                stat = (self.path / name).stat()
            except OSError:
                stamps.append(None)
            else:
                stamps.append((stat.st_ino, stat.st_mtime_ns))
        return stamps


def _is_one_file(one: Path, other: Path) -> bool:
    """Whether two absolute paths are equal, or lead to one file."""
    if one == other:
        return True
    with suppress(OSError):
        return one.samefile(other)
    return False
