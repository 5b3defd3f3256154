"""From clips to the video: a score a source frame, maps on one time axis, and what they amount to.

Pure arithmetic on time stamps. Within a clip, scores and maps are interpolated between the moments
that the model saw. Where clips overlap they are averaged with weights that fall towards a clip's
ends, so that no seam shows. Beyond its ends a clip speaks for one sampling interval more, where no
other clip does; two that reach each other there fade into one another. What no clip reaches has no
score and no map: nobody has looked at it.
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
"""Left, top, right, bottom in the picture, each 0 to 1."""

LONGEST_REACH_S = 2.0
"""So far from a frame that the model saw anything may have happened, however clips are sampled."""
_LEAST_TRUST = 0.05  # or a frame at the ends of all its clips would count nowhere
_ROUNDING = 1e-6
_EQUAL = 0.98
"""Peaks this near to the highest are as high: the coding of a picture alone moves them by more than
nothing."""
_SEEN_FRAMES = 3
"""A moment rests on so many frames that the model saw: on fewer, how long it lasts is made up."""


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """One clip's part in the video."""

    times_s: Float64
    """[K] rising: the moments of the token grid."""
    seen_s: Float64
    """[n] rising: the frames that the model received."""
    maps: Float32
    """[K, h, w]."""
    scores: Float32
    """[K] raw temporal scores."""
    weight: float
    """How much the clip counts: p(target | clip), or one where the answer is a raw value."""
    reach_s: float = 0.0
    """How far from a frame that the model saw it speaks at all."""

    @classmethod
    def of(cls, clip: Clip, attribution: Attribution, maps: Float32, weight: float) -> Piece:
        """A clip and its attribution, with the maps that are to be drawn [T', h, w].

        A padded clip repeats its last frame; what falls on the repeats is left out, since they are
        no moments of the video.
        """
        frames = np.asarray(clip.times_s)
        steps = len(attribution.values)
        moments = frames.reshape(steps, -1).mean(axis=1)  # a tubelet stands at its middle
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
        """[N] which times lie between the clip's first and last frame."""
        # The mean of a tubelet's times may be rounded past the last frame.
        first, last = self.seen_s[0] - 1e-9, self.seen_s[-1] + 1e-9
        return np.asarray((times_s >= first) & (times_s <= last))

    def away_s(self, times_s: Float64) -> Float64:
        """[N] how far times lie from the nearest frame that the model saw."""
        after = np.searchsorted(self.seen_s, times_s).clip(0, len(self.seen_s) - 1)
        both = self.seen_s[np.stack([np.maximum(after - 1, 0), after])]
        return np.asarray(np.abs(both - times_s).min(axis=0))

    def blend_weight(self, times_s: Float64) -> Float64:
        """[N] one in the clip's middle, falling towards its ends."""
        middle = (self.seen_s[0] + self.seen_s[-1]) / 2
        half = (self.seen_s[-1] - self.seen_s[0]) / 2
        if half <= 0:
            return np.ones_like(times_s)
        return np.asarray(np.maximum(1.0 - np.abs(times_s - middle) / half, 0.0) + _LEAST_TRUST)


def stitch_scores(
    pieces: Sequence[Piece], times_s: Float64, part: range, duration_s: float
) -> FrameScores:
    """Scores of every frame of a stretch, out of those of clips.

    Args:
        pieces: of a video.
        times_s: start of each of its frames, [all of them].
        part: positions of the N frames that are to have scores; NaN where no clip reaches.
        duration_s: when its last frame ends.
    """
    times = times_s[part.start : part.stop]
    places = [_Place.of(piece, times) for piece in pieces]
    within = np.zeros(len(times), np.bool_)
    for place in places:
        within[place.frames] |= place.inside
    total, raw, weighted = np.zeros((3, len(times)))
    for piece, place in zip(pieces, places, strict=True):
        at = times[place.frames]
        # Beyond its ends a clip speaks where no other does.
        beyond = np.where(within[place.frames], 0.0, place.nearness)
        blend_weight = np.where(place.inside, piece.blend_weight(at), beyond)
        score = np.interp(at, piece.times_s, piece.scores)
        total[place.frames] += blend_weight
        raw[place.frames] += blend_weight * score
        weighted[place.frames] += blend_weight * score * piece.weight
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
class _Place:
    """Where a clip may speak, among the frames of a stretch."""

    frames: slice
    """n of them."""
    nearness: Float64
    """[n] falls from one at the frames that the model saw to zero beyond the clip's reach."""
    inside: Bool
    """[n] within reach, and between the clip's first and last frame."""

    @classmethod
    def of(cls, piece: Piece, times_s: Float64) -> _Place:
        """That of a clip; it has no frames where it reaches none."""
        slack_s = piece.reach_s + _ROUNDING
        ends_s = [piece.seen_s[0] - slack_s, piece.seen_s[-1] + slack_s]
        start, stop = np.searchsorted(times_s, ends_s)
        at = times_s[start:stop]
        left = 1.0 - piece.away_s(at) / max(piece.reach_s, _ROUNDING)
        # What lies exactly as far as it reaches is still within reach.
        nearness = np.where(left > -_ROUNDING, np.maximum(left, _ROUNDING), 0.0)
        return cls(slice(int(start), int(stop)), nearness, piece.spans(at) & (nearness > 0))


def with_rest(frames: FrameScores, times_s: Float64, duration_s: float) -> FrameScores:
    """The same with all frames of the video, at these times: what lay around was not looked at."""
    before = frames.first
    after = len(times_s) - before - len(frames.times_s)

    def widened(values: Any, rest: float) -> Any:
        return np.pad(values, (before, after), constant_values=rest)

    return FrameScores(
        times_s,
        widened(frames.score, np.nan),
        widened(frames.weighted_score, np.nan),
        widened(frames.seen, False),
        widened(frames.covered, False),
        _end_s(times_s, duration_s),
    )


def _end_s(times_s: Float64, duration_s: float) -> float:
    """When the last of a video's frames ends, even where its file gives it no time at all."""
    return max(duration_s, float(times_s[-1]) + 1e-3)


def stitch_maps(pieces: Sequence[Piece], box: Box) -> HeatMaps:
    """Maps of clips in, each multiplied by its clip's weight, one a seen moment out."""
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

    The average's weights fall to zero at both ends of its window: were they equal, a frame at the
    end of a stretch, whose window is cut, would get more of an event beside it than the event does.

    Args:
        scores: of a video.
        kind: ``none``, ``average``, or ``exponential``.
        width_s: width of the window, or the time constant.
    """
    if kind == "none":
        return scores
    smooth = _average if kind == "average" else _exponential
    score, weighted = scores.score.copy(), scores.weighted_score.copy()
    for start, stop in scores.runs():  # what has not been looked at is no part of a mean
        for values in (score, weighted):
            values[start:stop] = smooth(scores.times_s[start:stop], values[start:stop], width_s)
    return replace(scores, score=score, weighted_score=weighted)


def _average(times_s: Float64, values: Float32, width_s: float) -> Float32:
    half_s = width_s / 2
    time = (times_s - times_s[0]) / half_s
    low = np.searchsorted(times_s, times_s - half_s, side="left")
    high = np.searchsorted(times_s, times_s + half_s, side="right")
    here = np.arange(len(times_s))

    def weighed(row: Float64) -> Float64:
        """Sums of a row, each value times 1 - |its time less the frame's|, in halves of a width."""
        plain, moved = (np.concatenate([[0.0], np.cumsum(each)]) for each in (row, row * time))
        before = (1 - time) * (plain[here] - plain[low]) + (moved[here] - moved[low])
        after = (1 + time) * (plain[high] - plain[here]) - (moved[high] - moved[here])
        return np.asarray(before + after, np.float64)

    return np.asarray(weighed(values.astype(np.float64)) / weighed(np.ones(len(here))), np.float32)


def _exponential(times_s: Float64, values: Float32, width_s: float) -> Float32:
    out = values.astype(np.float64)
    keep = np.exp(-np.diff(times_s) / width_s)
    for n in range(1, len(out)):
        out[n] = keep[n - 1] * out[n - 1] + (1 - keep[n - 1]) * out[n]
    return out.astype(np.float32)


def temporal_stats(
    pieces: Sequence[Piece], frames: FrameScores, flat_below: float, still: bool = False
) -> TemporalStats:
    """What the temporal scores of a video amount to.

    Args:
        pieces: of the video: whether it is flat is a matter of raw scores, before any smoothing, at
            the moments that the model saw.
        frames: the curve that is reported and drawn.
        flat_below: coefficient of variation below which a curve counts as uniform: it has no peak
            where the raw scores are, or what is drawn of them is, smoothed or weighted.
        still: nothing has moved, so that no moment can matter more than another.
    """
    raw = np.concatenate([piece.scores for piece in pieces]).astype(np.float64)
    size, spread = len(raw), variation(raw)
    positive = np.maximum(raw, 0.0)
    share = positive / positive.sum() if positive.sum() > 0 else np.full(size, 1 / size)
    entropy = float(-(share * np.log(np.maximum(share, 1e-300))).sum())
    curve = frames.score[frames.covered].astype(np.float64)
    flat = still or spread < flat_below
    peaks = [] if flat else _peaks(frames, flat_below)
    best = max(peaks, key=lambda peak: peak.score, default=None)
    return TemporalStats(
        minimum=float(curve.min()),
        maximum=float(curve.max()),
        mean=float(curve.mean()),
        coefficient_of_variation=spread,
        entropy=entropy / math.log(size) if size > 1 else 1.0,
        flat=flat,
        still=still,
        peak_s=float(frames.times_s[best.at]) if best else None,
        peaks_equal=sum(peak.score >= _EQUAL * best.score for peak in peaks) - 1 if best else 0,
    )


def spatial_stats(attributions: Sequence[Attribution], flat_below: float) -> SpatialStats:
    """How far what the model looks at is from uniform.

    Args:
        attributions: of all clips.
        flat_below: coefficient of variation below which no place counts as standing out.
    """
    variations = [
        space_variation(attribution.values)
        if attribution.space_variation is None
        else attribution.space_variation
        for attribution in attributions
    ]
    spread = float(np.sqrt(np.mean(np.square(variations))))
    return SpatialStats(spread, spread < flat_below)


@dataclass(frozen=True, slots=True)
class _Peak:
    """A run of frames whose weighted scores stand in the upper half of their range."""

    start: int
    stop: int
    at: int
    """The highest of them."""
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
        seen = highest[frames.seen[highest]]  # beyond a clip's ends its last value holds
        at = (seen if len(seen) else highest)[0]
        peaks.append(_Peak(int(start), int(stop), int(at), float(values[at])))
    return peaks


def _rests_on(frames: FrameScores, peak: _Peak) -> int:
    """How many frames that the model saw its scores come from: those in it, and one a side."""
    start, stop = next(span for span in frames.runs() if span[0] <= peak.start < span[1])
    before, after = frames.seen[start : peak.start].any(), frames.seen[peak.stop : stop].any()
    return int(frames.seen[peak.start : peak.stop].sum()) + int(before) + int(after)


def _positive(frames: FrameScores) -> Float64:
    """[N] the weighted score, zero where it is negative or not known."""
    values = np.where(frames.covered, frames.weighted_score, 0.0)
    return np.asarray(np.maximum(values, 0.0), np.float64)


def find_moments(
    frames: FrameScores, maps: HeatMaps, *, flat_below: float = 0.0
) -> tuple[Moment, ...]:
    """Stretches in which the weighted score stands in the upper half of its range.

    That with the highest peak comes first, of equal ones the earlier. It takes three frames that
    the model saw, those beside the stretch among them: one that is high, between two that are not,
    say how long it lasts.

    Args:
        frames: scores of a video.
        maps: of the same video.
        flat_below: coefficient of variation of the weighted score below which there are none.
    """
    values = _positive(frames)
    ends_s = np.append(frames.times_s, frames.end_s)
    moments = []
    for peak in _peaks(frames, flat_below):
        if _rests_on(frames, peak) < _SEEN_FRAMES:
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
    """Center of mass (x, y) in the picture of a map [h, w] in its box; negative values count as 0.

    A map without mass has its center in the middle of the box.
    """
    mass = values.astype(np.float64).clip(0)
    if mass.sum() <= 0:
        mass = np.ones_like(mass)
    rows, columns = ((np.arange(n) + 0.5) / n for n in mass.shape)
    x = float((mass.sum(axis=0) * columns).sum() / mass.sum())
    y = float((mass.sum(axis=1) * rows).sum() / mass.sum())
    left, top, right, bottom = box
    return _share(left + x * (right - left)), _share(top + y * (bottom - top))


def _share(place: float) -> float:
    """A place in the picture, or on its edge where it lies in padding around it."""
    return min(max(place, 0.0), 1.0)


def _strongest_half(values: Float32, box: Box) -> Box:
    """Box in the picture around the fewest tokens of a map [h, w] that hold half of its mass."""
    heat = values.astype(np.float64).clip(0).ravel()
    order = np.argsort(-heat, kind="stable")
    mass = np.cumsum(heat[order])
    if mass[-1] <= 0:
        return _share(box[0]), _share(box[1]), _share(box[2]), _share(box[3])
    strongest = order[: int(np.searchsorted(mass, mass[-1] / 2)) + 1]
    rows, columns = np.unravel_index(strongest, values.shape)
    left, top, right, bottom = box
    height, width = (bottom - top) / values.shape[0], (right - left) / values.shape[1]
    return (
        _share(left + float(columns.min()) * width),
        _share(top + float(rows.min()) * height),
        _share(left + float(columns.max() + 1) * width),
        _share(top + float(rows.max() + 1) * height),
    )
