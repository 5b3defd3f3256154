"""Spread jobs over several places, each of which runs one at a time.

What a place is, a thread, a process on this host, or an actor in a cluster, is the matter of its
engine. This module does what is the same for all: it draws a job when a place is free, tries a job
again whose worker is gone, keeps videos on which others work for the end, and merges all that is
said.

A thread for each place waits for it; outcomes and events reach the caller in its own thread.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto
from queue import Empty, SimpleQueue
from threading import Event as Flag
from threading import Lock, Semaphore, Thread
from typing import TYPE_CHECKING, Any, Protocol

from staa_cli.errors import InputError
from staa_cli.failures import understood
from staa_cli.formatting import counted
from staa_cli.jobs.engines.hosted import Announced, Message, Result, RunEnded
from staa_cli.jobs.inputs import Job
from staa_cli.jobs.outcome import OnEvent, Outcome

if TYPE_CHECKING:
    from staa_cli.models.catalog.hub import Announce

WAIT_S = 1.0
"""Interval at which it is checked whether another process has finished."""
_NOTICE_S = 0.5
"""Interval at which Ctrl-C is noticed where it does not interrupt waiting, as on Windows."""
_LAST_S = 0.2
"""Time after which an ended worker has nothing more to say."""
_GRACE_S = 5.0
"""Time that interrupted workers have to remove what they have not finished."""

_NAMED = 3
"""Number of claimed videos up to which their names are told."""


class Lost(Exception):
    """The worker of a place is gone, with the job that it ran.

    Args:
        how: it ended, for a message.
        hint: what may help.
    """

    def __init__(self, how: str, hint: str | None = None) -> None:
        super().__init__(how)
        self.how, self.hint = how, hint


class Place(Protocol):
    """Runs one job at a time with a worker of its own, which is replaced when it is lost."""

    def open(self, on_message: Callable[[Message], None]) -> None:
        """Wait until a job could start here.

        Raises:
            StaaError: that will not be; it ends the run.
            Lost: the place is interrupted.
        """

    def run(self, job: Job, on_message: Callable[[Message], None]) -> Result:
        """Run one job.

        Raises:
            Lost: the worker ended, or the place is interrupted.
        """

    def interrupt(self) -> None:
        """Ask the worker to end at once. Called from another thread; does not wait."""

    def close(self, deadline: float) -> None:
        """Return when the worker has ended, by force after `deadline` of the monotonic clock."""


def spread(
    jobs: Iterable[Job],
    places: Sequence[Place],
    on_event: OnEvent,
    announce: Announce,
    *,
    ahead: int | None = None,
) -> Generator[Outcome]:
    """Yield the outcomes of jobs; see `Engine`.

    Whatever ends the iteration interrupts jobs that are running.

    Args:
        jobs: as for each engine; one is drawn when a place is free.
        places: where they run; more may be added while they do.
        on_event: as for each engine.
        announce: as for each engine.
        ahead: maximum number of jobs that may have begun before an outcome is given out; outcomes
            then come in the order of the jobs, but for those that other processes work on. None
            gives each out as it is completed.
    """
    spreading = _Spreading(jobs, places, ahead)
    announced: set[str] = set()
    try:
        for said in spreading.messages():
            match said:
                case Outcome():
                    yield said
                case RunEnded(error=error):
                    raise error
                case Announced(line=line):
                    # Each worker announces the model that the first of them downloads.
                    if line not in announced:
                        announced.add(line)
                        announce(line)
                case _:
                    on_event(said)
    except KeyboardInterrupt:
        spreading.stop()
        yield from spreading.completed()
        raise
    finally:
        spreading.stop()


@dataclass(frozen=True, slots=True)
class _Done:
    """A job is done with, for now."""

    position: int | None
    """In the order of the jobs; None if its place was given up, as it was claimed."""
    outcome: Outcome | None
    """None if another process works on it; it is tried again."""


class _State(Enum):
    """What becomes of the thread of a place."""

    OPENED = auto()
    ENDED = auto()


class _Spreading:
    def __init__(self, jobs: Iterable[Job], places: Sequence[Place], ahead: int | None) -> None:
        self._jobs, self._places = enumerate(jobs), places
        self._queue: SimpleQueue[Any] = SimpleQueue()
        self._room = None if ahead is None else Semaphore(ahead)
        self._early: dict[int, Outcome | None] = {}
        self._due = 0
        """Position of the outcome that is given out next, if they come in order."""
        self._claimed: deque[Job] = deque()
        self._drawing, self._stopped = Lock(), Flag()
        self._drawn = False
        """Whether no new job is to be expected."""
        self._waiting = False
        """Whether only claimed jobs are left to draw."""
        self._has_ended = False
        self._problem: Exception | None = None
        """Of the inputs; it is told when what was drawn before is done."""

    def messages(self) -> Iterator[Outcome | RunEnded | Message]:
        """All that the workers say, until there is nothing left to do."""
        started = opened = ended = 0
        # A place that has not opened when all others have ended is not needed.
        while ended < min(len(self._places), max(opened, 1)):
            for place in self._places[started:]:  # all at first; the caller may add more
                Thread(target=self._work, args=(place,), daemon=True).start()
                started += 1
            try:
                said = self._queue.get(timeout=_NOTICE_S)
            except Empty:
                continue
            match said:
                case _State.OPENED:
                    opened += 1
                case _State.ENDED:
                    ended += 1
                case _Done():
                    yield from self._given_out(said)
                case _:
                    yield said
        if self._problem is not None:
            raise self._problem

    def _given_out(self, done: _Done) -> Iterator[Outcome]:
        """The outcomes that are due when a job is done."""
        if self._room is None or done.position is None:
            if done.outcome is not None:
                yield done.outcome
            return
        self._early[done.position] = done.outcome
        while self._due in self._early:
            outcome = self._early.pop(self._due)
            self._due += 1
            self._room.release()
            if outcome is not None:
                yield outcome

    def stop(self) -> None:
        """End all workers, and wait for that.

        The threads are not waited for: one may be reading the list of inputs.
        """
        if self._has_ended:
            return
        self._has_ended = True
        self._stopped.set()
        if self._room is not None:
            self._room.release(len(self._places))  # for those that wait to draw, in vain
        for place in self._places:
            place.interrupt()
        deadline = time.monotonic() + _GRACE_S
        try:
            for place in self._places:
                place.close(deadline)
        except KeyboardInterrupt:  # again: at once
            for place in self._places:
                place.close(0.0)
            raise

    def completed(self) -> list[Outcome]:
        """Outcomes of jobs that were completed before the end, and not given out."""
        outcomes = [outcome for _, outcome in sorted(self._early.items()) if outcome is not None]
        with suppress(Empty):
            while True:
                said = self._queue.get(timeout=_LAST_S)
                if isinstance(said, _Done) and said.outcome is not None:
                    outcomes.append(said.outcome)
        return outcomes

    def _work(self, place: Place) -> None:
        try:
            place.open(self._queue.put)
            self._queue.put(_State.OPENED)
            while (drawn := self._draw()) is not None:
                position, job = drawn
                result = self._result(place, job)
                if isinstance(result, RunEnded):
                    self._stopped.set()  # the next job would meet the same
                    self._queue.put(result)
                    continue
                if result is None:
                    self._claimed.append(job)
                self._queue.put(_Done(position, result))
                if result is None and self._waiting:
                    self._stopped.wait(WAIT_S)
        except Lost:
            pass  # interrupted while it opened
        except Exception as error:
            self._queue.put(RunEnded(understood(error)))
        except BaseException as error:
            self._queue.put(RunEnded(error))
        finally:
            self._queue.put(_State.ENDED)

    def _draw(self) -> tuple[int | None, Job] | None:
        """The next job and its position; None if there is none. Claimed ones come last."""
        if self._room is not None and not self._drawn:
            self._room.acquire()
        with self._drawing:
            if not self._drawn and not self._stopped.is_set():
                try:
                    return next(self._jobs)
                except StopIteration:
                    pass
                except Exception as error:
                    self._problem = error
                self._drawn = True
            if self._stopped.is_set() or not self._claimed:
                return None
            if not self._waiting:
                titles = [job.title for job in self._claimed]
                few = len(titles) <= _NAMED
                videos = ", ".join(titles) if few else counted(len(titles), "video")
                self._queue.put(Announced(f"waiting for another process to finish {videos}"))
            self._waiting = True
            return None, self._claimed.popleft()

    def _result(self, place: Place, job: Job) -> Result:
        start = time.perf_counter()
        for is_last in (False, True):
            try:
                return place.run(job, self._queue.put)
            except Lost as lost:
                how, hint = lost.how, lost.hint
            if self._stopped.is_set():
                return None
            if not is_last:
                self._queue.put(Announced(f"{job.title}: {how}; trying once more"))
        error = InputError(f"{how}, also when tried again", hint)
        return Outcome(job, "failed", error=error, seconds=time.perf_counter() - start)
