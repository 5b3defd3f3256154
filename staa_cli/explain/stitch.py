"""Combine clips: a score for every source frame, maps on one time axis, and statistics.

Uses timestamps only. Within a clip, scores and maps are interpolated between the times of the token
grid. Overlapping clips are averaged with weights that fall towards their ends, to avoid seams.
Scores of a clip extend one sampling interval beyond its ends where no other clip is; two clips that
meet there are blended. Frames that no clip reaches have no score and no map.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from staa_cli.schema import (
    Attribution,
    Bool,
    Clip,
    Float32,
    Float64,
    FrameScores,
    HeatMaps,
    Moment,
    SpatialStats,
    TemporalStats,
)
from staa_cli.statistics import space_variation, variation

Box = tuple[float, float, float, float]
"""Left, top, right, bottom in the frame, each 0 to 1."""

LONGEST_REACH_S = 2.0
"""Limit of the distance to a seen frame, as anything may happen further away."""
_MIN_WEIGHT = 0.05  # otherwise a frame at the ends of all its clips would have no weight
_ROUNDING = 1e-6
_EQUAL = 0.98
"""Peaks above this share of the highest count as equal, as coding noise alone changes them."""
_SEEN_FRAMES = 3
"""Minimum number of seen frames of a moment; with fewer, its duration would be arbitrary."""


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """Scores and maps of one clip on the video's time axis."""

    times_s: Float64
    """[K] increasing: the times of the token grid."""
    seen_s: Float64
    """[n] increasing: the frames that the model received."""
    maps: Float32
    """[K, h, w]."""
    scores: Float32
    """[K] raw temporal scores."""
    weight: float
    """Weight of the clip: p(target | clip), or 1 for raw outputs."""
    reach_s: float = 0.0
    """Distance from a seen frame up to which the clip's scores are used."""

    @classmethod
    def of(cls, clip: Clip, attribution: Attribution, maps: Float32, weight: float) -> Piece:
        """From a clip and its attribution, with postprocessed maps [T', h, w].

        Steps on the repeated last frames of a padded clip are left out.
        """
        frames = np.asarray(clip.times_s)
        steps = len(attribution.values)
        moments = frames.reshape(steps, -1).mean(axis=1)  # a tubelet has the time of its middle
        _, first = np.unique(moments, return_index=True)
        return cls(
            times_s=moments[first],
            seen_s=np.unique(frames),
            maps=maps[first],
            scores=attribution.temporal[first],
            weight=weight,
            reach_s=min(clip.interval_s, LONGEST_REACH_S),
        )

    def spans(self, times_s: Float64) -> Bool:
        """[N] whether times are between the clip's first and last frame."""
        # The mean of a tubelet's times may be rounded past the last frame.
        first, last = self.seen_s[0] - 1e-9, self.seen_s[-1] + 1e-9
        return np.asarray((times_s >= first) & (times_s <= last))

    def away_s(self, times_s: Float64) -> Float64:
        """[N] distance of times from the nearest seen frame."""
        after = np.searchsorted(self.seen_s, times_s).clip(0, len(self.seen_s) - 1)
        neighbors = self.seen_s[np.stack([np.maximum(after - 1, 0), after])]
        return np.asarray(np.abs(neighbors - times_s).min(axis=0))

    def blend_weight(self, times_s: Float64) -> Float64:
        """[N] weights: 1 in the clip's middle, falling towards its ends."""
        middle = (self.seen_s[0] + self.seen_s[-1]) / 2
        half = (self.seen_s[-1] - self.seen_s[0]) / 2
        if half <= 0:
            return np.ones_like(times_s)
        return np.asarray(np.maximum(1.0 - np.abs(times_s - middle) / half, 0.0) + _MIN_WEIGHT)


def stitch_scores(
    pieces: Sequence[Piece], times_s: Float64, part: range, duration_s: float
) -> FrameScores:
    """Combine the scores of clips to scores of every frame of a time range.

    Args:
        pieces: of a video.
        times_s: start of every frame of the video.
        part: positions of the N frames of the time range; scores are NaN where no clip reaches.
        duration_s: end of the last frame.
    """
    times = times_s[part.start : part.stop]
    reaches = [_Reach.of(piece, times) for piece in pieces]
    inside_any = np.zeros(len(times), np.bool_)
    for reach in reaches:
        inside_any[reach.frames] |= reach.inside
    total, raw, weighted = np.zeros((3, len(times)))
    for piece, reach in zip(pieces, reaches, strict=True):
        at = times[reach.frames]
        # Scores extend beyond a clip's ends only where no other clip is.
        beyond = np.where(inside_any[reach.frames], 0.0, reach.nearness)
        blend_weight = np.where(reach.inside, piece.blend_weight(at), beyond)
        score = np.interp(at, piece.times_s, piece.scores)
        total[reach.frames] += blend_weight
        raw[reach.frames] += blend_weight * score
        weighted[reach.frames] += blend_weight * score * piece.weight
    covered = total > 0
    share = np.where(covered, total, np.nan)
    ends_s = np.append(times_s, _end_s(times_s, duration_s))
    return FrameScores(
        times,
        (raw / share).astype(np.float32),
        (weighted / share).astype(np.float32),
        np.isin(times, np.concatenate([piece.seen_s for piece in pieces])),
        covered,
        float(ends_s[part.stop]),
        part.start,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Reach:
    """The frames of a time range that a clip reaches."""

    frames: slice
    """n frames."""
    nearness: Float64
    """[n] falls from 1 at seen frames to 0 beyond the clip's reach."""
    inside: Bool
    """[n] whether within reach, and between the clip's first and last frame."""

    @classmethod
    def of(cls, piece: Piece, times_s: Float64) -> _Reach:
        """The reach of a clip, possibly without frames."""
        slack_s = piece.reach_s + _ROUNDING
        ends_s = [piece.seen_s[0] - slack_s, piece.seen_s[-1] + slack_s]
        start, stop = np.searchsorted(times_s, ends_s)
        at = times_s[start:stop]
        left = 1.0 - piece.away_s(at) / max(piece.reach_s, _ROUNDING)
        # A distance exactly equal to the reach is included.
        nearness = np.where(left > -_ROUNDING, np.maximum(left, _ROUNDING), 0.0)
        return cls(slice(int(start), int(stop)), nearness, piece.spans(at) & (nearness > 0))


def with_rest(frames: FrameScores, times_s: Float64, duration_s: float) -> FrameScores:
    """Extend scores of a time range to all frames of the video; others have no score."""
    before = frames.first
    after = len(times_s) - before - len(frames.times_s)

    def padded(values: Any, fill: float) -> Any:
        return np.pad(values, (before, after), constant_values=fill)

    return FrameScores(
        times_s,
        padded(frames.score, np.nan),
        padded(frames.weighted_score, np.nan),
        padded(frames.seen, False),
        padded(frames.covered, False),
        _end_s(times_s, duration_s),
    )


def _end_s(times_s: Float64, duration_s: float) -> float:
    """End of the last frame, at least 1 ms after its start."""
    return max(duration_s, float(times_s[-1]) + 1e-3)


def stitch_maps(pieces: Sequence[Piece], box: Box) -> HeatMaps:
    """Combine the maps of clips, weighted, to one map per time of the token grids."""
    moments = np.unique(np.concatenate([piece.times_s for piece in pieces]))
    grid = pieces[0].maps.shape[1:]
    values = np.zeros((len(moments), *grid), dtype=np.float32)
    total = np.zeros(len(moments), dtype=np.float32)
    for piece in pieces:
        inside = np.flatnonzero(piece.spans(moments))
        blend_weight = piece.blend_weight(moments[inside]).astype(np.float32)
        total[inside] += blend_weight
        values[inside] += (blend_weight * piece.weight)[:, None, None] * _between(
            piece, moments[inside]
        )
    return HeatMaps(moments, np.asarray(values / total[:, None, None], np.float32), box)


def _between(piece: Piece, times_s: Float64) -> Float32:
    """[n, h, w] maps of a clip, interpolated in time."""
    if len(piece.times_s) == 1:
        return np.repeat(piece.maps, len(times_s), axis=0)
    right = np.clip(np.searchsorted(piece.times_s, times_s), 1, len(piece.times_s) - 1)
    left = right - 1
    span = piece.times_s[right] - piece.times_s[left]
    share = np.clip((times_s - piece.times_s[left]) / span, 0.0, 1.0)
    part = share.astype(np.float32)[:, None, None]  # [n, 1, 1]
    return piece.maps[left] * (1 - part) + piece.maps[right] * part


def smooth_scores(scores: FrameScores, kind: str, width_s: float) -> FrameScores:
    """Scores smoothed along the video: centered moving average, or causal exponential.

    The average's weights fall to zero at both ends of its window: with equal weights, a frame at
    the end of a run, whose window is cut, could get a higher score than an event next to it.

    Args:
        scores: of a video.
        kind: ``none``, ``average``, or ``exponential``.
        width_s: width of the window, or the time constant.
    """
    if kind == "none":
        return scores
    smooth = _average if kind == "average" else _exponential
    score, weighted = scores.score.copy(), scores.weighted_score.copy()
    for start, stop in scores.runs():  # without frames that no clip reaches
        for values in (score, weighted):
            values[start:stop] = smooth(scores.times_s[start:stop], values[start:stop], width_s)
    return replace(scores, score=score, weighted_score=weighted)


def _average(times_s: Float64, values: Float32, width_s: float) -> Float32:
    half_s = width_s / 2
    time = (times_s - times_s[0]) / half_s
    low = np.searchsorted(times_s, times_s - half_s, side="left")
    high = np.searchsorted(times_s, times_s + half_s, side="right")
    index = np.arange(len(times_s))

    def weighted_sums(row: Float64) -> Float64:
        """Sums of a row in every window, with weights 1 - |time difference| / half_s."""
        sums, time_sums = (np.concatenate([[0.0], np.cumsum(term)]) for term in (row, row * time))
        before = (1 - time) * (sums[index] - sums[low]) + (time_sums[index] - time_sums[low])
        after = (1 + time) * (sums[high] - sums[index]) - (time_sums[high] - time_sums[index])
        return np.asarray(before + after, np.float64)

    total = weighted_sums(np.ones(len(index)))
    return np.asarray(weighted_sums(values.astype(np.float64)) / total, np.float32)


def _exponential(times_s: Float64, values: Float32, width_s: float) -> Float32:
    out = values.astype(np.float64)
    keep = np.exp(-np.diff(times_s) / width_s)
    for n in range(1, len(out)):
        out[n] = keep[n - 1] * out[n - 1] + (1 - keep[n - 1]) * out[n]
    return out.astype(np.float32)


def temporal_stats(
    pieces: Sequence[Piece], frames: FrameScores, flat_below: float, still: bool = False
) -> TemporalStats:
    """Statistics of the temporal scores of a video.

    Args:
        pieces: of the video; their raw scores, without smoothing, decide whether it is flat.
        frames: the reported curve.
        flat_below: coefficient of variation below which a curve counts as uniform; there are no
            peaks if the raw scores or the smoothed and weighted ones are uniform.
        still: nothing moves, so that no moment can matter more than another.
    """
    raw = np.concatenate([piece.scores for piece in pieces]).astype(np.float64)
    size, spread = len(raw), variation(raw)
    positive = np.maximum(raw, 0.0)
    share = positive / positive.sum() if positive.sum() > 0 else np.full(size, 1 / size)
    entropy = float(-(share * np.log(np.maximum(share, 1e-300))).sum())
    curve = frames.score[frames.covered].astype(np.float64)
    flat = still or spread < flat_below
    peaks = [] if flat else _peaks(frames, flat_below)
    highest = max(peaks, key=lambda peak: peak.score, default=None)
    return TemporalStats(
        minimum=float(curve.min()),
        maximum=float(curve.max()),
        mean=float(curve.mean()),
        coefficient_of_variation=spread,
        entropy=entropy / math.log(size) if size > 1 else 1.0,
        flat=flat,
        still=still,
        peak_s=float(frames.times_s[highest.at]) if highest else None,
        peaks_equal=sum(peak.score >= _EQUAL * highest.score for peak in peaks) - 1
        if highest
        else 0,
    )


def spatial_stats(attributions: Sequence[Attribution], flat_below: float) -> SpatialStats:
    """Spatial variation of attributions, root mean square over clips.

    Args:
        attributions: of all clips.
        flat_below: coefficient of variation below which they count as uniform in space.
    """
    variations = [
        space_variation(attribution.values)
        if attribution.space_variation is None
        else attribution.space_variation
        for attribution in attributions
    ]
    spread = _root_mean_square(variations)
    attention = [a.attention_variation for a in attributions if a.attention_variation is not None]
    return SpatialStats(
        spread, spread < flat_below, _root_mean_square(attention) if attention else None
    )


def _root_mean_square(values: Sequence[float]) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


@dataclass(frozen=True, slots=True)
class _Peak:
    """A run of frames with weighted scores in the upper half of their range."""

    start: int
    stop: int
    at: int
    """Index of the highest one."""
    score: float


def _peaks(frames: FrameScores, flat_below: float) -> list[_Peak]:
    values = _positive(frames)
    known = values[frames.covered]
    if variation(known) < max(flat_below, _ROUNDING):
        return []
    above = frames.covered & (values >= (known.min() + known.max()) / 2)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], above, [0]])))
    peaks = []
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        run = values[start:stop]
        highest = start + np.flatnonzero(run >= (1 - _ROUNDING) * run.max())
        # Prefer seen frames: scores are constant beyond a clip's ends.
        seen = highest[frames.seen[highest]]
        at = (seen if len(seen) else highest)[0]
        peaks.append(_Peak(int(start), int(stop), int(at), float(values[at])))
    return peaks


def _supporting_frames(frames: FrameScores, peak: _Peak) -> int:
    """Number of seen frames that a peak is based on: those inside, and one on each side."""
    start, stop = next(span for span in frames.runs() if span[0] <= peak.start < span[1])
    before, after = frames.seen[start : peak.start].any(), frames.seen[peak.stop : stop].any()
    return int(frames.seen[peak.start : peak.stop].sum()) + int(before) + int(after)


def _positive(frames: FrameScores) -> Float64:
    """[N] the weighted score, 0 where it is negative or missing."""
    values = np.where(frames.covered, frames.weighted_score, 0.0)
    return np.asarray(np.maximum(values, 0.0), np.float64)


def find_moments(
    frames: FrameScores, maps: HeatMaps, *, flat_below: float = 0.0
) -> tuple[Moment, ...]:
    """Runs of frames in which the weighted score is in the upper half of its range.

    Sorted by descending peak, equal ones by time. A moment needs three seen frames, including its
    neighbors: a high one between two low ones determines its duration.

    Args:
        frames: scores of a video.
        maps: of the same video.
        flat_below: coefficient of variation of the weighted score below which there are no moments.
    """
    values = _positive(frames)
    ends_s = np.append(frames.times_s, frames.end_s)
    moments = []
    for peak in _peaks(frames, flat_below):
        if _supporting_frames(frames, peak) < _SEEN_FRAMES:
            continue
        heat = maps.values[int(np.argmin(np.abs(maps.times_s - frames.times_s[peak.at])))]
        moments.append(
            Moment(
                start_s=float(frames.times_s[peak.start]),
                peak_s=float(frames.times_s[peak.at]),
                end_s=float(ends_s[peak.stop]),
                peak_score=peak.score,
                share=float(values[peak.start : peak.stop].sum() / values.sum()),
                center=center_of_mass(heat, maps.box),
                box=_strongest_half(heat, maps.box),
            )
        )
    return tuple(sorted(moments, key=lambda moment: -moment.peak_score))


def center_of_mass(values: Float32 | Float64, box: Box) -> tuple[float, float]:
    """Center of mass (x, y) in the frame of a map [h, w] in its box; negative values count as 0.

    A map without mass has its center in the middle of the box.
    """
    mass = values.astype(np.float64).clip(0)
    if mass.sum() <= 0:
        mass = np.ones_like(mass)
    rows, columns = ((np.arange(n) + 0.5) / n for n in mass.shape)
    x = float((mass.sum(axis=0) * columns).sum() / mass.sum())
    y = float((mass.sum(axis=1) * rows).sum() / mass.sum())
    left, top, right, bottom = box
    return _clamped(left + x * (right - left)), _clamped(top + y * (bottom - top))


def _clamped(position: float) -> float:
    """A position clamped to the frame, as it can be in the padding."""
    return min(max(position, 0.0), 1.0)


def _strongest_half(values: Float32, box: Box) -> Box:
    """Bounding box in the frame of the fewest tokens of a map [h, w] with half of its mass."""
    heat = values.astype(np.float64).clip(0).ravel()
    order = np.argsort(-heat, kind="stable")
    mass = np.cumsum(heat[order])
    if mass[-1] <= 0:
        return _clamped(box[0]), _clamped(box[1]), _clamped(box[2]), _clamped(box[3])
    strongest = order[: int(np.searchsorted(mass, mass[-1] / 2)) + 1]
    rows, columns = np.unravel_index(strongest, values.shape)
    left, top, right, bottom = box
    height, width = (bottom - top) / values.shape[0], (right - left) / values.shape[1]
    return (
        _clamped(left + float(columns.min()) * width),
        _clamped(top + float(rows.min()) * height),
        _clamped(left + float(columns.max() + 1) * width),
        _clamped(top + float(rows.max() + 1) * height),
    )
