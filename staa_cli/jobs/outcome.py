"""Outcomes of jobs, and events during a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from staa_cli.errors import StaaError
from staa_cli.jobs.inputs import Job

if TYPE_CHECKING:
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
class Workload:
    """Cost of a video, known once its clips are planned."""

    clips: int
    passes: int
    """Forward passes of one clip to explain; a backward pass counts as two."""
    faithfulness_passes: int
    """Maximum number of passes of one perturbed copy to measure faithfulness."""
    dense_s: float | None
    """Seconds of video that are covered without a gap; None if clips are sampled sparsely."""

    @property
    def total(self) -> int:
        """All passes."""
        return self.passes + self.faithfulness_passes


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
