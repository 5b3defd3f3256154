"""A folder with the result of one source: ownership, completeness, and safe writing.

`report.json`, or another document of staa, is written last and shows that the result is complete.
During writing, the marker file `.staa-writing` lists the files that belong to staa and their
source, so that the next run may replace these, and nothing else.
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
    MAPS,
    MARK,
    PAGE,
    REPORT,
    atomic_path,
    is_own,
    output_errors,
    parts_of,
    schema_version_of,
    sha256_of,
)
from staa_cli.paths import as_text, path_fields, path_from
from staa_cli.remote.addresses import is_url
from staa_cli.results.arrays import fingerprint_in
from staa_cli.results.pages.page import is_page
from staa_cli.results.report import load_document, load_report
from staa_cli.results.writers.base import WRITERS
from staa_cli.schema import SCHEMA_VERSION, VideoInfo
from staa_cli.video.folders import absolute

if TYPE_CHECKING:
    from staa_cli.results.document import Report

OF_COMPARISON = (COMPARED, COMPARED_STILL, COMPARISON)


@dataclass(frozen=True, slots=True)
class Source:
    """The file that a result is made from."""

    file: Path | None
    """Absolute; None if it is not here, or if a result does not state the folder that its path is
    relative to."""
    sha256: str | None = None
    """None if the file has not been read yet."""
    url: str | None = None
    """Where the file was downloaded from, without credentials."""

    @classmethod
    def of_file(cls, path: Path, url: str | None = None) -> Source:
        """The source of a file that has not been read; of a copy, its URL is given."""
        return cls(absolute(path), url=url)

    @classmethod
    def of_video(cls, video: VideoInfo) -> Source:
        """The source of a probed video; one that is not a file has only a hash."""
        file = absolute(Path(video.path))
        return cls(file if file.is_file() else None, video.sha256, video.url)

    @classmethod
    def of_document(cls, document: Mapping[str, Any]) -> Source | None:
        """The source in a report, a comparison, or a marker; None if it has no single video.

        A relative path starts at the folder of the run, which reproducible reports do not state.
        """
        video = document.get("video")
        if not isinstance(video, Mapping):
            return None
        if is_url(str(video.get("path"))):
            return cls(None, video.get("sha256"), video["path"])
        run = document.get("run") or {}
        try:
            base = path_from(run, "folder") if "folder" in run else Path()
            path = base / path_from(video) if "path" in video else Path()
        except (TypeError, ValueError, AttributeError):  # the document was edited
            path = Path()
        return cls(absolute(path) if path.is_absolute() else None, video.get("sha256"))

    def is_same(self, other: Source) -> bool:
        """Whether `other`, the source of a result, is the same as this one.

        They are the same file or URL, even if it has been edited or re-encoded since, or have the
        same content, as after a move.
        """
        if self.url is not None and self.url == other.url:
            return True
        if (
            self.file is not None
            and other.file is not None
            and _is_same_file(self.file, other.file)
        ):
            return True
        if self.file is None:
            return self.sha256 == other.sha256
        try:
            return (self.sha256 or sha256_of(self.file)) == other.sha256
        except OSError:  # opening it will report the problem
            return True


class ResultFolder:
    """A folder for the result of one source, possibly with foreign files in it.

    Args:
        path: of the folder, which may not exist yet.
        document: the JSON file that is written last; if staa wrote it, it also wrote the others, or
            those that the document lists as `files`. So it did if a report or a comparison only
            begins as its own do, as one that was cut short, or of another version.
        option: that chooses another folder, for messages; empty if there is none.
        title: of the folder, for messages; by default its path.
    """

    def __init__(
        self,
        path: Path,
        document: str = REPORT,
        option: str = "--output-dir",
        title: str | None = None,
    ) -> None:
        self.path = path
        self._document, self._option = document, option
        self._title = str(path) if title is None else title

    def document(self) -> dict[str, Any] | None:
        """The content of the document, None if there is none from staa."""
        return self._read(self._document)

    def report(self) -> Report | None:
        """The report, None if there is no valid one from staa."""
        try:
            return load_report(self.path / self._document)
        except InputError:  # truncated or edited: it will be replaced
            return None

    @property
    def interrupted(self) -> bool:
        """Whether there is a marker: files may be from a later, interrupted run."""
        return (self.path / MARK).exists()

    def source(self) -> Source | None:
        """The source of the document, None if there is no document with a single source."""
        return Source.of_document(self.document() or {})

    def places_of(self, video: VideoInfo) -> list[Path]:
        """Where the explained video may be: by its path from here, and from where it was given.

        What is kept of a stream is beside its result, also after the folder was moved.
        """
        source = self.source()
        given = [source.file] if source and source.file else []
        return [Path(video.path), *given, self.path / Path(video.path).name]

    def finished(
        self,
        names: Sequence[str],
        fingerprint: str,
        *,
        reproducible: bool = False,
        is_likeness: bool = False,
    ) -> Report | None:
        """The report of a finished run with that fingerprint, None if there is work to do.

        Args:
            names: of its files.
            fingerprint: of the run.
            reproducible: a report with run details does not count as finished.
            is_likeness: the files but for the report are not those of the result.
        """
        if self.interrupted:
            return None
        report, written = self.report(), [self.path / name for name in names]
        complete = all(path.is_file() and path.stat().st_size for path in written)
        if report is None or not complete or (reproducible and report.run):
            return None
        if report.fingerprint != fingerprint:
            return None
        has_maps = MAPS in names and not is_likeness
        if has_maps and fingerprint_in(self.path / MAPS) != fingerprint:
            return None
        return report

    def check(
        self, names: Sequence[str], source: Source | None = None, *, force: bool = False
    ) -> None:
        """Check that files may be written; changes nothing.

        Args:
            names: of the files.
            source: of the result, None if there is no single one.
            force: whether the result of another source may be replaced.

        Raises:
            OutputError: a foreign file is in the way, or the folder holds the result of another
                source, or of a newer version.
        """
        with output_errors(self.path):
            own_files = self._own_names(names, force)
            foreign = [
                name for name in names if name not in own_files and (self.path / name).exists()
            ]
        elsewhere = f", or choose another folder with {self._option}" if self._option else ""
        if self._document in foreign:
            hint = f"move the folder away, or remove it{elsewhere}"
            if self._has_page:
                hint = f"--force replaces it and the files of staa beside it{elsewhere}"
            raise OutputError(
                f"{self._title}/{self._document} is in the way and was not written by staa, or is "
                "damaged beyond recognition",
                hint,
            )
        if foreign:
            raise OutputError(
                f"{self._title}/{foreign[0]} is in the way and was not written by staa",
                f"move it away{elsewhere}",
            )
        version = schema_version_of(self.path / self._document)
        if version is not None and version > SCHEMA_VERSION and not force:
            replaces = "--force replaces it" if self._document == REPORT else "move it away"
            raise OutputError(
                f"{self._title}/{self._document} has schema version {version}, of a newer staa",
                f"{replaces}{elsewhere}",
            )
        if source is not None and not force:
            self.check_source(source)

    def check_source(self, source: Source) -> None:
        """Check that the folder has no result of another source.

        Raises:
            OutputError: it has.
        """
        with output_errors(self.path):
            others = [other for other in self._sources() if not source.is_same(other)]
        if others:
            place = others[0].url or others[0].file
            name = f", {as_text(place)}" if place is not None else ""
            raise OutputError(
                f"{self._title} holds the results of another video{name}",
                f"{APART}; --force replaces them" if self._document == REPORT else APART,
            )

    @contextmanager
    def writing(
        self, names: Sequence[str], source: Source | None = None, *, force: bool = False
    ) -> Iterator[None]:
        """A context in which files are written, with a marker and without temporary leftovers.

        On success, files of another source are removed. On an error or an interrupt, new files are
        removed, and the folder is as before; if a file has been replaced, the marker stays.

        Raises:
            OutputError: as `check`, or the folder cannot be created or written.
        """
        self.check(names, source, force=force)
        obsolete = self._files_of_others(source) - set(names)
        is_new = not self.path.exists()
        with output_errors(self.path):
            own_files = self._own_names(names, force)
            self.path.mkdir(parents=True, exist_ok=True)
            for part in [part for name in (*names, MARK) for part in parts_of(self.path / name)]:
                part.unlink(missing_ok=True)
            mark, before = self._bytes(MARK), self._stamps(names)
        try:
            self._write_mark(own_files | set(names), source)
            yield
        except BaseException:
            with suppress(OSError, OutputError):
                self.drop(name for name, old in zip(names, before, strict=True) if old is None)
            if self._stamps(names) == before:
                self._restore(mark, is_new)
            raise
        self.drop([*obsolete, MARK], keep=source)

    def drop(self, names: Iterable[str], keep: Source | None = None) -> None:
        """Remove files of another result, which would look like a part of this one.

        Args:
            names: of the files, which may be missing.
            keep: is not removed, as it is the video of this result.

        Raises:
            OutputError: a file cannot be removed.
        """
        for path in (self.path / name for name in names):
            if keep is not None and keep.file is not None and _is_same_file(path, keep.file):
                continue
            with output_errors(path):
                path.unlink(missing_ok=True)

    def _files_of_others(self, source: Source | None) -> set[str]:
        """Names of possible files of documents of another source."""
        names: set[str] = set()
        of_report = [writer.file for _, writer in WRITERS.items()]
        for document, files in ((REPORT, of_report), (COMPARISON, OF_COMPARISON)):
            other = Source.of_document(self._read(document) or {})
            if source is not None and other is not None and not source.is_same(other):
                names |= set(files)
        return names

    def _sources(self) -> list[Source]:
        """Sources of the folder's documents and its marker."""
        documents = (self._read(REPORT), self._read(COMPARISON), self._mark())
        sources = (Source.of_document(document) for document in documents if document)
        return [source for source in sources if source is not None]

    def _own_names(self, names: Sequence[str], force: bool) -> set[str]:
        """Names of files in the folder that staa may replace."""
        mark, document = self._mark(), self.document() or {}
        marked, listed = mark.get("files"), document.get("files")
        own = {str(name) for name in marked} if isinstance(marked, list) else set[str]()
        if isinstance(listed, list):
            return own | set(map(str, listed))
        if document or (force and self._has_page):
            return own | set(names)
        damaged = [self._document] if mark else [self._document, MARK]
        if any(is_own(self.path / name) for name in damaged):
            # An overview shares its folder with files of others, and listed its own.
            own |= set(names) if self._document in (REPORT, COMPARISON) else {self._document}
        return own

    @property
    def _has_page(self) -> bool:
        """Whether a page of staa shows whose the report beside it was, whatever is left of that."""
        is_report = self._document == REPORT and (self.path / REPORT).is_file()
        return is_report and is_page(self.path / PAGE, "staa")

    def _read(self, name: str) -> dict[str, Any] | None:
        if not (self.path / name).is_file():
            return None
        try:
            document: dict[str, Any] = load_document(self.path / name, dict)
        except InputError:  # foreign, or of another version
            return None
        return document if "staa_version" in document else None

    def _mark(self) -> dict[str, Any]:
        try:
            mark = json.loads(self._bytes(MARK) or b"{}")
        except ValueError:
            return {}
        return mark if isinstance(mark, dict) else {}

    def _write_mark(self, names: Iterable[str], source: Source | None) -> None:
        with atomic_path(self.path / MARK) as part:
            part.write_text(mark_text(names, source), encoding="utf-8")

    def _restore(self, mark: bytes | None, is_new: bool) -> None:
        """Restore the marker and the folder; errors are suppressed in favor of the original one."""
        with suppress(OSError, OutputError):
            if mark is None:
                (self.path / MARK).unlink(missing_ok=True)
            else:
                with atomic_path(self.path / MARK) as part:
                    part.write_bytes(mark)
            if is_new:
                self.path.rmdir()

    def _bytes(self, name: str) -> bytes | None:
        path = self.path / name
        return path.read_bytes() if path.is_file() else None

    def _stamps(self, names: Sequence[str]) -> list[tuple[int, int] | None]:
        """Inode and modification time of files, to detect replaced ones; None if missing."""
        stamps: list[tuple[int, int] | None] = []
        for name in names:
            try:
                stat = (self.path / name).stat()
            except OSError:
                stamps.append(None)
            else:
                stamps.append((stat.st_ino, stat.st_mtime_ns))
        return stamps


def mark_text(names: Iterable[str], source: Source | None) -> str:
    """The content of the marker: the files that belong to staa, and their source."""
    mark: dict[str, Any] = {"staa_version": __version__, "files": sorted(names)}
    if source is not None:
        place = source.url or source.file
        path = path_fields(place) if place is not None else {}
        mark["video"] = path | {"sha256": source.sha256}
    return json.dumps(mark) + "\n"


def _is_same_file(one: Path, other: Path) -> bool:
    """Whether two absolute paths are equal or refer to the same file."""
    if one == other:
        return True
    with suppress(OSError):
        return one.samefile(other)
    return False
