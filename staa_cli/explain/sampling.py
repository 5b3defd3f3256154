"""Sampling: which frames of a video go into which clip; pure arithmetic on time stamps.

Frames are chosen by time, never by number: a clip wants frames `interval_s` apart and takes, for
every wanted time, the source frame that starts nearest to it (the earlier one where two are equally
near). So rates of any size and files of variable rate need no rule of their own.

A video shorter than a clip keeps the interval and repeats its last frame; `Clip.padded` counts the
repeats and a warning says so.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from staa_cli.config.settings import SamplingSettings
from staa_cli.errors import InputError, UsageError
from staa_cli.formatting import counted, raw
from staa_cli.schema import Clip, Float64, ReportWarning

_Row = tuple[NDArray[np.intp], int]  # frame numbers [T], and how many of them only fill up

DENSE = ("auto", "dense", "range")
"""Strategies that lay clips over all of the stretch, a step apart."""

_TOLERANCE_S = 1e-6  # time stamps are rounded to the container's clock


@dataclass(frozen=True, slots=True)
class Plan:
    """The clips of one video, in order of time."""

    strategy: str
    """The strategy in force; `auto` has been decided."""
    clips: tuple[Clip, ...]
    part: range
    """Positions of the frames that clips were laid over."""
    warnings: tuple[ReportWarning, ...] = ()


@dataclass(frozen=True, slots=True)
class _Wish:
    """What a clip should be: T frames, `interval_s` apart."""

    frames: int
    interval_s: float

    @property
    def span_s(self) -> float:
        """From the first frame's start to the last one's."""
        return (self.frames - 1) * self.interval_s

    @property
    def length_s(self) -> float:
        """From the first frame's start to the next clip's, were it to follow without a gap."""
        return self.frames * self.interval_s


def plan(
    times_s: Float64,
    *,
    frames: int,
    interval_s: float,
    settings: SamplingSettings,
    model_interval_s: float | None = None,
) -> Plan:
    """Place clips over a video, given the start times [N] of its frames.

    Args:
        times_s: rising, in seconds.
        frames: T, the frames of a clip.
        interval_s: seconds between two frames of a clip: stride / rate.
        settings: strategy, hop, number of clips, seed, and the stretch to look at.
        model_interval_s: what the model was trained on, where `interval_s` is somebody's choice.

    Raises:
        UsageError: the stretch's start is not before its end, or the strategy needs one.
        InputError: the video has no frame in that stretch.
    """
    first, last = _stretch(times_s, settings)
    times = times_s[first:last]
    if settings.strategy == "uniform":
        wish = _Wish(frames, _duration_s(times) / frames)
        rows = [_uniform(times, frames)]
    else:
        wish = _Wish(frames, interval_s)
        wanted = _starts(times, wish, settings)[:, None] + np.arange(frames) * interval_s
        rows = [_fill(times, row) for row in wanted]
    clips = _clips(times_s, ((row + first, padded) for row, padded in rows), wish.interval_s)
    strategy = "dense" if settings.strategy == "auto" else settings.strategy
    warnings = _warnings(clips, wish, strategy, model_interval_s or interval_s)
    return Plan(strategy, clips, range(first, last), tuple(warnings))


def clip_at(times_s: Float64, start_s: float, *, frames: int, interval_s: float) -> Clip:
    """One clip that begins at a time, moved so that the video holds all of it, if it can.

    Args:
        times_s: start times [N] of the video's frames, rising, in seconds.
        start_s: where it is to begin.
        frames: T, the frames of the clip.
        interval_s: seconds between two of them.
    """
    wish = _Wish(frames, interval_s)
    room_s = max(0.0, float(times_s[-1] - times_s[0]) - wish.span_s)
    first_s = float(times_s[0]) + min(max(start_s - float(times_s[0]), 0.0), room_s)
    wanted = np.asarray(first_s + np.arange(frames) * interval_s, np.float64)
    return _clips(times_s, [_fill(times_s, wanted)], interval_s)[0]


def _stretch(times_s: Float64, settings: SamplingSettings) -> tuple[int, int]:
    start, end = settings.start, settings.end
    if settings.strategy == "range" and start is None and end is None:
        raise UsageError(
            "sampling a range needs a start, an end, or both",
            "add --start SECONDS or --end SECONDS",
        )
    if start is not None and end is not None and start >= end:
        raise UsageError(f"the start ({start:g} s) is not before the end ({end:g} s)", "swap them")
    if len(times_s) == 0:
        raise InputError("the video has no frames")
    low = 0.0 if start is None else start - _TOLERANCE_S
    high = np.inf if end is None else end - _TOLERANCE_S
    first, last = np.searchsorted(times_s, [low, high])
    if first >= last:
        asked = f"between {start or 0:g} s and {'the end' if end is None else f'{end:g} s'}"
        raise InputError(
            f"no frame {asked}",
            f"its frames lie between {times_s[0]:g} s and {times_s[-1]:g} s",
        )
    return int(first), int(last)


def _starts(times: Float64, wish: _Wish, settings: SamplingSettings) -> Float64:
    """Where the clips begin; one clip at the first frame where there is no room for more."""
    room_s = float(times[-1] - times[0]) - wish.span_s
    if room_s <= _TOLERANCE_S:
        offsets = np.zeros(1)
    elif settings.strategy == "segments":
        offsets = _segments(room_s, wish, settings.clips)
    elif settings.strategy == "random":
        random = np.random.default_rng(settings.seed)
        offsets = np.sort(random.uniform(0, room_s, settings.clips))
    else:
        shortest_s = float(np.diff(times).min())  # a smaller step only repeats clips
        hop_s = max(settings.hop * wish.length_s, shortest_s)
        offsets = np.append(np.arange(0, room_s - _TOLERANCE_S, hop_s), room_s)
    return np.asarray(times[0] + offsets, np.float64)


def _segments(room_s: float, wish: _Wish, clips: int) -> Float64:
    """Starts of clips that lie in the middles of equal parts, moved inside where they stick out."""
    middles = (np.arange(clips) + 0.5) / clips * (room_s + wish.span_s)
    return np.clip(middles - wish.span_s / 2, 0, room_s)


def _uniform(times: Float64, frames: int) -> _Row:
    """The frames at the middles of T equal parts; all of them, then the last, where N < T."""
    if len(times) <= frames:
        row = np.minimum(np.arange(frames), len(times) - 1)
        return row, frames - len(times)
    middles = times[0] + (np.arange(frames) + 0.5) / frames * _duration_s(times)
    return _nearest(times, middles - _frame_s(times) / 2), 0


def _fill(times: Float64, wanted: Float64) -> _Row:
    """The frames nearest to the wanted times, and how many of them only fill up the end."""
    row = _nearest(times, wanted)
    beyond = wanted > times[-1] + _frame_s(times) / 2 + _TOLERANCE_S
    repeated = np.diff(row, prepend=-1) == 0
    return row, int(np.sum(beyond & repeated))


def _nearest(times: Float64, wanted: Float64) -> NDArray[np.intp]:
    right = np.clip(np.searchsorted(times, wanted), 1, max(1, len(times) - 1))
    if len(times) == 1:
        return np.zeros(len(wanted), np.intp)
    nearer_right = times[right] - wanted < wanted - times[right - 1] - _TOLERANCE_S
    return np.where(nearer_right, right, right - 1)


def _frame_s(times: Float64) -> float:
    return float(np.median(np.diff(times))) if len(times) > 1 else 0.0


def _duration_s(times: Float64) -> float:
    """From the first frame's start to the last one's end."""
    return float(times[-1] - times[0]) + _frame_s(times)


def _clips(times_s: Float64, rows: Iterable[_Row], interval_s: float) -> tuple[Clip, ...]:
    """Clips out of rows of frame numbers; a row that comes twice becomes one clip."""
    unique = {tuple(row.tolist()): padded for row, padded in rows}
    return tuple(
        Clip(index, row, tuple(times_s[list(row)].tolist()), padded, interval_s)
        for index, (row, padded) in enumerate(unique.items())
    )


def _warnings(
    clips: tuple[Clip, ...], wish: _Wish, strategy: str, trained_s: float
) -> Iterator[ReportWarning]:
    padded = max(clip.padded for clip in clips)
    if padded:
        yield ReportWarning(
            "short-video",
            f"the video is shorter than a clip of {counted(wish.frames, 'frame')} "
            f"({raw(wish.length_s)} s); repeats of the last frame: {padded} of "
            f"{wish.frames}",
        )
    repeats = max(_repeats(clip) for clip in clips)
    if repeats:
        yield ReportWarning(
            "low-frame-rate",
            f"the source has no frame every {raw(wish.interval_s)} s; repeated frames "
            f"in a clip: up to {repeats} of {wish.frames}",
        )
    uniform = strategy == "uniform"
    slack = 0.5 if uniform else 1e-3
    if not (uniform and padded) and not math.isclose(wish.interval_s, trained_s, rel_tol=slack):
        yield ReportWarning(
            "stride-mismatch",
            f"the model receives a frame every {raw(wish.interval_s)} s but was "
            f"trained on one every {raw(trained_s)} s",
        )


def _repeats(clip: Clip) -> int:
    real = clip.frame_indices[: len(clip.frame_indices) - clip.padded]
    return len(real) - len(set(real))
