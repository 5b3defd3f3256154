"""What has moved between two results of a video: from when to when, and from where to where.

As for the measures, scores and maps are normalized to distributions first, so that their units do
not matter.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from staa_cli.results.diff.measures import common_grid, distribution, durations, maps_at
from staa_cli.results.diff.pairs import Result
from staa_cli.results.document import Box, Point
from staa_cli.results.resampling import resampled
from staa_cli.schema import Float64, HeatMaps

Span = tuple[float, float]
"""Start and end in seconds."""
_LEAST = 0.02
"""Share of the importance below which nothing has moved."""
_MAX_MOMENTS = 3000
"""Maximum number of maps of a difference."""
_REGIONS = 3
"""Places in the picture are told by thirds of its width and height."""


@dataclass(frozen=True, slots=True, eq=False)
class Curves:
    """The importance of every frame in two results, in multiples of the mean.

    The area below each curve is the same, so that the area between them is what has moved.
    """

    index: list[int]
    """[N] indices of the frames in the video."""
    times_s: Float64
    """[N]."""
    end_s: float
    """End of the last frame."""
    old: Float64
    """[N] NaN where no clip reaches."""
    new: Float64
    """[N]."""

    @classmethod
    def of(cls, old: Result, new: Result) -> Curves:
        """The curves over all frames that one of the results explains."""
        rows = [result.report.frames for result in (old, new)]
        index = sorted({*rows[0].index, *rows[1].index})
        times_s = _times_s(index, old, new)
        steps = durations(times_s)
        curves = []
        for result in (old, new):
            scores = result.scores()
            values = np.array([scores.get(number, np.nan) for number in index])
            known = ~np.isnan(values)
            mass = distribution(values[known], steps[known])
            values[known] = mass / steps[known] * steps.sum()
            curves.append(values)
        return cls(index, times_s, float(times_s[-1] + steps[-1]), *curves)

    @property
    def start_s(self) -> float:
        """Start of the first frame."""
        return float(self.times_s[0])

    @property
    def gain(self) -> Float64:
        """[N] new minus old; what no clip covers has no importance."""
        return np.asarray(np.nan_to_num(self.new) - np.nan_to_num(self.old), np.float64)

    def spans(self) -> tuple[Span, Span] | None:
        """The time that has lost most importance, and the one that has gained most.

        None if next to nothing has moved.
        """
        steps = durations(self.times_s)
        mass = self.gain * steps / steps.sum()
        if np.abs(mass).sum() / 2 < _LEAST:
            return None
        return self._largest(-mass), self._largest(mass)

    def _largest(self, mass: Float64) -> Span:
        """The run of positive values with the largest sum."""
        edges = np.flatnonzero(np.diff(np.concatenate([[0], mass > 0, [0]])))
        runs = zip(edges[::2], edges[1::2], strict=True)
        start, stop = max(runs, key=lambda run: mass[run[0] : run[1]].sum())
        ends_s = np.append(self.times_s[1:], self.end_s)
        return float(self.times_s[start]), float(ends_s[stop - 1])


def _times_s(index: list[int], old: Result, new: Result) -> Float64:
    """Exact times of frames if there are maps; those of reports are rounded."""
    for result in (old, new):
        if result.explanation is not None and index[-1] < result.explanation.video.frames:
            return result.explanation.video.times_s[index]
    known: dict[int, float] = {}
    for result in (old, new):
        known |= zip(result.report.frames.index, result.report.frames.time_s, strict=True)
    return np.array([known[number] for number in index])


def map_gain(old: Result, new: Result) -> HeatMaps:
    """New minus old maps, each as shares of all evidence per second: positive is more.

    So it says where and when at once. Without the maps of both, it is the difference of the mean
    maps, at one time.
    """
    if old.maps is None or new.maps is None:
        return _mean_gain(old, new)
    start = max(old.maps.times_s[0], new.maps.times_s[0])
    end = min(old.maps.times_s[-1], new.maps.times_s[-1])
    moments = np.union1d(old.maps.times_s, new.maps.times_s)
    moments = moments[(moments >= start) & (moments <= end)]
    if not len(moments):
        return _mean_gain(old, new)
    moments = moments[:: -(-len(moments) // _MAX_MOMENTS)]
    steps = durations(moments)[:, None, None]
    shares = []
    for maps in (old.maps, new.maps):
        values = maps_at(moments, maps.times_s, maps.values.astype(np.float64))
        shares.append(distribution(values, steps) / steps)
    values, box = _difference(shares[0], old.maps.box, shares[1], new.maps.box)
    return HeatMaps(moments, values.astype(np.float32), box)


def _mean_gain(old: Result, new: Result) -> HeatMaps:
    values, box = mean_map_gain(old, new)
    time_s = min(result.report.frames.time_s[0] for result in (old, new))
    return HeatMaps(np.array([time_s]), values[None].astype(np.float32), box)


def mean_map_gain(old: Result, new: Result) -> tuple[Float64, Box]:
    """New minus old mean map [h, w], each with the sum 1, and the part of the picture."""
    before, after = old.report.spatial, new.report.spatial
    one, other = (distribution(np.array(one.mean_map)) for one in (before, after))
    return _difference(one, before.box, other, after.box)


def _difference(old: Float64, box: Box, new: Float64, new_box: Box) -> tuple[Float64, Box]:
    rows, columns = common_grid(old.shape[-2:], box, new.shape[-2:], new_box)
    gain = resampled(new, new_box, rows, columns) - resampled(old, box, rows, columns)
    edges = (columns[0], rows[0], columns[-1], rows[-1])
    left, top, right, bottom = (float(edge) for edge in edges)
    return gain, (left, top, right, bottom)


def places(old: Result, new: Result) -> tuple[Point, Point] | None:
    """The ninth of the picture that has lost most evidence, and the one that has gained most.

    Each is told by its center, x and y as shares of the picture. None if next to nothing has moved
    from one to another.
    """
    gain, (left, top, right, bottom) = mean_map_gain(old, new)
    y, x = (
        _REGIONS * (low + (np.arange(count) + 0.5) * (high - low) / count)
        for count, low, high in zip(gain.shape, (top, left), (bottom, right), strict=True)
    )
    regions = np.zeros((_REGIONS, _REGIONS))
    row, column = (np.floor(at).astype(int).clip(0, _REGIONS - 1) for at in (y, x))
    np.add.at(regions, (row[:, None], column[None]), gain)
    if np.abs(regions).sum() / 2 < _LEAST:
        return None
    lost, gained = (divmod(int(at), _REGIONS) for at in (regions.argmin(), regions.argmax()))
    return _center(*lost), _center(*gained)


def _center(row: int, column: int) -> Point:
    return (column + 0.5) / _REGIONS, (row + 0.5) / _REGIONS
