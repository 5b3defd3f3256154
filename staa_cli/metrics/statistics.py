"""Means with intervals, over clips."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

RESAMPLES = 2000


class Interval(NamedTuple):
    """A mean and its 95 % bootstrap interval over n clips."""

    mean: float
    low: float
    high: float
    n: int


def bootstrap(values: Sequence[float], seed: int = 0) -> Interval:
    """Scores of clips in, mean and percentile interval out; NaN scores are left out.

    Efron's percentile bootstrap with a fixed seed, so that equal scores give equal intervals.

    Raises:
        ValueError: no score is left.
    """
    kept = np.asarray([v for v in values if not np.isnan(v)], dtype=np.float64)
    if not len(kept):
        raise ValueError("no clip has a score")
    rng = np.random.default_rng(seed)
    means = kept[rng.integers(0, len(kept), (RESAMPLES, len(kept)))].mean(axis=1)
    low, high = np.percentile(means, (2.5, 97.5))
    return Interval(float(kept.mean()), float(low), float(high), len(kept))
