"""Threads hand over what is newest, wait for a limited time, and end together."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from threading import Event

import pytest

from staa_cli.live.handover import Crew, Handover

LIMIT_S = 10.0
NOTICED_S = 0.5


def in_thread(work: object, *arguments: object) -> threading.Thread:
    thread = threading.Thread(target=work, args=arguments, daemon=True)  # type: ignore[arg-type]
    thread.start()
    return thread


def wait_for(wait: Callable[[], object]) -> None:
    wait()


def test_a_newer_item_replaces_the_oldest_one() -> None:
    handover = Handover[int](2, Event())
    for number in range(5):
        handover.put(number)
    assert handover.dropped == 3
    assert (handover.get(), handover.get()) == (3, 4)


def test_items_come_in_order_and_once() -> None:
    handover, taken = Handover[int](3, Event()), list[int]()

    def take() -> None:
        while (item := handover.get()) is not None:
            taken.append(item)
            time.sleep(0.001)

    thread = in_thread(take)
    for number in range(300):
        handover.put(number)
        if number % 10 == 0:
            time.sleep(0.002)
    handover.close()
    thread.join(LIMIT_S)
    assert taken == sorted(set(taken))
    assert len(taken) + handover.dropped == 300
    assert taken[-3:] == [297, 298, 299], "the newest ones are not lost"


def test_nothing_is_dropped_where_the_source_waits() -> None:
    handover, taken = Handover[int](2, Event()), list[int]()

    def take() -> None:
        while (item := handover.get()) is not None:
            taken.append(item)
            time.sleep(0.001)

    thread = in_thread(take)
    for number in range(100):
        handover.put(number, wait=True)
    handover.close()
    thread.join(LIMIT_S)
    assert taken == list(range(100))
    assert handover.dropped == 0


def test_what_waits_is_given_out_after_the_end() -> None:
    handover = Handover[int](4, Event())
    handover.put(1)
    handover.put(2)
    handover.close()
    assert [handover.get(), handover.get(), handover.get(), handover.get()] == [1, 2, None, None]


def test_the_end_wakes_the_one_that_waits() -> None:
    handover, results = Handover[int](1, Event()), list[int | None]()
    thread = in_thread(lambda: results.append(handover.get()))
    time.sleep(0.05)
    start = time.monotonic()
    handover.close()
    thread.join(LIMIT_S)
    assert results == [None]
    assert time.monotonic() - start < NOTICED_S


@pytest.mark.parametrize("side", ["get", "put"])
def test_stopping_wakes_both_sides(side: str) -> None:
    stopped = Event()
    handover = Handover[int](1, stopped)
    if side == "put":
        handover.put(1)
        thread = in_thread(lambda: handover.put(2, wait=True))
    else:
        thread = in_thread(handover.get)
    time.sleep(0.05)
    assert thread.is_alive()
    start = time.monotonic()
    stopped.set()
    thread.join(LIMIT_S)
    assert not thread.is_alive()
    assert time.monotonic() - start < NOTICED_S
    assert handover.get() is None, "after it has stopped, nothing is given out"


def test_one_thread_that_fails_ends_all() -> None:
    stopped = Event()
    crew, handover = Crew(stopped), Handover[int](1, stopped)
    error = ValueError("a")

    def fail() -> None:
        raise error

    crew.start("waits", partial(wait_for, handover.get))
    crew.start("fails", fail)
    crew.join(LIMIT_S)
    assert stopped.is_set()
    assert crew.error is error
    assert crew.busy == []


def test_the_first_error_is_kept() -> None:
    crew, first = Crew(Event()), ValueError("first")

    def late() -> None:
        crew.stopped.wait(LIMIT_S)
        raise ValueError("later")

    def early() -> None:
        raise first

    crew.start("late", late)
    crew.start("early", early)
    crew.join(LIMIT_S)
    assert crew.error is first


def test_a_thread_that_ends_well_ends_nobody() -> None:
    crew, done = Crew(Event()), Event()
    crew.start("short", lambda: None)
    crew.start("long", partial(wait_for, partial(done.wait, LIMIT_S)))
    time.sleep(0.05)
    assert crew.busy == ["long"]
    assert not crew.stopped.is_set()
    done.set()
    crew.join(LIMIT_S)
    assert (crew.busy, crew.error) == ([], None)


def test_joining_takes_no_longer_than_asked() -> None:
    """A thread that waits for a network cannot be ended."""
    crew, done = Crew(Event()), Event()
    for number in range(4):
        crew.start(f"{number}", partial(wait_for, partial(done.wait, LIMIT_S)))
    start = time.monotonic()
    crew.join(0.3)
    assert 0.25 < time.monotonic() - start < 0.3 + NOTICED_S
    assert len(crew.busy) == 4
    done.set()
