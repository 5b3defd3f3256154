"""Engines: each maps `run` over jobs, in a place of its own.

An engine is one file here with one function of the type `Engine`. All that it needs can be sent to
another process: a `Job`, a `Request`, and an `Outcome` are plain data. It makes one `Worker` of the
request in every process, which opens the model once, and maps `Worker.run` over its share of the
jobs. What a job meets is in its outcome; what a worker raises ends the run, and the engine raises
it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
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
    ) -> Iterator[Outcome]:
        """The outcomes of jobs, each as soon as it is there, in any order.

        Args:
            jobs: taken one by one as there is somebody to do them, as they may come from a stream.
            request: what is asked of all of them.
            on_event: told what happens on the way, where that can be heard of.
            announce: told what is about to be downloaded.

        Raises:
            UsageError: a method or a class that does not exist, or does not fit the model.
            UnavailableError: no such model, device, or package.
        """
