"""Runs jobs on small videos in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from small_videos import asked, film

from staa_cli.config.settings import Settings
from staa_cli.jobs.engines.local import run_local
from staa_cli.jobs.inputs import Job
from staa_cli.jobs.outcome import OnEvent, Outcome
from staa_cli.jobs.plan import Planned, plan
from staa_cli.jobs.run import Request, Worker


def job(folder: Path, name: str = "walk.mp4", frames: int = 12, **options: Any) -> Job:
    """Make a video and a job for it; the result folder has the name of the video."""
    return Job(film(folder / name, frames, **options), folder / "out" / Path(name).stem)


def run(
    jobs: Job | list[Job],
    settings: Settings | None = None,
    on_event: OnEvent = lambda event: None,
    **request: Any,
) -> list[Outcome]:
    """Run jobs one after another; returns their outcomes."""
    jobs = [jobs] if isinstance(jobs, Job) else jobs
    return list(run_local(jobs, Request(settings or asked(), **request), on_event, at_once=1))


def planned(jobs: list[Job], settings: Settings | None = None, **request: Any) -> list[Planned]:
    """Plan jobs without running them."""
    return plan(jobs, Worker(Request(settings or asked(), **request)))


def statuses(outcomes: list[Outcome]) -> list[str]:
    """The statuses of outcomes."""
    return [outcome.status for outcome in outcomes]


def content(folder: Path) -> dict[str, bytes]:
    """Contents of the files in a folder by name."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}
