"""The temporal score as a line: its range, its points in pixels, and what the model did not see."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from staa_cli.schema import Clip, Explanation, Float64

Point = tuple[float, float]


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """Values over time on an axis that always holds zero; a flat one is a level line."""

    times_s: Float64
    values: Float64
    duration_s: float
    low: float
    high: float

    @classmethod
    def of(cls, explanation: Explanation, weighted: bool = True) -> Curve:
        """The weighted or the raw score of an explanation."""
        scores = explanation.frames
        chosen = scores.weighted_score if weighted else scores.score
        values = chosen.astype(np.float64)
        if explanation.temporal.flat:
            values = np.full_like(values, values.mean())
        low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
        if explanation.temporal.flat:
            low, high = 2 * low, 2 * high
        return cls(scores.times_s, values, total_s(explanation), low, high if high > low else 1.0)

    def x(self, time_s: float, width: float) -> float:
        """Where a time stands on an axis of that width, 0 at its left end."""
        return min(max(time_s / self.duration_s, 0.0), 1.0) * (width - 1)

    def y(self, value: float, height: float) -> float:
        """Where a value stands on an axis of that height, 0 at its top."""
        return (self.high - value) / (self.high - self.low) * (height - 1)

    def at(self, time_s: float) -> float:
        """The value at a time."""
        return float(np.interp(time_s, self.times_s, self.values))

    def points(self, width: float, height: float) -> list[Point]:
        """The line from the left end to the right; of many frames at one place the strongest."""
        times = np.concatenate([self.times_s, [self.duration_s]])
        values = np.concatenate([self.values, self.values[-1:]])
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


def total_s(explanation: Explanation) -> float:
    """Length of the time axis in seconds, never zero."""
    video = explanation.video
    return max(video.duration_s, float(video.times_s[-1]), 1e-3)


def unseen(explanation: Explanation) -> list[tuple[float, float]]:
    """Stretches outside all clips, in seconds; a clip reaches a bit beyond its own ends."""
    end_s = total_s(explanation)
    frame_s = 1 / max(explanation.video.rate, 1e-3)
    covered = sorted(_reach(clip, frame_s) for clip in explanation.clips)
    gaps, reached = [], 0.0
    for start, stop in [*covered, (end_s, end_s)]:
        if start > reached:
            gaps.append((reached, min(start, end_s)))
        reached = max(reached, stop)
    return gaps


def _reach(clip: Clip, frame_s: float) -> tuple[float, float]:
    """The stretch that a clip stands for; back-to-back clips meet in spite of rounded times."""
    steps = np.diff(clip.times_s)
    step = max(float(steps.max(initial=0)), frame_s)
    return clip.start_s - 0.75 * step, clip.end_s + max(0.75 * step, 1.01 * frame_s)
