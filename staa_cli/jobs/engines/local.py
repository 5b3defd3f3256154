"""The engine that runs jobs one after the other in this process, lazily."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator, Iterable
from typing import TYPE_CHECKING

from staa_cli.formatting import counted
from staa_cli.jobs.claims import Claimed
from staa_cli.jobs.inputs import Job
from staa_cli.jobs.outcome import OnEvent, Outcome
from staa_cli.jobs.run import Request, Worker

if TYPE_CHECKING:
    from staa_cli.models.catalog.hub import Announce

WAIT_S = 1.0
"""Interval at which it is checked whether another process has finished."""


def run_local(
    jobs: Iterable[Job],
    request: Request,
    on_event: OnEvent = lambda event: None,
    announce: Announce = lambda line: None,
) -> Generator[Outcome]:
    """See `Engine`. Nothing is done before the first outcome is requested.

    Videos on which another process works come last, when that has finished or is gone.
    """
    worker = Worker(request, on_event, announce)
    claimed = deque[Job]()
    for job in jobs:
        try:
            yield worker.run(job)
        except Claimed:
            claimed.append(job)
    if claimed:
        announce(f"waiting for another process to finish {counted(len(claimed), 'video')}")
    while claimed:
        job = claimed.popleft()
        try:
            yield worker.run(job)
        except Claimed:
            claimed.append(job)
            time.sleep(WAIT_S)
