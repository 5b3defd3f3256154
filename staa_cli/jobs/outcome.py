"""Outcomes of jobs, and events during a run."""

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
    """The outcome of one video."""

    job: Job
    status: Literal["done", "redrawn", "skipped", "failed"]
    """Redrawn from the stored explanation, without the model."""
    report: Report | None = None
    error: StaaError | None = None
    """Why it failed; `__cause__` is the original exception if that was not a StaaError."""
    outputs: tuple[Path | str, ...] = ()
    """The written files: paths, or URLs without credentials."""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Started:
    """A job has started."""

    job: Job


@dataclass(frozen=True, slots=True)
class Opening:
    """The model is going to be opened, for the first video that needs it."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A video is open, and its workload is known."""

    job: Job
    workload: Workload


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress of a stage of a video."""

    job: Job
    stage: str
    done: int
    total: int


Event = Started | Opening | Opened | Progress
OnEvent = Callable[[Event], None]
