"""How late a stream is, by stage: distributions of durations in little, constant memory."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Lock

import numpy as np

_SHORTEST_S, _LONGEST_S, _PER_DECADE = 1e-5, 1e4, 100
"""Limits of durations, and cells for a factor of ten: quantiles are within 1.2 % of the truth."""
QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


class Durations:
    """A distribution of durations."""

    def __init__(self) -> None:
        decades = round(np.log10(_LONGEST_S / _SHORTEST_S))
        self._counts = np.zeros(decades * _PER_DECADE + 1, np.int64)
        self._longest_s = 0.0

    def add(self, seconds: float) -> None:
        """Count a duration."""
        cell = np.log10(min(max(seconds, _SHORTEST_S), _LONGEST_S) / _SHORTEST_S) * _PER_DECADE
        self._counts[int(cell)] += 1
        self._longest_s = max(self._longest_s, seconds)

    @property
    def count(self) -> int:
        """Number of durations."""
        return int(self._counts.sum())

    def quantile(self, share: float) -> float:
        """Duration in seconds that a share of all does not exceed; NaN if there are none."""
        if not (count := self.count):
            return float("nan")
        cell = int(np.searchsorted(np.cumsum(self._counts), share * count))
        middle_s = _SHORTEST_S * 10 ** ((cell + 0.5) / _PER_DECADE)
        return float(min(middle_s, self._longest_s))

    def summary(self) -> dict[str, float | int]:
        """Count, quantiles, and maximum, in seconds."""
        quantiles = {name: self.quantile(share) for name, share in QUANTILES.items()}
        return {"count": self.count, **quantiles, "max": self._longest_s}


class Delays:
    """Durations by stage; threads may add to them at the same time."""

    def __init__(self) -> None:
        self._stages: dict[str, Durations] = {}
        self._lock = Lock()

    def add(self, stage: str, seconds: float) -> None:
        """Count a duration of a stage."""
        with self._lock:
            self._stages.setdefault(stage, Durations()).add(seconds)

    def quantile(self, stage: str, share: float) -> float:
        """A quantile of a stage in seconds; NaN if it has no durations."""
        with self._lock:
            return self._stages.get(stage, Durations()).quantile(share)

    def summary(self) -> Mapping[str, Mapping[str, float | int]]:
        """The summary of every stage that has durations."""
        with self._lock:
            return {stage: durations.summary() for stage, durations in self._stages.items()}
