"""A worker in a thread, another process, or an actor, and what it and the caller tell each other.

Messages are plain data that can be pickled, and read without torch.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from staa_cli.failures import understood
from staa_cli.jobs.claims import Claimed
from staa_cli.jobs.inputs import Job
from staa_cli.jobs.outcome import Event, Opening, Outcome, Progress
from staa_cli.jobs.resources import Resources
from staa_cli.jobs.run import Request, Worker

_EVERY_S = 0.25
"""Interval of progress within one stage of a video."""


@dataclass(frozen=True, slots=True)
class Announced:
    """A line for people, as of `Announce`."""

    line: str


@dataclass(frozen=True, slots=True)
class RunEnded:
    """An error that no other job would be spared."""

    error: BaseException


Message = Event | Announced
Result = Outcome | RunEnded | None
"""Of a job; None if another process works on it."""


@dataclass(frozen=True, slots=True)
class Finished:
    """The last message about a job."""

    result: Result


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """What a process needs to become a worker."""

    request: Request
    threads: int
    """Of torch."""
    set_up: Callable[[int], None] = field(default=lambda threads: None)
    """Called with the number of threads before the model is opened; pickled by its name."""


class HostedWorker:
    """The worker of this process, which says what happens.

    Args:
        options: of the worker.
        send: called with messages, from any thread. What it raises ends the job.
        resources: shared with other workers of the process.
    """

    def __init__(
        self,
        options: WorkerOptions,
        send: Callable[[Message], None],
        resources: Resources | None = None,
    ) -> None:
        self._options, self._send, self._resources = options, send, resources
        self._worker: Worker | None = None
        self._stage, self._sent = ("", ""), 0.0

    def run(self, job: Job) -> Result:
        """Run one job."""
        try:
            if self._worker is None:
                self._worker = Worker(
                    self._options.request, self._on_event, self._announce, self._resources
                )
            return self._worker.run(job)
        except Claimed:
            return None
        except Exception as error:
            return RunEnded(understood(error))

    def _announce(self, line: str) -> None:
        self._send(Announced(line))

    def _on_event(self, event: Event) -> None:
        if isinstance(event, Opening):
            self._options.set_up(self._options.threads)
            return
        if isinstance(event, Progress):
            now, stage = time.monotonic(), (event.job.title, event.stage)
            if stage == self._stage and now - self._sent < _EVERY_S and event.done != event.total:
                return
            self._stage, self._sent = stage, now
        self._send(event)
