"""Many videos with one model: what is finished is skipped, what fails does not stop the rest."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from staa_cli import facts
from staa_cli.config import Settings
from staa_cli.errors import InputError, OutputError, StaaError
from staa_cli.inputs import Job
from staa_cli.methods import get_method
from staa_cli.models.loading import LoadedModel
from staa_cli.outputs import REPORT, finished_report, save, wanted_files
from staa_cli.pipeline import explain_video, find_target, method_options, open_model, plan_clips
from staa_cli.report import report_dict
from staa_cli.video import probe


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one video."""

    job: Job
    status: Literal["done", "skipped", "failed"]
    report: dict[str, Any] | None
    error: StaaError | None
    seconds: float
    outputs: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Started:
    """A video's turn has come."""

    job: Job
    index: int
    total: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a stage of a video is."""

    job: Job
    stage: str
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Finished:
    """A video is done, skipped, or failed."""

    job: Job
    outcome: Outcome


Event = Started | Progress | Finished
OnEvent = Callable[[Event], None]


def explain_many(
    jobs: Sequence[Job],
    settings: Settings,
    *,
    force: bool = False,
    no_clobber: bool = False,
    fail_fast: bool = False,
    reproducible: bool = False,
    on_event: OnEvent = lambda event: None,
) -> list[Outcome]:
    """Explain videos one after the other and write their results.

    Args:
        jobs: videos and the folders of their results.
        settings: for all of them.
        force: explain again what is finished.
        no_clobber: leave a folder that holds a report as it is, whatever it was made from.
        fail_fast: stop at the first video that fails.
        reproducible: leave out of the report what differs from run to run.
        on_event: told what happens, as it happens.

    Raises:
        UsageError: a method or a class that does not exist; before the first video.
        UnavailableError: no such model or device; before the first video.
    """
    model = open_model(settings)
    method = get_method(settings.method.name)
    method.taps(model.layout, method_options(settings.method))
    find_target(settings.target, model.labels)
    outcomes: list[Outcome] = []
    for index, job in enumerate(jobs):
        on_event(Started(job, index, len(jobs)))
        began = time.perf_counter()
        try:
            outcome = _one(job, model, settings, force, no_clobber, reproducible, on_event)
        except InputError as error:
            outcome = Outcome(job, "failed", None, error, 0.0, ())
        outcome = replace(outcome, seconds=time.perf_counter() - began)
        outcomes.append(outcome)
        on_event(Finished(job, outcome))
        if fail_fast and outcome.status == "failed":
            break
    return outcomes


def plan_many(jobs: Sequence[Job], settings: Settings) -> list[dict[str, Any]]:
    """What `explain_many` would do, a row a video: input, folder, status, clips, files."""
    model = open_model(settings)
    rows = []
    for job in jobs:
        row: dict[str, Any] = {"input": str(job.source), "folder": str(job.folder)}
        try:
            info = probe(job.source)
            mark = facts.fingerprint(info.sha256, model.info.weights_sha256, settings)
            done = finished_report(job.folder, mark, settings.output) is not None
            row["status"] = "skip" if done else "explain"
            row["clips"] = len(plan_clips(info, model, settings).clips)
            row["files"] = wanted_files(settings.output)
        except InputError as error:
            row |= {"status": "fail", "error": error.cause}
        rows.append(row)
    return rows


def _one(
    job: Job,
    model: LoadedModel,
    settings: Settings,
    force: bool,
    no_clobber: bool,
    reproducible: bool,
    on_event: OnEvent,
) -> Outcome:
    if no_clobber and (job.folder / REPORT).exists():
        return Outcome(job, "skipped", None, None, 0.0, ())
    if not force:
        mark = facts.fingerprint(sha256_of(job.source), model.info.weights_sha256, settings)
        report = finished_report(job.folder, mark, settings.output)
        if report is not None:
            files = tuple(job.folder / name for name in wanted_files(settings.output))
            return Outcome(job, "skipped", report, None, 0.0, files)

    def progress(stage: str, done: int, total: int) -> None:
        on_event(Progress(job, stage, done, total))

    explanation = explain_video(job.source, model, settings=settings, on_progress=progress)
    _refuse_to_replace_source(job, settings)
    outputs = save(
        explanation, job.folder, settings, reproducible=reproducible, on_progress=progress
    )
    report = report_dict(explanation, reproducible=reproducible)
    return Outcome(job, "done", report, None, 0.0, outputs)


def sha256_of(path: Path) -> str:
    """Checksum of a file; empty where it cannot be read, which the probe then explains."""
    if not path.is_file():
        return ""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def _refuse_to_replace_source(job: Job, settings: Settings) -> None:
    for name in wanted_files(settings.output):
        target = job.folder / name
        if target.exists() and target.samefile(job.source):
            raise OutputError(f"{target} is the video itself", "choose another --output-dir")
