"""Sampling: assign the frames of a video to clips, from timestamps only.

Frames are chosen by time, never by number: a clip has target times `interval_s` apart and takes for
each the source frame that starts nearest to it (the earlier one of two equally near). So any frame
rate, also a variable one, is handled in the same way.

For a video shorter than a clip, the interval is kept and the last frame is repeated; `Clip.padded`
counts the repeats, and there is a warning.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from staa_cli.config.settings import SamplingSettings
from staa_cli.errors import InputError, UsageError
from staa_cli.formatting import counted, raw
from staa_cli.schema import Clip, Float64, ModelInput, ReportWarning

_Row = tuple[NDArray[np.intp], int]  # frame numbers [T], and how many of them are padding

DENSE = ("auto", "dense", "range")
"""Strategies that place clips over the whole time range at equal steps."""

_TOLERANCE_S = 1e-6  # timestamps are rounded to the container's clock


@dataclass(frozen=True, slots=True)
class Plan:
    """The clips of one video, in order of time."""

    strategy: str
    """The strategy used; `auto` is resolved."""
    clips: tuple[Clip, ...]
    part: range
    """Positions of the frames in the selected time range."""
    warnings: tuple[ReportWarning, ...] = ()


@dataclass(frozen=True, slots=True)
class _ClipShape:
    """Shape of a clip: T frames, `interval_s` apart."""

    frames: int
    interval_s: float

    @property
    def span_s(self) -> float:
        """From the start of the first frame to the start of the last one."""
        return (self.frames - 1) * self.interval_s

    @property
    def length_s(self) -> float:
        """From the start of a clip to the start of the next one without a gap."""
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
        times_s: increasing, in seconds.
        frames: T, the frames of a clip.
        interval_s: seconds between two frames of a clip: stride / rate.
        settings: strategy, hop, number of clips, seed, and time range.
        model_interval_s: interval that the model was trained on; by default `interval_s`.

    Raises:
        UsageError: the start is not before the end, or the strategy needs a time range.
        InputError: the video has no frame in the time range.
    """
    first, last = _time_range(times_s, settings)
    times = times_s[first:last]
    if settings.strategy == "uniform":
        shape = _ClipShape(frames, _duration_s(times) / frames)
        rows = [_uniform(times, frames)]
    else:
        shape = _ClipShape(frames, interval_s)
        targets = _starts(times, shape, settings)[:, None] + np.arange(frames) * interval_s
        rows = [_fill(times, row) for row in targets]
    clips = _clips(times_s, ((row + first, padded) for row, padded in rows), shape.interval_s)
    strategy = "dense" if settings.strategy == "auto" else settings.strategy
    trained_s = model_interval_s or interval_s
    warnings = clip_warnings(clips, frames, shape.interval_s, strategy, trained_s)
    return Plan(strategy, clips, range(first, last), tuple(warnings))


def plan_for(times_s: Float64, model_input: ModelInput, settings: SamplingSettings) -> Plan:
    """Place clips as `plan` does, for a model with that input."""
    stride = settings.stride or model_input.stride
    return plan(
        times_s,
        frames=settings.frames or model_input.frames,
        interval_s=stride / model_input.rate,
        settings=settings,
        model_interval_s=model_input.interval_s,
    )


def clip_at(times_s: Float64, start_s: float, *, frames: int, interval_s: float) -> Clip:
    """One clip that begins at a time, moved to lie within the video if possible.

    Args:
        times_s: start times [N] of the video's frames, rising, in seconds.
        start_s: time of its first frame.
        frames: T, the frames of the clip.
        interval_s: seconds between two of them.
    """
    shape = _ClipShape(frames, interval_s)
    room_s = max(0.0, float(times_s[-1] - times_s[0]) - shape.span_s)
    first_s = float(times_s[0]) + min(max(start_s - float(times_s[0]), 0.0), room_s)
    targets = np.asarray(first_s + np.arange(frames) * interval_s, np.float64)
    return _clips(times_s, [_fill(times_s, targets)], interval_s)[0]


def _time_range(times_s: Float64, settings: SamplingSettings) -> tuple[int, int]:
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
        span = f"between {start or 0:g} s and {'the end' if end is None else f'{end:g} s'}"
        raise InputError(
            f"no frame {span}",
            f"its frames lie between {times_s[0]:g} s and {times_s[-1]:g} s",
        )
    return int(first), int(last)


def _starts(times: Float64, shape: _ClipShape, settings: SamplingSettings) -> Float64:
    """Start times of the clips; only the first frame's if there is no room for more."""
    room_s = float(times[-1] - times[0]) - shape.span_s
    if room_s <= _TOLERANCE_S:
        offsets = np.zeros(1)
    elif settings.strategy == "segments":
        offsets = _segments(room_s, shape, settings.clips)
    elif settings.strategy == "random":
        random = np.random.default_rng(settings.seed)
        offsets = np.sort(random.uniform(0, room_s, settings.clips))
    else:
        shortest_s = float(np.diff(times).min())  # a smaller step only repeats clips
        hop_s = max(settings.hop * shape.length_s, shortest_s)
        offsets = np.append(np.arange(0, room_s - _TOLERANCE_S, hop_s), room_s)
    return np.asarray(times[0] + offsets, np.float64)


def _segments(room_s: float, shape: _ClipShape, clips: int) -> Float64:
    """Starts of clips centered in equal parts, moved inside at the ends."""
    middles = (np.arange(clips) + 0.5) / clips * (room_s + shape.span_s)
    return np.clip(middles - shape.span_s / 2, 0, room_s)


def _uniform(times: Float64, frames: int) -> _Row:
    """The frames at the middles of T equal parts; for N < T all frames and repeats of the last."""
    if len(times) <= frames:
        row = np.minimum(np.arange(frames), len(times) - 1)
        return row, frames - len(times)
    middles = times[0] + (np.arange(frames) + 0.5) / frames * _duration_s(times)
    return _nearest(times, middles - _frame_s(times) / 2), 0


def _fill(times: Float64, targets: Float64) -> _Row:
    """The frames nearest to the target times, and how many of them are padding at the end."""
    row = _nearest(times, targets)
    beyond = targets > times[-1] + _frame_s(times) / 2 + _TOLERANCE_S
    repeated = np.diff(row, prepend=-1) == 0
    return row, int(np.sum(beyond & repeated))


def _nearest(times: Float64, targets: Float64) -> NDArray[np.intp]:
    right = np.clip(np.searchsorted(times, targets), 1, max(1, len(times) - 1))
    if len(times) == 1:
        return np.zeros(len(targets), np.intp)
    nearer_right = times[right] - targets < targets - times[right - 1] - _TOLERANCE_S
    return np.where(nearer_right, right, right - 1)


def _frame_s(times: Float64) -> float:
    return float(np.median(np.diff(times))) if len(times) > 1 else 0.0


def _duration_s(times: Float64) -> float:
    """From the start of the first frame to the end of the last one."""
    return float(times[-1] - times[0]) + _frame_s(times)


def _clips(times_s: Float64, rows: Iterable[_Row], interval_s: float) -> tuple[Clip, ...]:
    """Clips from rows of frame numbers; duplicates are removed."""
    unique = {tuple(row.tolist()): padded for row, padded in rows}
    return tuple(
        Clip(index, row, tuple(times_s[list(row)].tolist()), padded, interval_s)
        for index, (row, padded) in enumerate(unique.items())
    )


def clip_warnings(
    clips: Sequence[Clip], frames: int, interval_s: float, strategy: str, trained_s: float
) -> Iterator[ReportWarning]:
    """Warnings about clips that are not what the model was trained on.

    Args:
        clips: of the video.
        frames: T, the frames of a clip.
        interval_s: time between two of them.
        strategy: that placed them.
        trained_s: the interval that the model was trained on.
    """
    shape = _ClipShape(frames, interval_s)
    padded = max(clip.padded for clip in clips)
    if padded:
        yield ReportWarning(
            "short-video",
            f"the video is shorter than a clip of {counted(shape.frames, 'frame')} "
            f"({raw(shape.length_s)} s); repeats of the last frame: {padded} of "
            f"{shape.frames}",
        )
    repeats = max(_repeats(clip) for clip in clips)
    if repeats:
        yield ReportWarning(
            "low-frame-rate",
            f"the source has no frame every {raw(shape.interval_s)} s; repeated frames "
            f"in a clip: up to {repeats} of {shape.frames}",
        )
    uniform = strategy == "uniform"
    slack = 0.5 if uniform else 1e-3
    if not (uniform and padded) and not math.isclose(shape.interval_s, trained_s, rel_tol=slack):
        yield ReportWarning(
            "stride-mismatch",
            f"the model receives a frame every {raw(shape.interval_s)} s but was "
            f"trained on one every {raw(trained_s)} s",
        )


def _repeats(clip: Clip) -> int:
    unpadded = clip.frame_indices[: len(clip.frame_indices) - clip.padded]
    return len(unpadded) - len(set(unpadded))
