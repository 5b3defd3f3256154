"""What becomes of a job, and what happens on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from staa_cli.errors import StaaError
from staa_cli.jobs.inputs import Job

if TYPE_CHECKING:
    from staa_cli.jobs.workload import Workload
    from staa_cli.results.document import Report


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one video."""

    job: Job
    status: Literal["done", "skipped", "failed"]
    report: Report | None = None
    error: StaaError | None = None
    """Why it failed; its `__cause__` is what was raised, where that was none of staa's."""
    outputs: tuple[Path, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Started:
    """A video's turn has come."""

    job: Job


@dataclass(frozen=True, slots=True)
class Opening:
    """The model is about to be opened, for the first video that needs it."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A video is open, and what there is to do for it is known."""

    job: Job
    workload: Workload


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a stage of a video is."""

    job: Job
    stage: str
    done: int
    total: int


Event = Started | Opening | Opened | Progress
OnEvent = Callable[[Event], None]
