"""Those who watch: each with few messages that wait, so that none delays the stream or another.

Everything here runs in the event loop of the server, except where it says otherwise.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Iterable
from threading import Event
from typing import Any, NamedTuple

from staa_cli.live.delay import Delays
from staa_cli.live.server.pictures import Form, Picture

MOST = 64
"""Viewers at once."""
_WAITING_PICTURES, _WAITING_TEXTS = 15, 64
"""Messages that may wait for a viewer: half a second of pictures at 30 a second."""
STUCK_S = 5.0
"""A viewer that takes nothing for so long is disconnected."""
_REMEMBERED = 600
"""Frames whose way can still be reported, 20 s at 30 a second."""
_LONGEST_S = 60.0
"""Reports of longer ways are not believed."""

_LATEST_MS = 1e15
"""Beyond any clock."""

Put = Callable[[str | bytes], Awaitable[None]]


class Viewer:
    """An open page.

    Args:
        form: of the pictures that it gets.
    """

    def __init__(self, form: Form) -> None:
        self.form = form
        self.watches = True
        """Whether it can be seen."""
        self.reported = -1
        """Number of the last frame whose way it has reported."""
        self._texts: deque[str] = deque()
        self._pictures: deque[bytes] = deque()
        self._in_step, self._is_over = False, False
        self._changed = asyncio.Event()

    def watch(self, watches: bool) -> None:
        """Begin to take pictures, from a key frame on, or pause."""
        self.watches, self._in_step = watches, False

    def show(self, picture: Picture) -> int:
        """Add a picture; returns how many are left out instead.

        Pictures build upon those before them: if there is no room, the next ones are left out
        until a key frame.
        """
        missed = 0
        if len(self._pictures) >= _WAITING_PICTURES:
            missed = len(self._pictures)
            self._pictures.clear()
            self._in_step = False
        if picture.is_key:
            self._in_step = True
        if not self._in_step:
            return missed + 1
        self._pictures.append(picture.message)
        self._changed.set()
        return missed

    def tell(self, message: dict[str, Any]) -> None:
        """Add a message; the oldest is left out if there is no room."""
        if len(self._texts) >= _WAITING_TEXTS:
            self._texts.popleft()
        self._texts.append(json.dumps(message, allow_nan=False))
        self._changed.set()

    def end(self) -> None:
        """Nothing follows."""
        self._is_over = True
        self._changed.set()

    async def send(self, put: Put) -> None:
        """Send what there is until the end.

        Raises:
            TimeoutError: the viewer takes nothing.
        """
        while self._texts or self._pictures or not self._is_over:
            await self._changed.wait()
            self._changed.clear()
            while self._texts or self._pictures:
                message = self._texts.popleft() if self._texts else self._pictures.popleft()
                async with asyncio.timeout(STUCK_S):
                    await put(message)


class _Way(NamedTuple):
    """When a frame was where, in milliseconds since 1970."""

    arrived_ms: float
    encoded_ms: float


class Audience:
    """All viewers of a stream.

    Args:
        delays: gets the ways that viewers report.
    """

    def __init__(self, delays: Delays) -> None:
        self._delays = delays
        self._viewers: set[Viewer] = set()
        self._ways: OrderedDict[int, _Way] = OrderedDict()
        self._newest: dict[str, Any] | None = None
        self._is_over = False
        self.forms: frozenset[Form] = frozenset()
        """Forms in which pictures are watched; other threads may read it."""
        self.key_wanted = Event()
        """Set when somebody waits for a key frame; the encoder clears it."""
        self.most, self.missed, self.stuck = 0, 0, 0
        """Viewers at once, pictures that were left out for some, and viewers disconnected."""

    def __len__(self) -> int:
        return len(self._viewers)

    def join(self, form: Form) -> Viewer | None:
        """A new viewer, which gets the newest explanation at once; None if there are too many."""
        if len(self._viewers) >= MOST:
            return None
        viewer = Viewer(form)
        self._viewers.add(viewer)
        self.most = max(self.most, len(self._viewers))
        self.watch(viewer, True)
        if self._newest is not None:
            viewer.tell(self._newest)
        if self._is_over:
            viewer.end()
        return viewer

    def leave(self, viewer: Viewer) -> None:
        """Forget a viewer."""
        self._viewers.discard(viewer)
        self._see()

    def watch(self, viewer: Viewer, watches: bool) -> None:
        """Begin to send pictures to a viewer, with a key frame, or pause."""
        viewer.watch(watches)
        self._see()
        if watches:
            self.key_wanted.set()

    def show(self, pictures: Iterable[Picture], arrived_ms: float) -> None:
        """Send a frame to all."""
        for picture in pictures:
            self._ways[picture.number] = _Way(arrived_ms, 1000 * time.time())
            if len(self._ways) > _REMEMBERED:
                self._ways.popitem(last=False)
            for viewer in self._viewers:
                if viewer.watches and viewer.form == picture.form:
                    self.missed += viewer.show(picture)

    def explain(self, window: dict[str, Any]) -> None:
        """Send an explanation to all."""
        self._newest = window
        self.tell(window)

    def tell(self, message: dict[str, Any]) -> None:
        """Send a message to all."""
        for viewer in self._viewers:
            viewer.tell(message)

    def end(self, message: dict[str, Any]) -> None:
        """Send the last message to all."""
        self._is_over = True
        self.tell(message)
        for viewer in self._viewers:
            viewer.end()

    def report(self, viewer: Viewer, rows: Any) -> None:
        """Count when frames were received and shown.

        Args:
            viewer: that says so.
            rows: of the number of a frame, and two times in milliseconds since 1970.
        """
        for row in rows if isinstance(rows, list) else []:
            match row:
                case [int(number), float() | int() as received_ms, float() | int() as shown_ms] if (
                    abs(received_ms) < _LATEST_MS and abs(shown_ms) < _LATEST_MS
                ):
                    pass
                case _:
                    continue
            way = self._ways.get(number)
            if way is None or number <= viewer.reported:
                continue
            viewer.reported = number
            stages = {
                "send": received_ms - way.encoded_ms,
                "decode and show": shown_ms - received_ms,
                "capture to shown": shown_ms - way.arrived_ms,
            }
            if all(abs(ms) < 1000 * _LONGEST_S for ms in stages.values()):
                for stage, ms in stages.items():
                    self._delays.add(stage, max(0.0, ms / 1000))

    def _see(self) -> None:
        self.forms = frozenset(viewer.form for viewer in self._viewers if viewer.watches)
