"""Collect the results in a folder: reports are loaded one by one, and reduced to entries."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from staa_cli import __version__
from staa_cli.errors import InputError
from staa_cli.files import INDEX
from staa_cli.paths import as_text, path_fields, path_from
from staa_cli.results.document import Place, Report
from staa_cli.results.index.document import BrokenReport, Entry, FailedInput, Index, Measured
from staa_cli.results.report import load_document
from staa_cli.results.stored import check_finished, load_consistent, report_paths
from staa_cli.results.writers.base import WRITERS
from staa_cli.schema import SCHEMA_VERSION, Float64

OnResult = Callable[[str, int, int], None]
"""Called with a result's folder, the number of results before it, and the number of all."""
_PARTS = 48
"""Maximum number of parts of a curve."""
_ROUNDED = 1e-3
"""Times in a report are rounded; a frame this much of a part before the next one belongs to it."""


def collect(
    folder: Path,
    reports: Sequence[Path],
    failed: Iterable[FailedInput] = (),
    on_result: OnResult = lambda name, done, total: None,
) -> Index:
    """The overview of some results below a folder.

    Args:
        folder: that paths are relative to.
        reports: to include.
        failed: inputs without a result. Those that have one since then are left out.
        on_result: called before every result.

    Returns:
        The overview; it also has the reports that cannot be read.
    """
    entries, broken = list[Entry](), list[BrokenReport]()
    for done, path in enumerate(reports):
        on_result(as_text(path.parent.name), done, len(reports))
        try:
            check_finished(path)
            entries.append(entry_of(load_consistent(path), path.parent, folder))
        except InputError as error:
            broken.append(
                BrokenReport(as_text(error.cause), error.hint, report=place_of(path, folder))
            )
    found = {entry.folder: entry.fingerprint for entry in entries}
    return Index(
        schema_version=SCHEMA_VERSION,
        staa_version=__version__,
        files=[],
        results=entries,
        failed_inputs=sorted(
            (one for one in failed if not _has_result(one, found)), key=lambda one: one.input.path
        ),
        broken_reports=broken,
    )


def collect_folder(
    folder: Path,
    failed: Iterable[FailedInput] | None = None,
    on_result: OnResult = lambda name, done, total: None,
) -> Index:
    """The overview of all results below a folder, at any depth.

    Args:
        folder: with results; one that does not exist has none.
        failed: inputs without a result; by default those of its stored overview.
        on_result: called before every result.

    Raises:
        InputError: a folder cannot be read.
    """
    if failed is None:
        earlier = stored_index(folder)
        failed = earlier.failed_inputs if earlier is not None else ()
    reports = report_paths(folder) if folder.is_dir() else []
    return collect(folder, reports, failed, on_result)


def stored_index(folder: Path) -> Index | None:
    """The overview that is stored in a folder, None if there is none that can be read."""
    try:
        return load_document(folder / INDEX, Index)
    except InputError:
        return None


def place_of(path: Path, folder: Path) -> Place:
    """A path relative to a folder, with slashes; as it is if it is not in the folder."""
    relative = path.relative_to(folder) if path.is_relative_to(folder) else path
    return Place(**path_fields(relative.as_posix()))


def path_of(place: Place) -> Path:
    """A place as a path.

    Raises:
        ValueError: its bytes are not base64, as after an edit by hand.
    """
    return path_from({"path": place.path, "path_bytes": place.path_bytes})


def folder_of(entry: Entry, folder: Path) -> Path:
    """The folder of a result, below that of its overview."""
    return folder / path_of(entry.folder)


def _has_result(failed: FailedInput, found: dict[Place, str]) -> bool:
    """Whether a result was written after the failure."""
    if failed.folder is None or failed.folder not in found:
        return False
    return found[failed.folder] != failed.fingerprint


def entry_of(report: Report, result: Path, folder: Path) -> Entry:
    """The entry of a result in the overview of a folder.

    Args:
        report: of the result, consistent.
        result: its folder.
        folder: that paths are relative to.
    """
    video, model, frames = report.video, report.model, report.frames
    across, down = video.sample_aspect_ratio
    first_s, last_s, steps = frames.time_s[0], frames.time_s[-1], len(frames.time_s) - 1
    end_s = last_s + (last_s - first_s) / steps if steps else min(last_s + 1, video.duration_s)
    return Entry(
        folder=place_of(result, folder),
        fingerprint=report.fingerprint,
        video=Place(video.path, video.path_bytes),
        sha256=video.sha256,
        duration_s=video.duration_s,
        aspect_ratio=video.width / video.height * across / down,
        start_s=first_s,
        end_s=end_s,
        model=model.name,
        weights_sha256=model.weights_sha256,
        output=model.output,
        method=report.method.name,
        label=report.prediction.top_k[0].label,
        target=report.prediction.target,
        peak_s=report.temporal.peak_s,
        flat=report.temporal.flat,
        covered_share=report.coverage.covered_share,
        curve=_curve(frames.time_s, frames.weighted_score, end_s),
        warnings=report.warnings,
        files=[writer.file for _, writer in WRITERS.items() if (result / writer.file).is_file()],
        faithfulness=_measured(report),
    )


def _curve(
    times_s: Sequence[float], scores: Sequence[float | None], end_s: float
) -> list[float | None]:
    """The highest score in each part of the time, as a share of their range, to two decimals."""
    values = np.array([np.nan if score is None else score for score in scores])
    values = values / 2  # so that no difference is infinite
    highest = highest_by_part(np.array(times_s), values, end_s)
    if np.isnan(highest).all():
        return [None] * len(highest)
    low, high = min(0.0, float(np.nanmin(values))), float(np.nanmax(values))
    scale = high - low if high > low else 1.0
    return [None if np.isnan(v) else round(float((v - low) / scale), 2) for v in highest]


def highest_by_part(times_s: Float64, values: Float64, end_s: float) -> Float64:
    """[P] highest value in each of at most 48 equal parts of the time, NaN where none is known.

    A part in which no frame begins shows the one before it.

    Args:
        times_s: [N] start times of frames.
        values: [N] NaN where unknown.
        end_s: end of the last frame.
    """
    count = min(_PARTS, len(values))
    span_s = max(end_s - times_s[0], 1e-9)
    shares = (times_s - times_s[0]) / span_s
    parts = (shares * count + _ROUNDED).astype(int).clip(0, count - 1)
    starts = np.searchsorted(parts, np.arange(count))
    highest = np.full(count, np.nan)
    for place, (first, stop) in enumerate(zip(starts, (*starts[1:], len(values)), strict=True)):
        part = values[first:stop] if stop > first else values[max(first - 1, 0) : first]
        known = part[~np.isnan(part)]
        highest[place] = known.max() if len(known) else np.nan
    return highest


def _measured(report: Report) -> Measured | None:
    faithfulness = report.faithfulness
    if faithfulness is None or not faithfulness.rows:
        return None
    row = faithfulness.rows[0]  # the explanation's method
    return Measured(row.srg, row.srg_low, row.srg_high, faithfulness.quick, faithfulness.beaten_by)
