"""Find the reports in a folder of results, and load them one by one with what is beside them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from staa_cli.errors import InputError
from staa_cli.files import MAPS, MARK, REPORT
from staa_cli.results.arrays import load_explanation
from staa_cli.results.document import Report
from staa_cli.results.report import EXPLAIN_AGAIN, load_report
from staa_cli.schema import Explanation

_LONGEST_S = 1e9


def report_paths(place: Path) -> list[Path]:
    """The reports below a folder, sorted; a file is its only one.

    Raises:
        InputError: a folder cannot be read.
    """
    if not place.is_dir():
        return [place]
    return sorted(_reports(place))


def _reports(folder: Path) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        raise InputError(f"cannot read {error.filename}: {(error.strerror or '').lower()}")

    for here, _, names in os.walk(folder, onerror=refuse):
        if REPORT in names:
            yield Path(here, REPORT)


def check_finished(path: Path) -> None:
    """Check that nothing was interrupted while it wrote a result.

    Raises:
        InputError: the folder of the report has the marker of a run.
    """
    if (path.parent / MARK).exists():
        raise InputError(f"{path.parent} is of an interrupted run", EXPLAIN_AGAIN)


def load_consistent(path: Path) -> Report:
    """Read a report whose columns agree with each other.

    Raises:
        InputError: it is broken or inconsistent, or of another schema version.
    """
    report = load_report(path)
    if fault := next(_faults(report), None):
        raise InputError(f"{path} is not a staa report: {fault}", EXPLAIN_AGAIN)
    return report


def explanation_beside(path: Path) -> Explanation | None:
    """The explanation from the maps beside a report, None if there are no maps.

    Raises:
        InputError: the maps are broken, or belong to another report.
    """
    has_maps = path.name == REPORT and (path.parent / MAPS).is_file()
    return load_explanation(path.parent) if has_maps else None


def _is_within(time_s: float | None, times_s: Sequence[float]) -> bool:
    return time_s is None or times_s[0] - 1 <= time_s <= times_s[-1] + 1


def _faults(report: Report) -> Iterator[str]:
    """What is inconsistent in a report, as after an edit by hand; types cannot say it."""
    frames, spatial = report.frames, report.spatial
    columns = (frames.index, frames.time_s, frames.score, frames.weighted_score, frames.seen)
    if len({len(column) for column in columns}) != 1:
        yield "frames: its columns differ in length"
    elif len(set(frames.index)) < len(frames.index) or (np.diff(frames.time_s) <= 0).any():
        yield "frames: not in the order of time"
    elif all(score is None for score in frames.score):
        yield "frames: no frame has a score"
    elif frames.time_s[-1] > _LONGEST_S:
        yield "frames.time_s: it is longer than thirty years"
    elif not _is_within(report.temporal.peak_s, frames.time_s):
        yield "temporal.peak_s: not within the frames"
    rows, columns_across = spatial.grid
    if len(spatial.mean_map) != rows or {len(row) for row in spatial.mean_map} != {columns_across}:
        yield "spatial.mean_map: not of the size of spatial.grid"
    left, top, right, bottom = spatial.box
    if left >= right or top >= bottom:
        yield "spatial.box: it is empty"
    if min(report.video.sample_aspect_ratio) < 1:
        yield "video.sample_aspect_ratio: not of positive numbers"
    if not report.prediction.top_k:
        yield "prediction.top_k: it is empty"
