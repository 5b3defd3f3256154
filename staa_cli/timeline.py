"""From clips to the video: a score a source frame, maps on one time axis, and what they amount to.

Pure arithmetic on time stamps. Within a clip, scores and maps are interpolated between the moments
that the model saw. Where clips overlap they are averaged with weights that fall towards a clip's
ends, so that no seam shows. Gaps between clips are interpolated, too; before the first clip and
after the last one, the nearest value holds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from staa_cli.metrics.statistics import variation
from staa_cli.schema import (
    Attribution,
    Bool,
    Clip,
    Float32,
    Float64,
    FrameScores,
    HeatMaps,
    Moment,
    TemporalFacts,
)

Box = tuple[float, float, float, float]
"""Left, top, right, bottom in the picture, each 0 to 1."""

MOMENTS = 5
_LEAST_TRUST = 0.05  # or a frame at the ends of all its clips would count nowhere
_ROUNDING = 1e-6


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
        )

    def covers(self, times_s: Float64) -> Bool:
        """[N] which times lie between the clip's first and last frame."""
        # The mean of a tubelet's times may be rounded past the last frame.
        first, last = self.seen_s[0] - 1e-9, self.seen_s[-1] + 1e-9
        return np.asarray((times_s >= first) & (times_s <= last))

    def trust(self, times_s: Float64) -> Float64:
        """[N] one in the clip's middle, falling towards its ends."""
        middle = (self.seen_s[0] + self.seen_s[-1]) / 2
        half = (self.seen_s[-1] - self.seen_s[0]) / 2
        if half <= 0:
            return np.ones_like(times_s)
        return np.asarray(np.maximum(1.0 - np.abs(times_s - middle) / half, 0.0) + _LEAST_TRUST)


def stitch_scores(pieces: Sequence[Piece], times_s: Float64) -> FrameScores:
    """Scores of clips in, one for every frame time [N] out."""
    total, raw, weighted = np.zeros((3, len(times_s)))
    for piece in pieces:
        inside = piece.covers(times_s)
        trust = piece.trust(times_s[inside])
        score = np.interp(times_s[inside], piece.times_s, piece.scores)
        total[inside] += trust
        raw[inside] += trust * score
        weighted[inside] += trust * score * piece.weight
    known = total > 0
    at = times_s[known]
    fill = [np.interp(times_s, at, values[known] / total[known]) for values in (raw, weighted)]
    seen = np.isin(times_s, np.concatenate([piece.seen_s for piece in pieces]))
    return FrameScores(times_s, fill[0].astype(np.float32), fill[1].astype(np.float32), seen)


def stitch_maps(pieces: Sequence[Piece], box: Box) -> HeatMaps:
    """Maps of clips in, each multiplied by its clip's weight, one a seen moment out."""
    moments = np.unique(np.concatenate([piece.times_s for piece in pieces]))
    grid = pieces[0].maps.shape[1:]
    values = np.zeros((len(moments), *grid), dtype=np.float32)
    total = np.zeros(len(moments), dtype=np.float32)
    for piece in pieces:
        inside = np.flatnonzero(piece.covers(moments))
        trust = piece.trust(moments[inside]).astype(np.float32)
        total[inside] += trust
        values[inside] += (trust * piece.weight)[:, None, None] * _between(piece, moments[inside])
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
    """Scores smoothed along the video: centred moving average, or causal exponential.

    Args:
        scores: of a video.
        kind: ``none``, ``average``, or ``exponential``.
        width_s: width of the window, or the time constant.
    """
    if kind == "none":
        return scores
    smooth = _average if kind == "average" else _exponential
    return FrameScores(
        scores.times_s,
        smooth(scores.times_s, scores.score, width_s),
        smooth(scores.times_s, scores.weighted_score, width_s),
        scores.seen,
    )


def _average(times_s: Float64, values: Float32, width_s: float) -> Float32:
    low = np.searchsorted(times_s, times_s - width_s / 2, side="left")
    high = np.searchsorted(times_s, times_s + width_s / 2, side="right")
    sums = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    return np.asarray((sums[high] - sums[low]) / (high - low), np.float32)


def _exponential(times_s: Float64, values: Float32, width_s: float) -> Float32:
    out = values.astype(np.float64)
    keep = np.exp(-np.diff(times_s) / width_s)
    for n in range(1, len(out)):
        out[n] = keep[n - 1] * out[n - 1] + (1 - keep[n - 1]) * out[n]
    return out.astype(np.float32)


def measure(pieces: Sequence[Piece], flat_below: float, still: bool = False) -> TemporalFacts:
    """What the raw temporal scores of all clips amount to, at the moments that the model saw.

    Args:
        pieces: of a video.
        flat_below: coefficient of variation below which the curve counts as uniform.
        still: nothing has moved, so that no moment can matter more than another.
    """
    scores = np.concatenate([piece.scores for piece in pieces]).astype(np.float64)
    size, spread = len(scores), variation(scores)
    positive = np.maximum(scores, 0.0)
    share = positive / positive.sum() if positive.sum() > 0 else np.full(size, 1 / size)
    entropy = float(-(share * np.log(np.maximum(share, 1e-300))).sum())
    return TemporalFacts(
        minimum=float(scores.min()),
        maximum=float(scores.max()),
        mean=float(scores.mean()),
        coefficient_of_variation=spread,
        entropy=entropy / math.log(size) if size > 1 else 1.0,
        flat=still or spread < flat_below,
        still=still,
    )


def find_moments(
    scores: FrameScores, maps: HeatMaps, *, flat_below: float = 0.0, limit: int = MOMENTS
) -> tuple[Moment, ...]:
    """Stretches in which the weighted score stands in the upper half of its range, best first.

    Args:
        scores: of a video.
        maps: of the same video.
        flat_below: coefficient of variation of the weighted score below which there are none.
        limit: how many at most.
    """
    values = np.maximum(scores.weighted_score.astype(np.float64), 0.0)
    if variation(values) < max(flat_below, _ROUNDING):
        return ()
    total = values.sum()
    above = np.concatenate([[False], values >= (values.min() + values.max()) / 2, [False]])
    edges = np.flatnonzero(np.diff(above.astype(np.int8)))
    moments = []
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        peak = start + int(np.argmax(values[start:end]))
        heat = maps.values[int(np.argmin(np.abs(maps.times_s - scores.times_s[peak])))]
        moments.append(
            Moment(
                start_s=float(scores.times_s[start]),
                peak_s=float(scores.times_s[peak]),
                end_s=float(scores.times_s[end - 1]),
                share=float(values[start:end].sum() / total),
                centre=centre_of_mass(heat, maps.box),
                box=_strongest_half(heat, maps.box),
            )
        )
    return tuple(sorted(moments, key=lambda moment: -moment.share)[:limit])


def centre_of_mass(values: Float32 | Float64, box: Box) -> tuple[float, float]:
    """A map [h, w] and its box in, x and y in the picture out; negative values count as none.

    A map without mass has its centre in the middle of the box.
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
