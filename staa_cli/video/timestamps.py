"""Computes when each picture is shown from the timestamps that files carry."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from staa_cli.schema import Float64

_REORDER = 16
"""Most pictures that a decoder holds back to show them later (H.264, HEVC, and AV1 alike)."""
_FINEST = 1000
"""Parts that a tick is divided into, where pictures share one."""


class ShowTimes(NamedTuple):
    """When pictures are shown."""

    ticks: NDArray[np.int64]
    """[N] rising."""
    scale: int
    """How many of these ticks are one of the stamps': more than 1 where stamps are shared."""
    repaired: bool
    """Stamps contradicted the order in which the decoder shows the pictures."""
    shifts: tuple[int, ...] = ()
    """For every time that the clock was set anew, ticks that were added to stamps from then on."""


def show_times(stamps: Sequence[int | None], step: int, longest: int) -> ShowTimes:
    """Turn timestamps of pictures [N], in display order, into times that rise in that order.

    A stamp that is missing lies between its neighbors. Stamps that step back within the reach of a
    decoder's reordering are the right ones in the wrong order (a tool wrote times of decoding for
    times of showing), so they are sorted; a longer step back is a clock that was set anew, and
    what follows it goes on a frame later. Pictures that share a stamp share the time up to the
    next one. Where stamps lie absurdly far apart, none is believed.

    Args:
        stamps: one a picture, None where the file says nothing.
        step: ticks from picture to picture, where no two stamps tell.
        longest: ticks between two stamps above which a clock is damaged.
    """
    told = [stamp for stamp in stamps if stamp is not None]
    absurd = bool(told) and max(told) - min(told) > longest
    if not told or absurd:
        return ShowTimes(np.arange(len(stamps), dtype=np.int64) * step, 1, absurd)
    # From the first one on: a double tells ticks apart near zero, not near a clock's epoch.
    first = told[0]
    times = np.array([np.nan if stamp is None else stamp - first for stamp in stamps], np.float64)
    known = np.flatnonzero(~np.isnan(times))
    values, usual = times[known], _usual_gap(times[known], step)
    falls, shifts = np.diff(values) <= 0, list[float]()
    if falls.any():
        values, shifts = _sorted(values, usual)
        values[1:][np.diff(values) <= 0] = np.nan  # shared: told by those around it
        times[known] = values
    times = _filled(times, usual)
    scale = 1
    while scale < _FINEST and (np.diff(np.rint(times * scale)) <= 0).any():
        scale *= 10
    order = np.arange(len(times))  # what is closer still is a tick apart
    ticks = np.maximum.accumulate(np.rint(times * scale).astype(np.int64) - order) + order
    if abs(first * scale) < 1 << 62:  # else it is no time that anything else keeps to
        ticks += first * scale
    return ShowTimes(ticks, scale, bool(falls.any()), tuple(round(s * scale) for s in shifts))


def _usual_gap(values: Float64, step: int) -> float:
    gaps = np.diff(np.sort(values))
    return float(np.median(gaps[gaps > 0])) if (gaps > 0).any() else float(step)


def _sorted(values: Float64, usual: float) -> tuple[Float64, list[float]]:
    """Sorted between the places where the clock was set back, and joined there; by how much."""
    cuts = np.flatnonzero(np.diff(values) < -_REORDER * usual) + 1
    parts = [np.sort(part) for part in np.split(values, cuts)]
    shifts = []
    for before, part in pairwise(parts):
        shifts.append(float(before[-1] + usual - part[0]))
        part += shifts[-1]
    return np.concatenate(parts), shifts


def _filled(times: Float64, usual: float) -> Float64:
    """NaN become times between their neighbors, or a usual gap apart at either end."""
    places = np.arange(len(times))
    known = np.flatnonzero(~np.isnan(times))
    filled = np.interp(places, known, times[known])
    beyond = places - places.clip(known[0], known[-1])
    return np.asarray(filled + beyond * usual, np.float64)
