"""The temporal score as a line: its range, its points in pixels, and its gaps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from staa_cli.schema import Explanation, Float64

Point = tuple[float, float]


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """Values over time on an axis that includes zero; a flat curve is a horizontal line."""

    times_s: Float64
    values: Float64
    """NaN where no clip reaches."""
    start_s: float
    end_s: float
    low: float
    high: float
    runs: tuple[tuple[int, int], ...]
    """Runs of known values: [start, stop)."""

    @classmethod
    def of(cls, explanation: Explanation, weighted: bool = True) -> Curve:
        """The weighted or the raw score of an explanation."""
        scores = explanation.frames
        selected = scores.weighted_score if weighted else scores.score
        values = selected.astype(np.float64)
        known = values[scores.covered]
        if explanation.temporal.flat:
            values = np.where(scores.covered, known.mean(), np.nan)
            known = values[scores.covered]
        low, high = min(0.0, float(known.min())), max(0.0, float(known.max()))
        if explanation.temporal.flat:
            low, high = 2 * low, 2 * high
        start_s, end_s = axis_s(explanation)
        high = high if high > low else 1.0
        return cls(scores.times_s, values, start_s, end_s, low, high, tuple(scores.runs()))

    def x(self, time_s: float, width: float) -> float:
        """Position of a time on an axis of that width, from its left end."""
        share = (time_s - self.start_s) / (self.end_s - self.start_s)
        return min(max(share, 0.0), 1.0) * (width - 1)

    def y(self, value: float, height: float) -> float:
        """Position of a value on an axis of that height, from its top."""
        return (self.high - value) / (self.high - self.low) * (height - 1)

    def points(self, width: float, height: float) -> list[list[Point]]:
        """One line for every run; of several frames in one pixel column, the strongest value.

        A frame lasts until the next one begins, so a line ends where the next unknown frame begins.
        """
        return [self._line(start, stop, width, height) for start, stop in self.runs]

    def joined(self, width: float, height: float) -> list[list[Point]]:
        """The same, joined across gaps below one pixel, which limits their number."""
        zero = self.y(0, height)
        lines: list[list[Point]] = []
        for line in self.points(width, height):
            if lines and round(line[0][0]) == round(lines[-1][-1][0]):
                joint = max(lines[-1].pop(), line[0], key=lambda point: abs(point[1] - zero))
                lines[-1] += [joint, *line[1:]]
            else:
                lines.append(line)
        return lines

    def _line(self, start: int, stop: int, width: float, height: float) -> list[Point]:
        end_s = self.times_s[stop] if stop < len(self.times_s) else self.end_s
        times = np.append(self.times_s[start:stop], end_s)
        values = np.append(self.values[start:stop], self.values[stop - 1])
        column = np.array([round(self.x(time, width)) for time in times])
        firsts = np.flatnonzero(np.diff(column, prepend=-1))
        strongest = np.where(
            np.abs(np.maximum.reduceat(values, firsts))
            >= np.abs(np.minimum.reduceat(values, firsts)),
            np.maximum.reduceat(values, firsts),
            np.minimum.reduceat(values, firsts),
        )
        return [
            (self.x(times[first], width), self.y(value, height))
            for first, value in zip(firsts, strongest, strict=True)
        ]


def axis_s(explanation: Explanation) -> tuple[float, float]:
    """Start and end of the time axis in seconds, never the same."""
    start_s = explanation.start_s
    return start_s, max(explanation.end_s, start_s + 1e-3)


def unseen(explanation: Explanation) -> list[tuple[float, float]]:
    """Spans of the time axis that no clip reaches, in seconds."""
    start_s, end_s = axis_s(explanation)
    gaps, covered_until = [], start_s
    for start, stop in [*explanation.frames.spans(), (end_s, end_s)]:
        if start > covered_until:
            gaps.append((covered_until, start))
        covered_until = stop
    return gaps
