"""From clips to the video: a score a source frame, maps on one time axis, and what they amount to.

Pure arithmetic on time stamps. Within a clip, scores and maps are interpolated between the moments
that the model saw. Where clips overlap they are averaged with weights that fall towards a clip's
ends, so that no seam shows. Frames outside every clip take the value of the nearest moment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
    TemporalFacts,
)

MOMENTS = 5


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
    """What the clip contributes to the video's prediction: p(target | clip)."""

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
        first, last = self.seen_s[0] - 1e-9, self.seen_s[-1] + 1e-9
        return np.asarray((times_s >= first) & (times_s <= last))

    def trust(self, times_s: Float64) -> Float64:
        """[N] one in the clip's middle, falling towards its ends."""
        middle = (self.seen_s[0] + self.seen_s[-1]) / 2
        half = (self.seen_s[-1] - self.seen_s[0]) / 2
        if half <= 0:
            return np.ones_like(times_s)
        return np.asarray(np.maximum(1.0 - np.abs(times_s - middle) / half, 0.0) + 0.05)


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


def stitch_maps(pieces: Sequence[Piece], box: tuple[float, float, float, float]) -> HeatMaps:
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
    right = np.clip(np.searchsorted(piece.times_s, times_s), 1, max(len(piece.times_s) - 1, 1))
    left = right - 1
    if len(piece.times_s) == 1:
        return np.repeat(piece.maps, len(times_s), axis=0)
    span = piece.times_s[right] - piece.times_s[left]
    part = np.clip((times_s - piece.times_s[left]) / span, 0.0, 1.0).astype(np.float32)
    part = part[:, None, None]
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


def measure(pieces: Sequence[Piece], flat_below: float) -> TemporalFacts:
    """What the raw temporal scores of all clips amount to, at the moments that the model saw.

    Args:
        pieces: of a video.
        flat_below: coefficient of variation below which the curve counts as uniform.
    """
    scores = np.concatenate([piece.scores for piece in pieces]).astype(np.float64)
    mean, size = float(scores.mean()), len(scores)
    spread = float(scores.std())
    scale = max(abs(mean), float(np.abs(scores).mean()))
    variation = spread / scale if scale > 0 else 0.0
    positive = np.maximum(scores, 0.0)
    share = positive / positive.sum() if positive.sum() > 0 else np.full(size, 1 / size)
    entropy = float(-(share * np.log(np.maximum(share, 1e-300))).sum())
    return TemporalFacts(
        minimum=float(scores.min()),
        maximum=float(scores.max()),
        mean=mean,
        coefficient_of_variation=variation,
        entropy=entropy / np.log(size) if size > 1 else 1.0,
        flat=variation < flat_below,
    )


def find_moments(scores: FrameScores, maps: HeatMaps, limit: int = MOMENTS) -> tuple[Moment, ...]:
    """Stretches in which the weighted score stands in the upper half of its range, best first."""
    values = np.maximum(scores.weighted_score.astype(np.float64), 0.0)
    total, low, high = values.sum(), values.min(), values.max()
    if total <= 0 or high - low <= 1e-9 * high:
        return ()
    above = np.concatenate([[False], values >= (low + high) / 2, [False]])
    edges = np.flatnonzero(np.diff(above.astype(np.int8)))
    moments = []
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        peak = start + int(np.argmax(values[start:end]))
        centre, box = _place(maps, float(scores.times_s[peak]))
        moments.append(
            Moment(
                start_s=float(scores.times_s[start]),
                peak_s=float(scores.times_s[peak]),
                end_s=float(scores.times_s[end - 1]),
                share=float(values[start:end].sum() / total),
                centre=centre,
                box=box,
            )
        )
    return tuple(sorted(moments, key=lambda moment: -moment.share)[:limit])


def _place(
    maps: HeatMaps, time_s: float
) -> tuple[tuple[float, float], tuple[float, float, float, float]]:
    """Centre of the map nearest in time, and the box of its strongest half, in the picture."""
    heat = np.maximum(maps.values[int(np.argmin(np.abs(maps.times_s - time_s)))], 0.0)
    left, top, right, bottom = maps.box
    height, width = heat.shape
    if heat.sum() <= 0:
        return ((left + right) / 2, (top + bottom) / 2), maps.box
    order = np.argsort(-heat, axis=None, kind="stable")
    mass = np.cumsum(heat.ravel()[order])
    strongest = order[: int(np.searchsorted(mass, mass[-1] / 2)) + 1]
    rows, columns = np.unravel_index(strongest, heat.shape)
    y = (np.arange(height) + 0.5) @ heat.sum(axis=1) / heat.sum() / height
    x = (np.arange(width) + 0.5) @ heat.sum(axis=0) / heat.sum() / width

    def across(part: float) -> float:
        return left + part * (right - left)

    def down(part: float) -> float:
        return top + part * (bottom - top)

    box = (
        across(columns.min() / width),
        down(rows.min() / height),
        across((columns.max() + 1) / width),
        down((rows.max() + 1) / height),
    )
    return (across(float(x)), down(float(y))), tuple(map(float, box))  # type: ignore[return-value]
