"""Read ahead: an iterator that runs in a thread while its earlier items are used."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import suppress
from queue import Empty, Queue
from threading import Event, Thread
from typing import Any, TypeVar

Item = TypeVar("Item")
_END = object()


def ahead(items: Iterator[Item], count: int) -> Generator[Item]:
    """Yield the items of an iterator, which runs in a thread of its own.

    Its error is raised after the items before it. When this generator ends, for whatever reason,
    the thread has ended, too, after at most one more item.

    Args:
        items: iterator, of which every step, and closing it, happens in the thread.
        count: maximum number of items that wait to be used.
    """
    waiting, stopped = Queue[Any](count), Event()

    def run() -> None:
        last: tuple[object, BaseException | None] = (_END, None)
        try:
            for item in items:
                if stopped.is_set():
                    break
                waiting.put((item, None))
        except BaseException as error:
            last = (_END, error)
        finally:
            if isinstance(items, Generator):
                items.close()
        waiting.put(last)

    thread = Thread(target=run, name="ahead", daemon=True)
    thread.start()
    try:
        while True:
            item, error = waiting.get()
            if error is not None:
                raise error
            if item is _END:
                return
            yield item
    finally:
        stopped.set()
        while thread.is_alive():
            with suppress(Empty):  # the thread may wait for room, twice
                waiting.get(timeout=0.01)
        thread.join()
