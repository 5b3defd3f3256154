"""Dry runs: what jobs would do, with the clips and files of each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from staa_cli.errors import StaaError
from staa_cli.explain.pipeline import find_target
from staa_cli.explain.sampling import plan_for
from staa_cli.jobs.inputs import Job
from staa_cli.jobs.outcome import Workload
from staa_cli.jobs.run import Worker, failure
from staa_cli.jobs.uploads import likeness
from staa_cli.methods import candidates
from staa_cli.remote.downloads import Download
from staa_cli.results.writers.base import wanted_files
from staa_cli.schema import VideoInfo
from staa_cli.video.probe import probe


@dataclass(frozen=True, slots=True)
class Planned:
    """The planned work for one video."""

    job: Job
    status: Literal["explain", "redraw", "skip", "fail"]
    clips: int | None = None
    files: tuple[str, ...] = ()
    error: StaaError | None = None
    download: Download | None = None
    """Set if the video is at a URL and has no copy yet; its clips are then unknown."""
    workload: Workload | None = None
    """Set by an estimate if there is something to do."""
    seconds: float | None = None
    """Estimated time on this machine."""
    video: VideoInfo | None = None
    frames: int = 0
    """Frames that would be drawn."""


def plan(jobs: Iterable[Job], worker: Worker) -> list[Planned]:
    """Plan jobs without running them; a bundled model is not opened.

    Raises:
        UsageError: an unknown method or class.
        UnavailableError: no such model.
    """
    settings = worker.request.settings
    candidates(settings.method.name)
    find_target(settings.target, worker.model_facts.labels)
    return [_planned(job, worker) for job in jobs]


def _planned(job: Job, worker: Worker) -> Planned:
    settings = worker.request.settings
    names = tuple(wanted_files(settings.output))
    try:
        if job.remote is not None and job.problem is None:
            found = worker.cache.find(job.remote)
            if isinstance(found, Download):
                return Planned(job, "explain", files=names, download=found)
            job = replace(job, source=found)
        status: Literal["explain", "redraw", "skip"] = "skip"
        with likeness(job):
            if worker.finished(job) is None:
                status = "redraw" if worker.stored(job) is not None else "explain"
                worker.check_folder(job)
        video = probe(job.source)
        clips = plan_for(video.times_s, worker.model_facts.input, settings.sampling)
    except Exception as error:
        return Planned(job, "fail", error=failure(error))
    return Planned(
        job,
        status,
        len(clips.clips),
        names,
        video=video,
        frames=video.frames if settings.sampling.keep_rest else len(clips.part),
    )
