"""Base class of export formats, their options, and their registry."""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

from staa_cli import entry_points
from staa_cli.errors import InputError
from staa_cli.paths import path_from
from staa_cli.registry import Registry
from staa_cli.remote.addresses import is_url
from staa_cli.results.document import Moment, Report
from staa_cli.results.stored import check_finished, explanation_beside, load_consistent
from staa_cli.schema import Explanation

Rows = Literal["frames", "videos", "moments"]
Maps = Literal["all", "seen", "none"]

_ROUNDED_S = 0.001
"""Difference of times that are equal but for their rounding in a report."""


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """Options of the formats; each one names in `Export.options` those that it uses."""

    rows: Rows = "frames"
    """What a row of a table is."""
    maps: Maps = "all"
    """Frames that get a heat map: all, those that the model saw, or none."""
    url: str | None = None
    """What the address of a video starts with."""
    root: Path | None = None
    """Folder that addresses of videos are relative to, and in which videos are looked for."""


@dataclass(frozen=True)
class Result:
    """A report, and where it is."""

    name: str
    """Folder of the report relative to that of all results; identifies it among them."""
    path: Path
    """Of the report."""
    report: Report

    @classmethod
    def load(cls, name: str, path: Path) -> Result:
        """Load a report.

        Raises:
            InputError: it is broken, interrupted, or of another schema version.
        """
        check_finished(path)
        return cls(name, path, load_consistent(path))

    @cached_property
    def explanation(self) -> Explanation | None:
        """The explanation with its maps, None if they were not stored.

        Raises:
            InputError: the maps are broken, or belong to another report.
        """
        return explanation_beside(self.path)

    def video_file(self, root: Path | None) -> Path:
        """Absolute path of the video: below the folder of its run, else `root`, else this folder.

        Of these, the first in which it is, or else the first.

        Raises:
            InputError: the result is of frames in memory, or of a video at a URL.
        """
        video, run = self.report.video, self.report.run
        if video.path == "<frames>":
            raise InputError(
                f"{self.path} is of frames in memory",
                "export it as csv or parquet, which need no video",
            )
        if is_url(video.path):
            raise InputError(
                f"{self.path} is of a video at a URL, {video.path}",
                "export it as labelstudio, csv, or parquet; or download it, and explain the copy",
            )
        folders = [root.absolute()] if root is not None else []
        if run is not None:
            fields = {"folder": run.folder, "folder_bytes": run.folder_bytes}
            folders.insert(0, path_from(fields, "folder"))
        path = path_from({"path": video.path, "path_bytes": video.path_bytes})
        files = [folder / path for folder in (*folders, Path.cwd())]
        return next((file for file in files if file.is_file()), files[0])

    def span(self, moment: Moment) -> tuple[int, int]:
        """Positions in the report's frames of the first and the last frame of a moment."""
        times_s = self.report.frames.time_s
        first = min(bisect_left(times_s, moment.start_s - _ROUNDED_S), len(times_s) - 1)
        return first, max(bisect_left(times_s, moment.end_s - _ROUNDED_S) - 1, first)


class Export(ABC):
    """Writes results, which it receives one by one.

    Each format has one class in a separate module, which imports heavy packages only when needed.

    Args:
        paths: of the files to write, by their names in `files`. They are temporary: they replace
            existing files together, when the last one is complete.
        chosen: options, of which it uses those in `options`.

    Raises:
        UnavailableError: a package is missing.
    """

    name: ClassVar[str]
    """Name of the format."""
    summary: ClassVar[str]
    """One line about the format."""
    options: ClassVar[frozenset[str]] = frozenset()
    """Names of the `ExportOptions` that it uses."""
    opens_folder: ClassVar[bool] = False
    """Whether the tool opens the folder instead of the files."""

    def __init__(self, paths: Mapping[str, Path], chosen: ExportOptions) -> None:
        self.paths, self.chosen = paths, chosen
        self.caveats: list[str] = []
        """What people should know about the files; complete after `finish`."""

    @classmethod
    @abstractmethod
    def files(cls, chosen: ExportOptions) -> Sequence[str]:
        """Names of the files that it writes."""

    @abstractmethod
    def add(self, result: Result) -> None:
        """Add a result, completely or not at all.

        Raises:
            InputError: the format cannot hold it.
            OSError: a file cannot be written.
        """

    @abstractmethod
    def finish(self) -> None:
        """Complete all files.

        Raises:
            OSError: a file cannot be written.
        """

    def close(self) -> None:  # noqa: B027
        """Close what is open, also after an error."""


def _accept(name: str, declared: Any) -> type[Export]:
    if not isinstance(declared, type) or not issubclass(declared, Export):
        raise TypeError("expected a class derived from staa_cli.results.exports.base.Export")
    declared.name = name
    return declared


EXPORTS: Registry[type[Export]] = Registry("export format", entry_points.EXPORTS, _accept)
"""Export formats by name, in order of declaration."""
register_export = EXPORTS.register
"""A decorator that registers an `Export` under a name in the running program."""
