"""Hand-overs between threads: bounded, and without a wait that has no limit."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from threading import Condition, Event, Thread
from typing import Generic, TypeVar

Item = TypeVar("Item")
_NOTICE_S = 0.1
"""Interval at which a thread that waits notices that all end."""


class Handover(Generic[Item]):
    """A queue of few items: a newer one replaces the oldest if there is no room.

    Args:
        room: maximum number of items that wait.
        stopped: set when the threads on both sides end.
    """

    def __init__(self, room: int, stopped: Event) -> None:
        self._items: deque[Item] = deque()
        self._room, self._stopped, self._changed = room, stopped, Condition()
        self._is_closed = False
        self.dropped = 0
        """Items that were replaced before anybody took them."""

    def put(self, item: Item, *, wait: bool = False) -> None:
        """Add an item; if there is no room, drop the oldest one, or wait for room."""
        with self._changed:
            while wait and len(self._items) >= self._room and not self._stopped.is_set():
                self._changed.wait(_NOTICE_S)
            if len(self._items) >= self._room:
                self._items.popleft()
                self.dropped += 1
            self._items.append(item)
            self._changed.notify_all()

    def get(self) -> Item | None:
        """The oldest item, when there is one; None at the end."""
        with self._changed:
            while not self._items and not self._is_closed and not self._stopped.is_set():
                self._changed.wait(_NOTICE_S)
            if not self._items or self._stopped.is_set():
                return None
            item = self._items.popleft()
            self._changed.notify_all()
            return item

    def close(self) -> None:
        """No item will follow; those that wait are still given out."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()


class Crew:
    """Threads of which all end when one fails.

    Args:
        stopped: set to end them.
    """

    def __init__(self, stopped: Event) -> None:
        self.stopped = stopped
        self.error: BaseException | None = None
        """Of the thread that failed first."""
        self._threads: list[tuple[Thread, float]] = []

    def start(self, name: str, work: Callable[[], None], *, patience_s: float = math.inf) -> Thread:
        """Run a function in a thread of its own.

        Args:
            name: of the thread.
            work: ends when `stopped` is set.
            patience_s: how long its end is waited for at most, if it may be where nothing stops it,
                as in a read from a network.
        """

        def run() -> None:
            try:
                work()
            except BaseException as error:
                if self.error is None:
                    self.error = error
                self.stopped.set()

        thread = Thread(target=run, name=name, daemon=True)
        self._threads.append((thread, patience_s))
        thread.start()
        return thread

    @property
    def busy(self) -> list[str]:
        """Names of the threads that have not ended."""
        return [thread.name for thread, _ in self._threads if thread.is_alive()]

    def join(self, seconds: float) -> None:
        """Wait for the threads to end, at most some seconds together."""
        deadline = time.monotonic() + seconds
        for thread, patience_s in self._threads:
            thread.join(max(0.0, min(patience_s, deadline - time.monotonic())))
