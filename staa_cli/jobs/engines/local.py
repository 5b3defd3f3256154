"""The engine that runs jobs one after the other in this process, lazily."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from staa_cli.jobs.inputs import Job
from staa_cli.jobs.outcome import OnEvent, Outcome
from staa_cli.jobs.run import Request, Worker

if TYPE_CHECKING:
    from staa_cli.models.catalog.hub import Announce


def run_local(
    jobs: Iterable[Job],
    request: Request,
    on_event: OnEvent = lambda event: None,
    announce: Announce = lambda line: None,
) -> Iterator[Outcome]:
    """See `Engine`. Nothing is done before the first outcome is requested."""
    return map(Worker(request, on_event, announce).run, jobs)
