"""An iterator that runs ahead in a thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from staa_cli.video.ahead import ahead


def numbers(taken: list[int], closed: list[str], count: int = 100) -> Iterator[int]:
    try:
        for number in range(count):
            taken.append(number)
            yield number
    finally:
        closed.append(threading.current_thread().name)


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "ahead"]


def test_all_items_come_in_order_from_one_other_thread() -> None:
    taken: list[int] = []
    closed: list[str] = []
    assert list(ahead(numbers(taken, closed), 3)) == taken == list(range(100))
    assert (closed, threads()) == (["ahead"], [])
    assert list(ahead(iter([]), 3)) == []


def test_no_more_items_wait_than_allowed() -> None:
    taken: list[int] = []
    running = ahead(numbers(taken, []), 3)
    assert (next(running), next(running)) == (0, 1)
    time.sleep(0.1)
    # Two were used, three wait, and one waits for room.
    assert taken == list(range(6))
    running.close()


def test_an_error_comes_after_the_items_before_it() -> None:
    def failing() -> Iterator[int]:
        yield 1
        raise KeyError("the second")

    running = ahead(failing(), 3)
    assert next(running) == 1
    with pytest.raises(KeyError, match="the second") as caught:
        next(running)
    assert "failing" in [entry.name for entry in caught.traceback]
    assert threads() == []


@pytest.mark.parametrize("used", [0, 1, 50])
def test_whoever_stops_early_leaves_no_thread_and_nothing_open(used: int) -> None:
    taken: list[int] = []
    closed: list[str] = []
    running = ahead(numbers(taken, closed), 3)
    for _ in range(used):
        next(running)
    running.close()
    assert threads() == []
    if used:
        assert (closed, len(taken)) == (["ahead"], min(used + 5, len(taken)))


def test_an_exception_of_the_reader_stops_it() -> None:
    closed: list[str] = []

    def read() -> None:
        for number in ahead(numbers([], closed), 2):
            if number == 5:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read()
    assert (closed, threads()) == (["ahead"], [])
