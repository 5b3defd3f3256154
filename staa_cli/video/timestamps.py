"""Computes the time of each frame from the timestamps in a file."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from staa_cli.schema import Float64

_REORDER = 16
"""Maximum reordering depth of a decoder in frames (H.264, HEVC, and AV1)."""
_FINEST = 1000
"""Maximum subdivision of a tick that several frames share."""


class ShowTimes(NamedTuple):
    """Times of frames."""

    ticks: NDArray[np.int64]
    """[N] increasing."""
    scale: int
    """Ticks per unit of the timestamps; more than 1 if frames share a timestamp."""
    repaired: bool
    """Timestamps contradicted the decoder's output order."""
    shifts: tuple[int, ...] = ()
    """For each clock reset, the ticks added to later timestamps."""


def show_times(stamps: Sequence[int | None], step: int, longest: int) -> ShowTimes:
    """Turn timestamps of frames [N], in display order, into increasing times.

    Missing timestamps are interpolated. Timestamps that step back within a decoder's reordering
    depth are correct but in the wrong order (a tool wrote decoding times as presentation times), so
    they are sorted; a longer step back is a clock reset, and later frames continue one frame on.
    Frames that share a timestamp divide the time up to the next one. If timestamps are implausibly
    far apart, all are ignored.

    Args:
        stamps: one per frame, None if the file has none.
        step: ticks from frame to frame if fewer than two timestamps exist.
        longest: ticks between two timestamps above which they count as damaged.
    """
    present = [stamp for stamp in stamps if stamp is not None]
    damaged = bool(present) and max(present) - min(present) > longest
    if not present or damaged:
        return ShowTimes(np.arange(len(stamps), dtype=np.int64) * step, 1, damaged)
    # Relative to the first one: a double is exact near zero, but not near a clock's epoch.
    first = present[0]
    times = np.array([np.nan if stamp is None else stamp - first for stamp in stamps], np.float64)
    known = np.flatnonzero(~np.isnan(times))
    values, usual = times[known], _usual_gap(times[known], step)
    falls, shifts = np.diff(values) <= 0, list[float]()
    if falls.any():
        values, shifts = _sorted(values, usual)
        values[1:][np.diff(values) <= 0] = np.nan  # shared: interpolated below
        times[known] = values
    times = _filled(times, usual)
    scale = 1
    while scale < _FINEST and (np.diff(np.rint(times * scale)) <= 0).any():
        scale *= 10
    order = np.arange(len(times))  # frames that are still closer get one tick each
    ticks = np.maximum.accumulate(np.rint(times * scale).astype(np.int64) - order) + order
    if abs(first * scale) < 1 << 62:  # otherwise the origin would overflow; it is dropped
        ticks += first * scale
    return ShowTimes(ticks, scale, bool(falls.any()), tuple(round(s * scale) for s in shifts))


def _usual_gap(values: Float64, step: int) -> float:
    gaps = np.diff(np.sort(values))
    return float(np.median(gaps[gaps > 0])) if (gaps > 0).any() else float(step)


def _sorted(values: Float64, usual: float) -> tuple[Float64, list[float]]:
    """Sort each part between clock resets and join the parts; also returns the shifts."""
    cuts = np.flatnonzero(np.diff(values) < -_REORDER * usual) + 1
    parts = [np.sort(part) for part in np.split(values, cuts)]
    shifts = []
    for before, part in pairwise(parts):
        shifts.append(float(before[-1] + usual - part[0]))
        part += shifts[-1]
    return np.concatenate(parts), shifts


def _filled(times: Float64, usual: float) -> Float64:
    """Interpolate NaN between neighbors; at either end, continue by the usual gap."""
    positions = np.arange(len(times))
    known = np.flatnonzero(~np.isnan(times))
    filled = np.interp(positions, known, times[known])
    beyond = positions - positions.clip(known[0], known[-1])
    return np.asarray(filled + beyond * usual, np.float64)
