"""The times of a stream's frames: always increasing, also where its timestamps are not."""

from __future__ import annotations

from typing import NamedTuple

_REORDER = 16
"""Frames by which timestamps may fall, or lag behind, before the source's clock was set anew."""


class Moment(NamedTuple):
    """The time of a frame."""

    time_s: float
    """Seconds from the first frame of the stream."""
    continues: bool
    """Whether it follows the frame before; if not, as after a jump of the timestamps or in a new
    connection, nothing is known of what happened between the two."""


class StreamClock:
    """Times of frames in display order, from their timestamps.

    They are those that a file of the same frames has: ticks from the first frame, times the time
    base. A frame whose timestamp is missing, stands still, or falls a little comes a part of a
    usual step after the frame before. Where timestamps jump, it comes one usual step after it, and
    the following ones are counted from there.

    Args:
        longest_gap_s: gap from frame to frame above which the clock of the source was set anew.
    """

    def __init__(self, longest_gap_s: float = 10.0) -> None:
        self.repaired = 0
        """Frames with timestamps that could not be used."""
        self._longest_gap_s = longest_gap_s
        self._has_begun = False
        self._start_s = self._last_s = 0.0
        """Times of the first frame of this connection, and of the latest frame."""
        self._position: int | None = None
        """Of the latest frame, in ticks from the first one of this connection."""
        self._origin: int | None = None
        """Timestamp at which the position is 0."""
        self._stamp: int | None = None
        """The latest timestamp."""
        self._in_doubt = False
        """Whether the timestamp of the latest frame could not be used."""

    def restart(self, tick_s: float, frame_s: float) -> None:
        """The next frame is the first of a new connection.

        Args:
            tick_s: seconds per tick of its timestamps.
            frame_s: usual time from frame to frame.
        """
        if self._has_begun:
            self._start_s = self._last_s + frame_s
        self._tick_s = tick_s
        self._step = max(1, round(frame_s / tick_s))
        self._longest = max(round(self._longest_gap_s / tick_s), 4 * self._step)
        self._position = self._origin = self._stamp = None
        self._in_doubt = False

    def of(self, ticks: int | None) -> Moment:
        """The time of the next frame; None if it has no timestamp."""
        if self._position is None:
            self._position, continues, self._has_begun = 0, not self._has_begun, True
        else:
            gap, continues = self._gap(ticks, self._position)
            self._position += gap
        if ticks is not None:
            self._stamp = ticks
            lag = 0 if self._origin is None else self._origin + self._position - ticks
            if self._origin is None or not continues or lag > _REORDER * self._step:
                self._origin = ticks - self._position
        self._last_s = self._start_s + self._position * self._tick_s
        return Moment(self._last_s, continues)

    def _gap(self, ticks: int | None, position: int) -> tuple[int, bool]:
        """Ticks since the frame before, at that position, and whether the frame follows it."""
        change = 0 if ticks is None or self._stamp is None else ticks - self._stamp
        if not -_REORDER * self._step <= change <= self._longest:
            self.repaired += 1
            self._in_doubt = False
            return self._step, False
        if ticks is not None and self._origin is not None:
            gap = ticks - self._origin - position
            if gap > 0:
                self._in_doubt = False
                return gap, True
        self.repaired += 1
        # A shared timestamp: the following one may be right. Of several, none is.
        part = 1 if ticks is None or self._in_doubt else 2
        self._in_doubt = True
        return max(1, self._step // part), True
