"""Engines: each maps `run` over jobs, in this process or elsewhere.

An engine is a module here with one function of the type `Engine`. Everything that it needs can be
sent to another process: `Job`, `Request`, and `Outcome` are plain data. Each process creates one
`Worker` from the request, which opens the model once, and maps `Worker.run` over its share of the
jobs. Failures of a job are in its outcome; an exception from a worker ends the run.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import TYPE_CHECKING, Protocol

from staa_cli.jobs.inputs import Job
from staa_cli.jobs.outcome import OnEvent, Outcome
from staa_cli.jobs.run import Request

if TYPE_CHECKING:
    from staa_cli.models.catalog.hub import Announce


class Engine(Protocol):
    """Maps `run` over jobs."""

    def __call__(
        self, jobs: Iterable[Job], request: Request, on_event: OnEvent, announce: Announce
    ) -> Generator[Outcome]:
        """Yield the outcomes of jobs as they are completed, in any order.

        Closing the generator ends jobs that are running; nothing of them is left.

        Args:
            jobs: consumed one by one when a worker is free, as they may come from a stream.
            request: options of all jobs.
            on_event: called with events, if the engine can report them.
            announce: called with one line about what is going to be downloaded.

        Raises:
            UsageError: an unknown method or class, or one that does not fit the model.
            UnavailableError: no such model, device, or package.
        """
