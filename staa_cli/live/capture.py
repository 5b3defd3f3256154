"""Capture: connect to a source, decode what comes, and connect again when it is gone."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from threading import Event

from staa_cli.errors import VideoError
from staa_cli.live.frames import LiveFrame
from staa_cli.schema import VideoInfo
from staa_cli.video.live_source import Arrived, Connection
from staa_cli.video.stream_address import StreamAddress
from staa_cli.video.stream_clock import StreamClock

_FAST_S = 4.0
"""Seconds of a stream after which it is clear that frames come too fast for a live source."""
_STEADY_S = 10.0
"""Time after which a connection counts as steady: if it is lost, the first pause is short again."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 30.0
"""Of connecting again: the pause doubles from try to try."""

_REPEATED_S = 120.0
"""What a playlist may repeat in a new connection; after a longer fall, its clock was set anew."""
_LONGEST_GAP_S = 366 * 86_400.0
"""Between two frames of a file."""


@dataclass(frozen=True, slots=True)
class Waits:
    """Time limits of a source, in seconds."""

    nothing_s: float = 10.0
    """For a frame to come."""
    reconnect_s: float = 300.0
    """For a source that was lost to come back; 0 ends with the first loss."""


class Capture:
    """Frames of a source, also over several connections.

    Args:
        address: where it comes from.
        waits: time limits.
        options: of FFmpeg for the source.
        takes_all: the stream takes every frame, however fast they come.
        paced: deliver frames of a file when they are due, as if it was recorded now.
        on_message: called with a line about a lost or a new connection.
    """

    def __init__(
        self,
        address: StreamAddress,
        waits: Waits,
        options: Mapping[str, str],
        *,
        paced: bool = False,
        takes_all: bool = False,
        on_message: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._address, self._waits, self._options = address, waits, options
        self._paced, self._on_message = paced, on_message
        self._is_live = not takes_all
        self._first_s: float | None = None
        self._is_told = False
        self.stopped = Event()
        """Set from another thread to end it."""
        # A file keeps its pauses, however long; a live source would have reached a time limit.
        self._clock = StreamClock(_LONGEST_GAP_S if address.waits else max(10.0, waits.nothing_s))
        self._number = 0
        self._begun_s: float | None = None
        """When the first frame of a paced file was due."""
        self.info: VideoInfo | None = None
        """Metadata of the stream, from its first frame on; also for later connections."""
        self.frame_s = 0.04
        """Usual time from frame to frame, as far as the stream says."""
        self.connections = 0
        self._bad = 0
        self._seen_s = -math.inf
        """Timestamp of the latest frame of a playlist."""
        self._connection: Connection | None = None

    @property
    def packets_bad(self) -> int:
        """Packets that did not decode."""
        return self._bad + (self._connection.packets_bad if self._connection else 0)

    @property
    def times_repaired(self) -> int:
        """Frames with timestamps that could not be used."""
        return self._clock.repaired

    def frames(self) -> Iterator[tuple[LiveFrame, bool]]:
        """Yield (frame, whether its time since the frame before is known) until the source ends.

        Raises:
            VideoError: the source cannot be opened, or was lost and did not come back.
        """
        lost_s: float | None = None
        pause_s = _FIRST_PAUSE_S
        while not self.stopped.is_set():
            problem: VideoError | None = None
            try:
                begun_s = time.monotonic()
                for item in self._connected():
                    if lost_s is not None:
                        self._on_message(f"{self._address.shown}: frames come again")
                        lost_s = None
                    if time.monotonic() - begun_s > _STEADY_S:
                        pause_s = _FIRST_PAUSE_S
                    yield item
                if self._number == 0 and not self.stopped.is_set():
                    raise VideoError("it ended before its first frame")
            except VideoError as error:
                problem = error
            finally:
                ended = self._release()
            if self.stopped.is_set():
                return
            now = time.monotonic()
            left_s = self._waits.reconnect_s - (0.0 if lost_s is None else now - lost_s)
            if ended or self._number == 0 or left_s <= 0:
                if lost_s is not None:
                    problem = VideoError(
                        f"it ended, and did not come back within {self._waits.reconnect_s:g} s"
                    )
                if problem is None:
                    return
                raise problem
            if lost_s is None:
                lost_s = now
                cause = "it ended" if problem is None else problem.cause
                self._on_message(f"{self._address.shown}: {cause}; trying again for {left_s:g} s")
            self.stopped.wait(min(pause_s, left_s))
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _connected(self) -> Iterator[tuple[LiveFrame, bool]]:
        """The frames of one connection."""
        waits = self._waits
        self._connection = connection = Connection(
            self._address, waits.nothing_s, self._options, self.stopped
        )
        self.connections += 1
        self._clock.restart(connection.time_base_s, connection.frame_s)
        if self.info is None:
            self.frame_s = connection.frame_s
        for arrived in connection.frames():
            if self.stopped.is_set():
                return
            ticks = arrived.picture.pts
            if connection.repeats and ticks is not None:
                time_s = ticks * connection.time_base_s
                if self._seen_s - _REPEATED_S < time_s <= self._seen_s:
                    continue
                self._seen_s = time_s
            if self.info is None:
                self.info = connection.info(arrived.picture)
            moment = self._clock.of(ticks)
            # They would otherwise come as fast as the network, or FFmpeg, is.
            is_file = self._address.kind == "network" and connection.is_finite
            played = self._is_live and (is_file or self._address.is_generated)
            paced = self._paced or played
            due_s = self._due(moment.time_s, arrived) if paced else arrived.arrived_s
            if self._is_live and self._address.kind in ("pipe", "growing"):
                self._tell_if_fast(moment.time_s)
            frame = LiveFrame(
                self._number,
                moment.time_s,
                arrived.picture,
                due_s,
                max(due_s, arrived.decoded_s),
            )
            self._number += 1
            yield frame, moment.continues

    def _tell_if_fast(self, time_s: float) -> None:
        """Say so once if frames come much faster than they are to be shown."""
        now = time.monotonic()
        if self._first_s is None:
            self._first_s = now
        if not self._is_told and time_s > _FAST_S and now - self._first_s < time_s / 2:
            self._is_told = True
            self._on_message(
                f"{self._address.shown}: frames come faster than they are to be shown, and newer "
                "ones replace older ones; --no-realtime takes all"
            )

    def _due(self, time_s: float, arrived: Arrived) -> float:
        """Wait until a frame of a paced file is due, and return when that was."""
        if self._begun_s is None:
            self._begun_s = arrived.decoded_s - time_s
        due_s = self._begun_s + time_s
        self.stopped.wait(max(0.0, due_s - time.monotonic()))
        return due_s

    def _release(self) -> bool:
        """Close the connection; returns whether it has an end, after which nothing comes."""
        connection, self._connection = self._connection, None
        if connection is None:
            return not self._address.reconnects
        self._bad += connection.packets_bad
        has_end = not self._address.reconnects or connection.is_finite
        connection.close()
        return has_end
