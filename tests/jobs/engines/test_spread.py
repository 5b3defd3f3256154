"""Spreading jobs over places: what is drawn when, and what becomes of workers that are lost."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue

import pytest

from staa_cli.errors import InputError, NothingMatched, UnavailableError
from staa_cli.jobs.engines import spread as engine
from staa_cli.jobs.engines.hosted import Announced, Message, Result, RunEnded
from staa_cli.jobs.engines.spread import Lost, spread
from staa_cli.jobs.inputs import Job
from staa_cli.jobs.outcome import Event, Outcome, Started

SOON_S = 20.0
"""Far longer than anything here takes."""
Behavior = Callable[[Job, Callable[[Message], None]], Result]


class Here:
    """A place in a thread, which does as it is told."""

    def __init__(self, behavior: Behavior) -> None:
        self._behavior = behavior
        self.opened = self.interrupted = self.closed = False

    def open(self, on_message: Callable[[Message], None]) -> None:
        self.opened = True

    def run(self, job: Job, on_message: Callable[[Message], None]) -> Result:
        return self._behavior(job, on_message)

    def interrupt(self) -> None:
        self.interrupted = True

    def close(self, deadline: float) -> None:
        assert self.interrupted
        self.closed = True


def done(job: Job, on_message: Callable[[Message], None]) -> Result:
    on_message(Started(job))
    return Outcome(job, "done")


def jobs(names: str) -> tuple[Job, ...]:
    return tuple(Job(Path(name), Path("out", name)) for name in names)


def run(
    given: Iterator[Job] | tuple[Job, ...], *places: Here, said: list[str] | None = None
) -> Iterator[Outcome]:
    lines = [] if said is None else said
    return spread(given, places, lambda event: None, lines.append)


def names(outcomes: list[Outcome]) -> str:
    return "".join(outcome.job.title for outcome in outcomes)


def test_every_job_has_one_outcome_and_events_come_to_the_caller() -> None:
    places = [Here(done) for _ in range(3)]
    events: list[tuple[Event, threading.Thread]] = []
    outcomes = list(
        spread(
            jobs("abcdefgh"),
            places,
            lambda event: events.append((event, threading.current_thread())),
            lambda line: None,
        )
    )
    assert sorted(names(outcomes)) == list("abcdefgh")
    assert {thread for _, thread in events} == {threading.current_thread()}
    assert sorted(event.job.title for event, _ in events) == list("abcdefgh")
    assert all(place.closed for place in places)


def test_an_outcome_is_given_out_before_the_next_input_has_come() -> None:
    inputs: SimpleQueue[Job | None] = SimpleQueue()
    outcomes = run(iter(inputs.get, None), Here(done), Here(done))
    for job in jobs("abc"):
        inputs.put(job)
        assert next(outcomes).job is job
    inputs.put(None)
    assert list(outcomes) == []


def test_not_more_is_drawn_than_there_are_places() -> None:
    drawn: list[str] = []
    go_on = threading.Semaphore(0)
    running = threading.Semaphore(0)

    def come() -> Iterator[Job]:
        for job in jobs("abcdef"):
            drawn.append(job.title)
            yield job

    def wait(job: Job, on_message: Callable[[Message], None]) -> Result:
        running.release()
        assert go_on.acquire(timeout=SOON_S)
        return Outcome(job, "done")

    outcomes = run(come(), Here(wait), Here(wait))
    threading.Timer(0.2, go_on.release).start()
    next(outcomes)
    for _ in range(3):
        assert running.acquire(timeout=SOON_S)  # two, and the one after the outcome
    assert drawn == list("abc")
    go_on.release(6)
    assert len(list(outcomes)) == 5


@pytest.mark.parametrize("times", [1, 2])
def test_a_job_whose_worker_is_lost_is_tried_once_more(times: int) -> None:
    tries: list[str] = []

    def fickle(job: Job, on_message: Callable[[Message], None]) -> Result:
        tries.append(job.title)
        if job.title == "b" and tries.count("b") <= times:
            raise Lost("its process was ended by SIGKILL", "memory")
        return done(job, on_message)

    said: list[str] = []
    outcomes = list(run(jobs("abcd"), Here(fickle), said=said))
    assert tries == list("abbcd")
    assert said == ["b: its process was ended by SIGKILL; trying once more"]
    assert names(outcomes) == "abcd"
    assert [outcome.status for outcome in outcomes if outcome.job.title != "b"] == ["done"] * 3
    again = outcomes[1]
    assert again.status == ("done" if times == 1 else "failed")
    if times == 2:
        assert isinstance(again.error, InputError)
        assert again.error.cause == "its process was ended by SIGKILL, also when tried again"
        assert again.error.hint == "memory"


@pytest.mark.parametrize(("others", "told"), [("ab", "a, b"), ("abcd", "4 videos")])
def test_what_others_work_on_comes_last_and_is_announced_once(
    monkeypatch: pytest.MonkeyPatch, others: str, told: str
) -> None:
    monkeypatch.setattr(engine, "WAIT_S", 0.01)
    tries: list[str] = []

    def claimed(job: Job, on_message: Callable[[Message], None]) -> Result:
        tries.append(job.title)
        return None if job.title in others and tries.count(job.title) < 3 else done(job, on_message)

    said: list[str] = []
    outcomes = list(run(jobs("abcdef"), Here(claimed), said=said))
    assert names(outcomes) == "abcdef".replace(others, "") + others
    assert "".join(tries) == "abcdef" + others + others
    assert said == [f"waiting for another process to finish {told}"]


def test_what_no_job_would_be_spared_ends_the_run_once() -> None:
    def unavailable(job: Job, on_message: Callable[[Message], None]) -> Result:
        return RunEnded(UnavailableError("no such model"))

    places = [Here(unavailable) for _ in range(4)]
    with pytest.raises(UnavailableError, match="no such model"):
        list(run(jobs("abcdefgh"), *places))
    assert all(place.closed for place in places)


def test_a_bug_of_a_place_is_not_waited_for_forever() -> None:
    def broken(job: Job, on_message: Callable[[Message], None]) -> Result:
        raise ZeroDivisionError("division by zero")

    with pytest.raises(Exception, match="ZeroDivisionError: division by zero"):
        list(run(jobs("ab"), Here(broken)))


def test_an_error_of_the_inputs_comes_after_what_was_named_before_it() -> None:
    def come() -> Iterator[Job]:
        yield from jobs("ab")
        raise NothingMatched("no video")

    outcomes = run(come(), Here(done), Here(done))
    assert sorted(names([next(outcomes), next(outcomes)])) == ["a", "b"]
    with pytest.raises(NothingMatched):
        next(outcomes)


def test_a_download_that_all_workers_announce_is_announced_once() -> None:
    def announcing(job: Job, on_message: Callable[[Message], None]) -> Result:
        on_message(Announced("downloading a model"))
        return done(job, on_message)

    said: list[str] = []
    list(run(jobs("abcd"), Here(announcing), Here(announcing), said=said))
    assert said == ["downloading a model"]


def test_leaving_it_interrupts_what_is_running() -> None:
    interrupted = threading.Event()
    ended: list[str] = []

    class Long(Here):
        def run(self, job: Job, on_message: Callable[[Message], None]) -> Result:
            if job.title == "a":
                return done(job, on_message)
            interrupted.wait(SOON_S)
            ended.append(job.title)
            raise Lost("interrupted")

        def interrupt(self) -> None:
            super().interrupt()
            interrupted.set()

    places = [Long(done), Long(done)]
    outcomes = spread(jobs("abcdef"), places, lambda event: None, lambda line: None)
    assert next(outcomes).job.title == "a"
    outcomes.close()
    assert all(place.closed for place in places)
    assert len(ended) <= 2  # nothing was begun afterwards, and nothing tried again


def test_what_was_completed_before_ctrl_c_is_given_out(monkeypatch: pytest.MonkeyPatch) -> None:
    second, stopped = threading.Event(), threading.Event()

    class Stoppable(Here):
        def interrupt(self) -> None:
            super().interrupt()
            stopped.set()

    def first_is_slow(job: Job, on_message: Callable[[Message], None]) -> Result:
        if job.title == "a":
            assert stopped.wait(SOON_S)
            raise Lost("interrupted")
        outcome = done(job, lambda message: None)
        second.set()
        return outcome

    class Interrupted(SimpleQueue):  # type: ignore[type-arg]
        def get(self, block: bool = True, timeout: float | None = None) -> object:
            if timeout == engine._NOTICE_S:
                assert second.wait(SOON_S)
                raise KeyboardInterrupt
            return super().get(block, timeout)

    monkeypatch.setattr(engine, "SimpleQueue", Interrupted)
    places = [Stoppable(first_is_slow), Stoppable(first_is_slow)]
    outcomes = spread(jobs("ab"), places, lambda event: None, lambda line: None, ahead=16)
    assert next(outcomes).job.title == "b"
    with pytest.raises(KeyboardInterrupt):
        next(outcomes)
    assert all(place.closed for place in places)
