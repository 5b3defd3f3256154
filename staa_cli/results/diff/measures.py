"""Measures of the shift from one explanation of a video to another one, from plain arrays.

Scores and maps are normalized to distributions first, so that their units do not matter: another
method, or another model, may have other ones. As everywhere in reports, negative values count as 0,
and what has no positive value is distributed uniformly.
"""

from __future__ import annotations

import numpy as np

from staa_cli.results.document import Box
from staa_cli.results.resampling import resampled
from staa_cli.schema import Float64
from staa_cli.statistics import rank_correlation

_LEAST_IN_COMMON = 0.5
"""Share of the frames, or of the time, that must be common for a statement about the whole."""


def durations(times_s: Float64) -> Float64:
    """[N] seconds from each time to the next one; the last has the duration before it."""
    if len(times_s) < 2:
        return np.ones(len(times_s))
    steps = np.diff(times_s)
    return np.append(steps, steps[-1])


def distribution(
    values: Float64, weights: Float64 | float = 1.0, axes: tuple[int, ...] | None = None
) -> Float64:
    """Values times weights as shares of their sum over some axes, by default over all.

    Where no value is positive, the weights' shares.
    """
    mass = np.maximum(values, 0.0) * weights
    mass = np.where(mass.sum(axis=axes, keepdims=True) > 0, mass, weights)
    return np.asarray(mass / mass.sum(axis=axes, keepdims=True), np.float64)


def time_shift_s(times_s: Float64, mass: Float64, others_s: Float64, other: Float64) -> float:
    """Wasserstein distance, in seconds, of two distributions over time.

    In one dimension this is the area between the cumulative distributions (Vallender 1974,
    "Calculation of the Wasserstein distance between probability distributions on the line").

    Args:
        times_s: [N] of the first distribution.
        mass: [N] shares at these times, with the sum 1.
        others_s: [M] of the second one.
        other: [M] shares at these times.
    """
    moments = np.union1d(times_s, others_s)
    difference = np.zeros(len(moments))
    np.add.at(difference, np.searchsorted(moments, times_s), mass)
    np.subtract.at(difference, np.searchsorted(moments, others_s), other)
    return float(np.abs(np.cumsum(difference)[:-1]) @ np.diff(moments))


def rank_agreement(old: dict[int, float], new: dict[int, float]) -> float | None:
    """Spearman's rank correlation of scores by frame, over the frames that both have.

    None if a curve is constant, or if less than half of the frames of one curve are in the other.
    """
    common = sorted(old.keys() & new.keys())
    if len(common) < _LEAST_IN_COMMON * max(len(old), len(new)):
        return None
    one, other = (np.array([scores[frame] for frame in common]) for scores in (old, new))
    value = rank_correlation(one, other)
    return None if np.isnan(value) else value


def energy_moved(one: Float64, box: Box, other: Float64, other_box: Box) -> Float64:
    """[...] share, 0 to 1, of the energy of maps [..., h, w] that is elsewhere in other maps.

    Those are [..., h', w']. This is the total variation distance: half of the summed absolute
    difference of the distributions, on the grid of the coarser maps.
    """
    rows, columns = common_grid(one.shape[-2:], box, other.shape[-2:], other_box)
    a, b = (
        resampled(distribution(maps, axes=(-2, -1)), edges, rows, columns)
        for maps, edges in ((one, box), (other, other_box))
    )
    return np.asarray(np.abs(a - b).sum(axis=(-2, -1)) / 2).clip(0.0, 1.0)


def common_grid(
    shape: tuple[int, ...], box: Box, other_shape: tuple[int, ...], other_box: Box
) -> tuple[Float64, Float64]:
    """Edges of the rows and of the columns of a grid that covers two boxes.

    Its cells are as large as those of the coarser map, because a finer grid would count as moved
    what is only less sharp.
    """
    return (
        _common_edges((box[1], box[3]), shape[0], (other_box[1], other_box[3]), other_shape[0]),
        _common_edges((box[0], box[2]), shape[1], (other_box[0], other_box[2]), other_shape[1]),
    )


def _common_edges(
    span: tuple[float, float], count: int, other: tuple[float, float], other_count: int
) -> Float64:
    low, high = min(span[0], other[0]), max(span[1], other[1])
    cell = max((span[1] - span[0]) / count, (other[1] - other[0]) / other_count)
    return np.linspace(low, high, max(round((high - low) / cell), 1) + 1)


def energy_moved_by_time(
    times_s: Float64, maps: Float64, box: Box, others_s: Float64, others: Float64, other_box: Box
) -> float | None:
    """Mean of `energy_moved` of two videos of maps at equal times, weighted by their energy.

    Maps are interpolated to the times of both. A time weighs as much as the mean of the shares of
    energy that both have there, so that maps without evidence hardly count. None if the time that
    both have in common is less than half of that of one of them.

    Args:
        times_s: [K] ascending times of the first maps.
        maps: [K, h, w].
        box: of these maps.
        others_s: [L] times of the second maps.
        others: [L, h', w'].
        other_box: of these.
    """
    start, end = max(times_s[0], others_s[0]), min(times_s[-1], others_s[-1])
    longest = max(times_s[-1] - times_s[0], others_s[-1] - others_s[0])
    if end < start or end - start < _LEAST_IN_COMMON * longest:
        return None
    moments = np.union1d(times_s, others_s)
    moments = moments[(moments >= start) & (moments <= end)]
    one, other = maps_at(moments, times_s, maps), maps_at(moments, others_s, others)
    steps = durations(moments)
    first, second = (
        distribution(np.maximum(row, 0.0).sum(axis=(1, 2)), steps) for row in (one, other)
    )
    moved = energy_moved(one, box, other, other_box)
    return min(float((first + second) / 2 @ moved), 1.0)


def maps_at(moments: Float64, times_s: Float64, maps: Float64) -> Float64:
    """[n, h, w] maps [K, h, w] interpolated to times [n]; constant beyond the first and last."""
    right = np.searchsorted(times_s, moments).clip(0, len(times_s) - 1)
    left = np.maximum(right - 1, 0)
    span = times_s[right] - times_s[left]
    share = np.where(span > 0, (moments - times_s[left]) / np.where(span > 0, span, 1.0), 1.0)
    share = share.clip(0.0, 1.0)[:, None, None]
    return np.asarray(maps[left] * (1 - share) + maps[right] * share, np.float64)


def center_shift(
    one: tuple[float, float], other: tuple[float, float], size: tuple[float, float]
) -> float:
    """Distance of two points, x and y as shares of a picture, as a share of its diagonal.

    Args:
        one: a point.
        other: another point.
        size: width and height of the picture in any unit.
    """
    sides = np.array(size, np.float64)
    offset = (np.array(other) - np.array(one)) * sides
    return min(float(np.linalg.norm(offset) / np.linalg.norm(sides)), 1.0)
