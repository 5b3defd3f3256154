"""The times of the latest frames, as a video without pictures."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from threading import Lock

import numpy as np

from staa_cli.live.frames import LiveFrame
from staa_cli.schema import UInt8, VideoInfo
from staa_cli.video.frame_source import SeekableSource
from staa_cli.video.table import DecodeReport


class Timeline:
    """Times of the frames of the last seconds; one thread adds, another reads.

    Args:
        seconds: how long they are kept.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds, self._lock = seconds, Lock()
        self._times: deque[tuple[int, float]] = deque()

    def add(self, frame: LiveFrame) -> None:
        """Add the next frame."""
        with self._lock:
            self._times.append((frame.number, frame.time_s))
            while frame.time_s - self._times[0][1] > self._seconds:
                self._times.popleft()

    def span(self, first: int, last: int, info: VideoInfo) -> Times | None:
        """The frames from one number to another; None if the first is no longer known."""
        with self._lock:
            times = [time_s for number, time_s in self._times if first <= number <= last]
        return Times(info, times) if len(times) == last - first + 1 else None


class Times(SeekableSource):
    """A part of a stream of which only the times are known.

    Args:
        info: metadata of the stream.
        times_s: of its frames, in seconds of the stream.
    """

    def __init__(self, info: VideoInfo, times_s: Sequence[float]) -> None:
        times = np.asarray(times_s, np.float64)
        gap_s = float(np.median(np.diff(times))) if len(times) > 1 else 1 / info.rate
        self._info = replace(info, times_s=times, duration_s=float(times[-1]) + gap_s)

    @property
    def info(self) -> VideoInfo:
        """Metadata, with the times."""
        return self._info

    def read(
        self, indices: Sequence[int], report: DecodeReport | None = None
    ) -> Iterator[tuple[int, UInt8]]:
        """There are no pictures."""
        raise IndexError("only the times of these frames are known")
