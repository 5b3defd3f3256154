"""Many videos with one model: what is finished is skipped, what fails does not stop the rest."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from staa_cli.config.settings import Settings
from staa_cli.errors import InputError, OutputError, StaaError
from staa_cli.evaluation.measure import measure_faithfulness
from staa_cli.explain import provenance
from staa_cli.explain.pipeline import (
    PLANNING,
    check_settings,
    explain_one,
    find_target,
    open_model,
    plan_clips,
)
from staa_cli.failures import understood
from staa_cli.files import REPORT, sha256_of
from staa_cli.jobs.inputs import Job
from staa_cli.jobs.workload import Workload, time_frame, time_pass, workload
from staa_cli.memory import let_go, ran_out_of_memory
from staa_cli.methods import candidates
from staa_cli.models.catalog.hub import Announce
from staa_cli.models.catalog.manifests import read_manifests
from staa_cli.models.checkpoints.labels import read_labels
from staa_cli.models.load import LoadedModel
from staa_cli.results.folder import ResultFolder, Source
from staa_cli.results.save import save
from staa_cli.results.writers.base import wanted_files
from staa_cli.schema import ModelInput, Output, VideoInfo
from staa_cli.video.probe import probe


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one video."""

    job: Job
    status: Literal["done", "skipped", "failed"]
    report: dict[str, Any] | None
    error: StaaError | None
    """Why it failed; its `__cause__` is what was raised, where that was none of staa's."""
    seconds: float
    outputs: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Started:
    """A video's turn has come."""

    job: Job
    index: int
    total: int


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


@dataclass(frozen=True, slots=True)
class Finished:
    """A video is done, skipped, or failed."""

    job: Job
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Planned:
    """What would become of one video."""

    job: Job
    status: Literal["explain", "skip", "fail"]
    clips: int | None = None
    files: tuple[str, ...] = ()
    error: StaaError | None = None
    workload: Workload | None = None
    """Where there is something to do, and it was asked how long that takes."""
    seconds: float | None = None
    """That it may take here."""
    video: VideoInfo | None = None
    frames: int = 0
    """That would be drawn."""


@dataclass(frozen=True, slots=True)
class Rates:
    """What a trial has shown of this machine, the model, and a video."""

    device: str
    pass_s: float
    """Seconds a pass."""
    pixel_s: float
    """Seconds a pixel that is drawn."""


Event = Started | Opened | Progress | Finished
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
    announce: Announce = lambda line: None,
) -> list[Outcome]:
    """Explain videos one after the other and write their results.

    Whatever one video meets, a bug and too little memory included, is that video's failure, and
    the next one starts clean. Only what `on_event` itself raises, and an interrupt, ends the run.

    Args:
        jobs: videos and the folders of their results.
        settings: for all of them.
        force: explain again what is finished.
        no_clobber: leave a folder that holds a report as it is, whatever it was made from.
        fail_fast: stop at the first video that fails.
        reproducible: leave out of the report what differs from run to run.
        on_event: told what happens, as it happens.
        announce: told what is about to be downloaded.

    Raises:
        UsageError: a method or a class that does not exist; before the first video.
        UnavailableError: no such model, device, or package; before the first video.
    """
    model = open_model(settings, announce)
    check_settings(model, settings)
    known = _known(model)
    outcomes: list[Outcome] = []
    for index, job in enumerate(jobs):
        on_event(Started(job, index, len(jobs)))
        began = time.perf_counter()
        try:
            _check_there(job)
            outcome = None if force else _left_alone(job, known, settings, no_clobber, reproducible)
            outcome = outcome or _explain(job, model, settings, force, reproducible, on_event)
        except _Told as told:
            raise told.error from told.error.__cause__
        except Exception as error:
            error.add_note(f"with {settings.method.name} on {model.info.name}")
            outcome = Outcome(job, "failed", None, _failure(error), 0.0, ())
        outcome = replace(outcome, seconds=time.perf_counter() - began)
        outcomes.append(outcome)
        on_event(Finished(job, outcome))
        if fail_fast and outcome.status == "failed":
            break
    return outcomes


def plan_many(
    jobs: Sequence[Job],
    settings: Settings,
    *,
    force: bool = False,
    no_clobber: bool = False,
    announce: Announce = lambda line: None,
) -> list[Planned]:
    """What `explain_many` would do, video by video.

    Raises:
        UsageError: a method or a class that does not exist.
        UnavailableError: no such model.
    """
    candidates(settings.method.name)
    known = _know(settings, announce)
    find_target(settings.target, known.labels)
    return [_plan(job, known, settings, force, no_clobber) for job in jobs]


def time_plans(
    plans: Sequence[Planned], settings: Settings, announce: Announce = lambda line: None
) -> tuple[list[Planned], Rates | None]:
    """How long plans may take, from a trial of a few passes and frames, here and now.

    What is not drawn or checked in pictures of its own (a storyboard, a GIF) is not counted.

    Returns:
        The plans, those that explain with their workload and seconds; and what the trial has shown,
        None where nothing is to be explained.

    Raises:
        UsageError: a method that does not fit the model.
        UnavailableError: no such model or device.
    """
    todo = [plan for plan in plans if plan.status == "explain"]
    if not todo:
        return list(plans), None
    model = open_model(settings, announce)
    check_settings(model, settings)
    largest = max(todo, key=_drawn_pixels).video
    drawn = settings.output.annotated
    try:
        rates = Rates(
            str(model.device),
            time_pass(model, settings),
            time_frame(largest, settings) if drawn and largest else 0.0,
        )
    except Exception as error:  # what is wrong with a video is its own failure, in its turn
        announce(f"how long it takes cannot be measured: {_failure(error).cause}")
        return list(plans), None
    return [_timed(plan, model, settings, rates) for plan in plans], rates


def _timed(plan: Planned, model: LoadedModel, settings: Settings, rates: Rates) -> Planned:
    if plan.status != "explain" or plan.clips is None or plan.video is None:
        return plan
    load = _workload(plan.clips, model, settings)
    seconds = (load.passes + load.checks) * rates.pass_s
    return replace(plan, workload=load, seconds=seconds + rates.pixel_s * _drawn_pixels(plan))


def _drawn_pixels(plan: Planned) -> int:
    return plan.frames * plan.video.width * plan.video.height if plan.video else 0


def _workload(clips: int, model: LoadedModel, settings: Settings) -> Workload:
    return workload(clips, model, settings, [settings.method.name], settings.output.depth)


@dataclass(frozen=True, slots=True)
class _Known:
    """What must be known of a model to tell what there is to do."""

    input: ModelInput
    labels: tuple[str, ...]
    weights_sha256: str
    output: Output


def _known(model: LoadedModel) -> _Known:
    return _Known(model.input, model.labels, model.info.weights_sha256, model.info.output)


def _know(settings: Settings, announce: Announce) -> _Known:
    """A bundled model's manifest tells them; of a checkpoint, only its weights do."""
    manifest = read_manifests().get(settings.model)
    if manifest is None or not manifest.weights.is_file():
        return _known(open_model(settings, announce))
    labels = manifest.labels
    if settings.labels is not None:
        labels = read_labels(Path(settings.labels), len(labels))
    return _Known(manifest.input, labels, sha256_of(manifest.weights), manifest.output)


def _plan(job: Job, known: _Known, settings: Settings, force: bool, no_clobber: bool) -> Planned:
    try:
        _check_there(job)
        done = None if force else _left_alone(job, known, settings, no_clobber)
        if done is None:
            _check_folder(job, settings, force)
        video = probe(job.source)
        plan = plan_clips(video, known.input, settings)
    except Exception as error:
        return Planned(job, "fail", error=_failure(error))
    status: Literal["skip", "explain"] = "skip" if done else "explain"
    frames = video.frames if settings.sampling.keep_rest else len(plan.part)
    files = tuple(wanted_files(settings.output))
    return Planned(job, status, len(plan.clips), files, video=video, frames=frames)


def _left_alone(
    job: Job, known: _Known, settings: Settings, no_clobber: bool, reproducible: bool = False
) -> Outcome | None:
    """The outcome of a video whose results stay as they are, None where there is work to do."""
    if not (job.folder / REPORT).is_file():
        return None
    folder = ResultFolder(job.folder)
    if no_clobber:
        folder.check_source(Source.of_file(job.source))
        return Outcome(job, "skipped", None, None, 0.0, ())
    try:
        video = sha256_of(job.source)
    except OSError:
        return None  # the probe tells what is wrong
    mark = provenance.fingerprint(video, known.weights_sha256, known.output, known.labels, settings)
    report = folder.finished(wanted_files(settings.output), mark, reproducible=reproducible)
    if report is None:
        return None
    outputs = tuple(job.folder / name for name in wanted_files(settings.output))
    return Outcome(job, "skipped", report, None, 0.0, outputs)


def _explain(
    job: Job,
    model: LoadedModel,
    settings: Settings,
    force: bool,
    reproducible: bool,
    on_event: OnEvent,
) -> Outcome:
    def progress(stage: str, done: int, total: int) -> None:
        try:
            if stage == PLANNING:
                on_event(Opened(job, _workload(total, model, settings)))
            else:
                on_event(Progress(job, stage, done, total))
        except Exception as error:
            raise _Told(error) from None

    _check_folder(job, settings, force)  # now: a video may take an hour
    explanation = explain_one(job.source, model, settings, progress, measure=measure_faithfulness)
    paths, report = save(
        explanation,
        job.folder,
        settings,
        reproducible=reproducible,
        force=force,
        on_progress=progress,
    )
    return Outcome(job, "done", report, None, 0.0, paths)


class _Told(BaseException):
    """Carries what `on_event` raised past all that would take it for a failure of the video."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


def _failure(error: Exception) -> StaaError:
    """What a video met, as its outcome keeps it: without the pictures that its frames hold."""
    if isinstance(error, OSError) and not ran_out_of_memory(error):
        # A disk or a share that went away is no bug.
        where = f", {error.filename}" if error.filename else ""
        cause = f"{(error.strerror or str(error)).lower()}{where}"
        told: StaaError = InputError(f"cannot be worked on: {cause}")
        told.__cause__ = error
    else:
        told = understood(error)
    let_go(told)
    return told


def _check_there(job: Job) -> None:
    """See that the input has brought a video at all.

    Raises:
        InputError: it is a pattern, or a folder, that has none.
    """
    if job.problem is not None:
        raise InputError(*job.problem)


def _check_folder(job: Job, settings: Settings, force: bool) -> None:
    names = wanted_files(settings.output)
    ResultFolder(job.folder).check(names, Source.of_file(job.source), force=force)
    for target in (job.folder / name for name in names):
        if target.exists() and job.source.exists() and target.samefile(job.source):
            raise OutputError(f"{target} is the video itself", "choose another --output-dir")
