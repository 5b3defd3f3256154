"""Find the reports of two runs, pair them by the hash of their video, and measure a pair."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from staa_cli.errors import InputError
from staa_cli.files import MAPS, REPORT
from staa_cli.paths import path_fields, path_from
from staa_cli.remote.addresses import is_url
from staa_cli.results.diff import measures
from staa_cli.results.diff.document import (
    Measures,
    Side,
    SpatialShift,
    TemporalShift,
    Unpaired,
)
from staa_cli.results.document import Failure, Place, Report, WarningRow
from staa_cli.results.report import EXPLAIN_AGAIN, load_document
from staa_cli.results.stored import (
    check_finished,
    explanation_beside,
    load_consistent,
    report_paths,
)
from staa_cli.schema import Explanation, HeatMaps

_SEEDS = ("sampling.seed", "method.seed")


@dataclass(frozen=True, slots=True)
class Entry:
    """A report in a run, of which only the video is known yet."""

    path: Path
    """Of the report."""
    folder: Path
    """Folder of the report, relative to that of the run."""
    video: Path | str
    """Its path, or its URL."""
    sha256: str

    def unpaired(self) -> Unpaired:
        """As a report without a counterpart."""
        return Unpaired(
            **path_fields(self.path), video=Place(**path_fields(self.video)), sha256=self.sha256
        )


class _Video(msgspec.Struct):
    sha256: str
    path: str
    path_bytes: str | None = None


class _Head(msgspec.Struct):
    video: _Video


def find_entries(run: Path) -> tuple[list[Entry], list[Failure]]:
    """The reports of a run, a report or a folder of them, and those that cannot be read.

    Raises:
        InputError: there is no report.
    """
    if not run.exists():
        raise InputError(f"no such file or folder: {run}", "give a report, or a folder of them")
    paths = report_paths(run)
    if not paths:
        raise InputError(f"{run} has no {REPORT} in it", "give a report, or a folder of them")
    entries, failures = [], []
    for path in paths:
        try:
            entries.append(_entry(path, run))
        except InputError as error:
            failures.append(Failure(error.cause, error.hint))
    return entries, failures


def _entry(path: Path, run: Path) -> Entry:
    check_finished(path)
    video = load_document(path, _Head).video
    if not video.sha256:
        raise InputError(f"{path} does not say which video it is of", EXPLAIN_AGAIN)
    folder = path.parent.relative_to(run) if run.is_dir() else Path()
    try:
        source: Path | str = path_from({"path": video.path, "path_bytes": video.path_bytes})
    except ValueError as error:
        raise InputError(f"{path} does not say which video it is of", EXPLAIN_AGAIN) from error
    source = video.path if is_url(video.path) else source
    return Entry(path, folder, source, video.sha256)


def paired(
    old: Sequence[Entry], new: Sequence[Entry]
) -> tuple[list[tuple[Entry, Entry]], list[Entry], list[Entry]]:
    """Pairs of reports of the same video in the order of the old ones, and those without.

    Where a run has several reports of a video, those in the same relative folder belong together,
    and then the last two that are left, if there is one on either side.
    """
    by_hash: dict[str, dict[Path, Entry]] = {}
    for entry in new:
        by_hash.setdefault(entry.sha256, {})[entry.folder] = entry
    partners: dict[Entry, Entry] = {}
    for entry in old:
        partner = by_hash.get(entry.sha256, {}).pop(entry.folder, None)
        if partner is not None:
            partners[entry] = partner
    left: dict[str, list[Entry]] = {}
    for entry in old:
        if entry not in partners:
            left.setdefault(entry.sha256, []).append(entry)
    for digest, entries in left.items():
        others = by_hash.get(digest, {})
        if len(entries) == len(others) == 1:
            _, partners[entries[0]] = others.popitem()
    pairs = [(entry, partners[entry]) for entry in old if entry in partners]
    taken = set(partners.values())
    missing = [entry for entry in old if entry not in partners]
    return pairs, missing, [entry for entry in new if entry not in taken]


@dataclass(frozen=True, slots=True)
class Result:
    """A report whose columns are consistent, and its maps if they are there."""

    path: Path
    report: Report
    explanation: Explanation | None
    """With the maps."""

    @classmethod
    def load(cls, path: Path) -> Result:
        """Load a report and the maps beside it.

        Raises:
            InputError: a file is broken or inconsistent, or of another schema version.
        """
        return cls(path, load_consistent(path), explanation_beside(path))

    @property
    def maps(self) -> HeatMaps | None:
        """Its maps over time, if they are there."""
        return None if self.explanation is None else self.explanation.maps

    @property
    def label(self) -> str:
        """The class with the highest probability or value."""
        return self.report.prediction.top_k[0].label

    def side(self) -> Side:
        """As a part of the output."""
        report = self.report
        return Side(
            **path_fields(self.path),
            model=report.model.name,
            weights_sha256=report.model.weights_sha256,
            method=report.method.name,
            label=self.label,
            target=report.prediction.target,
            peak_s=report.temporal.peak_s,
        )

    def scores(self) -> dict[int, float]:
        """The temporal score of every covered frame, by its index in the video."""
        frames = self.report.frames
        pairs = zip(frames.index, frames.score, strict=True)
        return {index: score for index, score in pairs if score is not None}


def measure(old: Result, new: Result) -> Measures:
    """How much the new explanation of a video differs from the old one."""
    before, after = old.report, new.report
    outputs = {result.report.model.output == "identity" for result in (old, new)}
    change = after.prediction.target.score - before.prediction.target.score
    codes = [[row.code for row in report.warnings] for report in (before, after)]
    return Measures(
        temporal=_temporal(old, new),
        spatial=_spatial(old, new),
        label_changed=old.label != new.label,
        confidence_change=change if len(outputs) == 1 else None,
        warnings_added=[code for code in dict.fromkeys(codes[1]) if code not in codes[0]],
        warnings_removed=[code for code in dict.fromkeys(codes[0]) if code not in codes[1]],
    )


def _temporal(old: Result, new: Result) -> TemporalShift:
    curves = []
    for report in (old.report, new.report):
        times_s = np.array(report.frames.time_s)
        scores = np.array(report.frames.score, np.float64)  # NaN where no clip reaches
        covered = ~np.isnan(scores)
        weights = measures.durations(times_s)[covered]
        curves.append((times_s[covered], measures.distribution(scores[covered], weights)))
    shift_s = measures.time_shift_s(*curves[0], *curves[1])
    explained_s = max(
        float(measures.durations(np.array(report.frames.time_s)).sum())
        for report in (old.report, new.report)
    )
    flat = old.report.temporal.flat or new.report.temporal.flat
    return TemporalShift(
        shift_s=shift_s,
        shift_share=shift_s / explained_s,
        rank_correlation=None if flat else measures.rank_agreement(old.scores(), new.scores()),
    )


def _spatial(old: Result, new: Result) -> SpatialShift:
    before, after, video = old.report.spatial, new.report.spatial, new.report.video
    across, down = video.sample_aspect_ratio
    by_time = None
    if old.maps is not None and new.maps is not None:
        by_time = measures.energy_moved_by_time(
            *(old.maps.times_s, old.maps.values.astype(np.float64), old.maps.box),
            *(new.maps.times_s, new.maps.values.astype(np.float64), new.maps.box),
        )
    return SpatialShift(
        energy_moved=float(
            measures.energy_moved(
                np.array(before.mean_map), before.box, np.array(after.mean_map), after.box
            )
        ),
        center_shift=measures.center_shift(
            before.center, after.center, (video.width * across, video.height * down)
        ),
        energy_moved_by_time=by_time,
    )


def caveats(old: Result, new: Result) -> list[WarningRow]:
    """What makes the comparison of two reports less meaningful."""
    return [WarningRow(code, text) for code, text in _caveats(old, new)]


def _caveats(old: Result, new: Result) -> Iterator[tuple[str, str]]:
    before, after = old.report, new.report
    if before.model.weights_sha256 == after.model.weights_sha256:
        yield "same-weights", "both were explained with the same weights"
    if before.method.name != after.method.name:
        yield "different-method", f"explained by {before.method.name} and by {after.method.name}"
    if names := different_settings(before, after, excluded=("method.name",)):
        yield "different-settings", f"explained with different {', '.join(names)}"
    if _frames_seen(before) != _frames_seen(after):
        yield "different-sampling", "the models saw different frames of the video"
    targets = [report.prediction.target.label for report in (before, after)]
    if targets[0] != targets[1] and (before.method.class_specific or after.method.class_specific):
        yield "different-class", f"the maps explain {targets[0]!r} and {targets[1]!r}"
    shapes = [" x ".join(map(str, report.spatial.grid)) for report in (before, after)]
    if shapes[0] != shapes[1]:
        yield "different-grid", f"maps of {shapes[0]} and of {shapes[1]} cells, made equally coarse"
    if before.spatial.box != after.spatial.box:
        yield "different-crop", "the models saw different parts of the picture"
    if before.staa_version != after.staa_version:
        versions = f"{before.staa_version} and {after.staa_version}"
        yield "different-version", f"explained by staa {versions}"
    for name, result in (("old", old), ("new", new)):
        if result.maps is None:
            yield "no-maps", f"the {name} result has no {MAPS}: mean maps were compared alone"
        if result.report.temporal.maximum <= 0:
            yield "no-evidence", f"the {name} score is nowhere positive, and counts as uniform"


def _frames_seen(report: Report) -> list[list[int]]:
    return [clip.frame_indices for clip in report.sampling.clips]


def different_settings(old: Report, new: Report, excluded: Iterable[str] = ()) -> list[str]:
    """Names of settings that differ, of those that a shift can come from, other than the model."""
    one, other = _settings(old.settings), _settings(new.settings)
    names = sorted(one.keys() | other.keys())
    return [name for name in names if one.get(name) != other.get(name) and name not in excluded]


def _settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    flat = {name: settings[name] for name in ("target", "precision") if name in settings}
    for section in ("sampling", "method", "post"):
        values = settings.get(section)
        if isinstance(values, Mapping):
            flat |= {f"{section}.{name}": value for name, value in values.items()}
    return flat


def check_noise(old: Result, noise: Result) -> None:
    """Check that a run differs from the old one by chance alone.

    Raises:
        InputError: it has other weights, or other settings than seeds.
    """
    if noise.report.model.weights_sha256 != old.report.model.weights_sha256:
        raise InputError(
            f"{noise.path} is of other weights than {old.path}",
            "a noise run explains the same videos with the old checkpoint once more",
        )
    if names := different_settings(old.report, noise.report, excluded=_SEEDS):
        raise InputError(
            f"{noise.path} has other settings than {old.path}: {', '.join(names)}",
            "a noise run may differ in --seed alone",
        )
