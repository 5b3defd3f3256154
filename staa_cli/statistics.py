"""Means with confidence intervals, coefficients of variation, and rank correlations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from staa_cli.schema import Float32, Float64

RESAMPLES = 2000
_NORMAL = 1.959963984540054
"""97.5 % of a normal distribution lie below it."""


class Interval(NamedTuple):
    """A mean and its 95 % confidence interval over n clips; one clip alone may have none."""

    mean: float
    low: float | None
    high: float | None
    n: int


def bootstrap(values: Sequence[float], seed: int = 0) -> Interval:
    """Compute the mean of clip scores with its percentile interval; NaN scores are ignored.

    Efron's percentile bootstrap with a fixed seed, so that equal scores give equal intervals. One
    score tells nothing of its spread, and has no interval.

    Raises:
        ValueError: all scores are NaN, or there are none.
    """
    kept = np.asarray([v for v in values if not np.isnan(v)], dtype=np.float64)
    if not len(kept):
        raise ValueError("no clip has a score")
    if len(kept) == 1:
        return Interval(float(kept[0]), None, None, 1)
    rng = np.random.default_rng(seed)
    means = kept[rng.integers(0, len(kept), (RESAMPLES, len(kept)))].mean(axis=1)
    low, high = np.percentile(means, (2.5, 97.5))
    return Interval(float(kept.mean()), float(low), float(high), len(kept))


def wilson(right: int, n: int) -> Interval:
    """The share of n clips that a predictor is right about, with Wilson's score interval.

    Unlike a bootstrap's, it has a width where all are right, or none (Wilson 1927, "Probable
    inference, the law of succession, and statistical inference").

    Raises:
        ValueError: there is no clip.
    """
    if n < 1:
        raise ValueError("no clip has an answer")
    share, weight = right / n, _NORMAL**2 / n
    middle = (share + weight / 2) / (1 + weight)
    half = float(np.sqrt(weight * (share * (1 - share) + weight / 4))) / (1 + weight)
    return Interval(share, max(middle - half, 0.0), min(middle + half, 1.0), n)


def variation(values: Float32 | Float64) -> float:
    """Coefficient of variation: standard deviation over the mean of the magnitudes."""
    values = values.astype(np.float64)
    scale = float(np.abs(values).mean())
    return float(values.std()) / scale if scale > 0 else 0.0


def space_variation(maps: Float32) -> float:
    """Spatial coefficient of variation of maps [T', h, w].

    Root mean square deviation of the values from the mean of their map, over the mean magnitude of
    all values. Zero if each map is uniform, even if their levels differ.
    """
    values = maps.astype(np.float64)
    deviations = values - values.mean(axis=(1, 2), keepdims=True)
    scale = float(np.abs(values).mean())
    return float(np.sqrt((deviations**2).mean())) / scale if scale > 0 else 0.0


def entropy_share(values: Float32 | Float64) -> float:
    """Entropy of a map's positive part relative to a uniform map's; 1 for a map without mass."""
    mass = values.astype(np.float64).clip(0).ravel()
    if mass.sum() <= 0 or mass.size == 1:
        return 1.0
    share = mass[mass > 0] / mass.sum()
    return float(-(share * np.log(share)).sum() / np.log(mass.size))


def rank_correlation(one: Float32 | Float64, other: Float32 | Float64) -> float:
    """Spearman's rank correlation of two maps of equal shape; ties get their mean rank.

    NaN if a map is constant.
    """
    ranks = [_ranks(values.astype(np.float64).ravel()) for values in (one, other)]
    a, b = (row - row.mean() for row in ranks)
    scale = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / scale) if scale else float("nan")


def _ranks(values: Float64) -> NDArray[np.float64]:
    _, positions, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[positions.ravel()], np.float64)


def kendall_tau(one: Float64, other: Float64) -> float:
    """Kendall's tau-b of two arrays [n]; NaN if one of them is constant."""
    pairs = np.triu_indices(len(one), 1)
    a, b = (np.sign(np.subtract.outer(values, values))[pairs] for values in (one, other))
    scale = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / scale) if scale else float("nan")
