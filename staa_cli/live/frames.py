"""Frames of a stream, and the latest of them."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from threading import Lock
from typing import NamedTuple

import numpy as np
from av.video.frame import VideoFrame

from staa_cli.explain.sampling import clip_at
from staa_cli.schema import Clip

_TOLERANCE_S = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class LiveFrame:
    """A frame of a stream."""

    number: int
    """From 0 on, in the order of the stream."""
    time_s: float
    """Seconds from the first frame."""
    picture: VideoFrame
    """As decoded."""
    arrived_s: float
    """When it arrived, by `time.monotonic`."""
    decoded_s: float
    """When it was decoded."""


class Completed(NamedTuple):
    """A frame without its picture: see `LiveFrame`."""

    number: int
    time_s: float
    arrived_s: float
    decoded_s: float


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """Frames for one clip of the model: T frames at its stride."""

    number: int
    clip: Clip
    """Its `frame_indices` are numbers of frames of the stream."""
    frames: tuple[LiveFrame, ...]
    """[T]; a source with a low rate repeats frames. Empty once it is explained, to save memory."""
    completed: Completed
    """The frame that completed it, the newest one at that time."""


@dataclass(frozen=True, slots=True)
class Spacing:
    """Which frames make a window, and how often there is one.

    Args:
        frames: T, the frames of a clip.
        interval_s: time between two of them.
        hop: frames from window to window; None for one with every frame.
        hop_s: seconds from the start of a window to that of the next, instead of `hop`: windows are
            then those of dense sampling of a file.
    """

    frames: int
    interval_s: float
    hop: int | None = None
    hop_s: float | None = None

    @property
    def span_s(self) -> float:
        """From the first frame of a window to its last one."""
        return (self.frames - 1) * self.interval_s


class Ring:
    """The latest frames of a stream, without gaps in what is known of time.

    Frames are added by one thread; others may read.

    Args:
        spacing: of windows.
        keep_s: seconds of frames to keep, if that is longer than a window.
        keep_bytes: limit of the size of frames that are kept beyond those of a window.
    """

    def __init__(self, spacing: Spacing, keep_s: float = 0.0, keep_bytes: int = 1 << 29) -> None:
        self._spacing, self._keep_s, self._keep_bytes = spacing, keep_s, keep_bytes
        self._frames: deque[LiveFrame] = deque()
        self._lock = Lock()
        self._windows = 0
        self._since_window = 0
        self._first_s, self._starts = 0.0, 0
        """Time of the first frame, and number of dense windows that began since."""
        self._last: tuple[int, ...] | None = None
        """Frames of the latest dense window."""

    def add(self, frame: LiveFrame, *, continues: bool = True) -> list[Window]:
        """Add the next frame.

        Args:
            frame: the newest one.
            continues: whether it is known how long after the frame before it was; if not, no window
                spans the two.

        Returns:
            The windows that it completes, of those that are due: one at most, but for dense ones
            after a pause of the source.
        """
        with self._lock:
            if not continues:
                self._frames.clear()
            if not self._frames:
                self._first_s, self._starts, self._since_window = frame.time_s, 0, 0
                self._last = None
            self._frames.append(frame)
        due = self._due(frame) if self._spacing.hop_s is None else self._dense(frame)
        with self._lock:
            self._forget()
        return due

    def latest(self, seconds: float) -> list[LiveFrame]:
        """The frames of the last seconds, as far as they are kept, in order."""
        with self._lock:
            if not self._frames:
                return []
            start_s = self._frames[-1].time_s - seconds
            return [frame for frame in self._frames if frame.time_s >= start_s]

    def _due(self, newest: LiveFrame) -> list[Window]:
        """The window that ends with the newest frame, if one is due."""
        spacing = self._spacing
        if newest.time_s - self._frames[0].time_s < spacing.span_s - _TOLERANCE_S:
            return []
        due = self._since_window % (spacing.hop or 1) == 0
        self._since_window += 1
        if not due:
            return []
        window = self._window(newest.time_s - spacing.span_s, newest)
        self._windows += 1
        return [window]

    def _dense(self, newest: LiveFrame) -> list[Window]:
        """The windows of dense sampling that end with the newest frame, or before; each once."""
        windows = []
        while newest.time_s >= self._next_start_s + self._spacing.span_s - _TOLERANCE_S:
            window = self._window(self._next_start_s, newest)
            self._starts += 1
            if window.clip.frame_indices != self._last:
                self._last = window.clip.frame_indices
                self._windows += 1
                windows.append(window)
        return windows

    @property
    def _next_start_s(self) -> float:
        """Start of the next dense window."""
        return self._first_s + self._starts * (self._spacing.hop_s or 0.0)

    def _window(self, start_s: float, newest: LiveFrame) -> Window:
        frames = list(self._frames)
        times_s = np.array([frame.time_s for frame in frames])
        clip = clip_at(
            times_s, start_s, frames=self._spacing.frames, interval_s=self._spacing.interval_s
        )
        chosen = tuple(frames[position] for position in clip.frame_indices)
        numbers = tuple(frame.number for frame in chosen)
        of_stream = Clip(self._windows, numbers, clip.times_s, clip.padded, clip.interval_s)
        completed = Completed(newest.number, newest.time_s, newest.arrived_s, newest.decoded_s)
        return Window(self._windows, of_stream, chosen, completed)

    def _forget(self) -> None:
        """Drop frames that neither a window nor what is kept needs."""
        newest_s, size = self._frames[-1].time_s, _bytes(self._frames[-1].picture)
        needed_s = newest_s - self._spacing.span_s
        if self._spacing.hop_s is not None:
            needed_s = min(needed_s, self._next_start_s)
        kept_s = min(needed_s, newest_s - self._keep_s)
        # One more than needed: the nearest frame to the first time may be before it.
        while len(self._frames) > 2 and (
            self._frames[1].time_s < kept_s - _TOLERANCE_S
            or (
                len(self._frames) * size > self._keep_bytes
                and self._frames[1].time_s < needed_s - _TOLERANCE_S
            )
        ):
            self._frames.popleft()


def _bytes(picture: VideoFrame) -> int:
    return sum(plane.buffer_size for plane in picture.planes)
