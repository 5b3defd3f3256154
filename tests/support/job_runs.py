"""Jobs over small films, done in this process."""

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
    """A film, whose results go to a folder of its name."""
    return Job(film(folder / name, frames, **options), folder / "out" / Path(name).stem)


def run(
    jobs: Job | list[Job],
    settings: Settings | None = None,
    on_event: OnEvent = lambda event: None,
    **request: Any,
) -> list[Outcome]:
    """The outcomes of jobs, done one after the other."""
    jobs = [jobs] if isinstance(jobs, Job) else jobs
    return list(run_local(jobs, Request(settings or asked(), **request), on_event))


def planned(jobs: list[Job], settings: Settings | None = None, **request: Any) -> list[Planned]:
    """What would become of jobs."""
    return plan(jobs, Worker(Request(settings or asked(), **request)))


def statuses(outcomes: list[Outcome]) -> list[str]:
    """In a word each."""
    return [outcome.status for outcome in outcomes]


def content(folder: Path) -> dict[str, bytes]:
    """The bytes of the files in a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}
