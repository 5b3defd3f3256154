"""Run one job: finished ones are skipped, and a failure affects only its own job.

A result that only has to be drawn otherwise is drawn from its stored explanation.

torch is imported only when a job needs the model: checking a folder in which everything is finished
takes only the time of its checksums.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from staa_cli.config.settings import Settings
from staa_cli.errors import InputError, OutputError, StaaError
from staa_cli.explain.provenance import fingerprint
from staa_cli.failures import understood
from staa_cli.files import REPORT
from staa_cli.jobs.claims import Claimed, claim
from staa_cli.jobs.copies import cache_of, source_of, with_copy, with_url
from staa_cli.jobs.inputs import Job
from staa_cli.jobs.outcome import OnEvent, Opened, Opening, Outcome, Progress, Started, Workload
from staa_cli.jobs.resources import ModelFacts, Resources
from staa_cli.jobs.uploads import destinations, likeness, uploading
from staa_cli.memory import let_go, ran_out_of_memory
from staa_cli.remote.downloads import Cache
from staa_cli.results.folder import ResultFolder
from staa_cli.results.redraw import stored_explanation
from staa_cli.results.report import load_report
from staa_cli.results.save import Saved, save
from staa_cli.results.stored import check_finished
from staa_cli.results.writers.annotated_mp4 import check_encoder
from staa_cli.results.writers.base import wanted_files
from staa_cli.schema import Explanation, OnProgress

if TYPE_CHECKING:
    from staa_cli.jobs.explainer import Explainer
    from staa_cli.models.catalog.hub import Announce


@dataclass(frozen=True, slots=True)
class Request:
    """Options of all jobs of a call."""

    settings: Settings
    force: bool = False
    """Explain finished videos again, and replace results of other videos."""
    no_clobber: bool = False
    """Skip a folder that contains a report, regardless of its settings."""
    reproducible: bool = False
    """Omit from the report what differs between runs."""
    verify: bool = False
    """Read finished videos again, even if their sizes and times are as they were."""


class Worker:
    """Runs jobs one after the other with one model, which is opened when first needed.

    Args:
        request: options of all jobs.
        on_event: called with events as they happen.
        announce: called with one line about what is going to be downloaded.
        resources: shared with other workers of the process, which have the same request.
    """

    def __init__(
        self,
        request: Request,
        on_event: OnEvent = lambda event: None,
        announce: Announce = lambda line: None,
        resources: Resources | None = None,
    ) -> None:
        self.request, self.announce = request, announce
        wanted_files(request.settings.output)  # an unknown format ends the run
        check_encoder(request.settings, reproducible=request.reproducible)  # one that is not here
        self._on_event, self._resources = on_event, resources or Resources(request)

    def run(self, job: Job) -> Outcome:
        """Explain one video and write its results, unless that has been done.

        Any error of a video, including bugs and too little memory, fails only this video. The run
        ends only if the model cannot be opened or does not fit, if `on_event` raises, or on an
        interrupt.

        Raises:
            Claimed: another process works on it.
            UsageError: an unknown method or class, or one that does not fit the model.
            UnavailableError: no such model, device, or package.
        """
        self._on_event(Started(job))
        start = time.perf_counter()
        try:
            job = with_copy(job, self.cache, self._progress(job))
            with likeness(job):
                outcome = self.finished(job) or self._written(job)
        except _EndOfRun as end:
            raise end.error from end.error.__cause__
        except Claimed:
            raise
        except Exception as error:
            outcome = Outcome(job, "failed", error=failure(error))
        return replace(outcome, seconds=time.perf_counter() - start)

    def finished(self, job: Job) -> Outcome | None:
        """The outcome of a job that is already finished, None if there is work to do.

        Raises:
            InputError: the input has no video, or its folder has results of another video, or ones
                that cannot be read and are not to be replaced.
        """
        if job.problem is not None:
            raise InputError(*job.problem)
        if self.request.force or not (job.folder / REPORT).is_file():
            return None
        folder = ResultFolder(job.folder, title=job.place)
        folder.check_source(source_of(job))
        if self.request.no_clobber:
            check_finished(job.folder / REPORT)
            load_report(job.folder / REPORT)
            return Outcome(job, "skipped")
        settings = self.request.settings
        try:
            video = self._resources.checksums.of(job.source)
        except OSError:
            return None  # explaining it will report the problem
        expected = self._fingerprint(video, settings)
        names = wanted_files(settings.output)
        report = folder.finished(
            names,
            expected,
            reproducible=self.request.reproducible,
            is_likeness=job.destination is not None,
        )
        if report is None:
            return None
        return Outcome(job, "skipped", report, outputs=destinations(job, names))

    def stored(self, job: Job) -> Explanation | None:
        """The explanation of an earlier run from which the job can be drawn, without the model.

        Raises:
            VideoError: the video does not open.
        """
        if self.request.force or not (job.folder / REPORT).is_file():
            return None
        settings = self.request.settings
        stored = stored_explanation(job.folder, job.source, settings, self._fingerprint)
        return None if stored is None else with_url(stored, job)

    def _fingerprint(self, video_sha256: str, settings: Settings | Mapping[str, Any]) -> str:
        with _ending_the_run():
            model = self.model_facts
        return fingerprint(video_sha256, model.weights_sha256, model.output, model.labels, settings)

    def check_folder(self, job: Job) -> None:
        """Check that results would not overwrite files that staa did not write.

        Raises:
            OutputError: they would.
        """
        names = wanted_files(self.request.settings.output)
        folder = ResultFolder(job.folder, title=job.place)
        folder.check(names, source_of(job), force=self.request.force)
        for target in (job.folder / name for name in names):
            if target.exists() and job.source.exists() and target.samefile(job.source):
                raise OutputError(f"{target} is the video itself", "choose another --output-dir")

    @property
    def model_facts(self) -> ModelFacts:
        """What is to be known of the model.

        Raises:
            UsageError, UnavailableError: as `run`.
        """
        return self._resources.model_facts(lambda: self.explainer)

    @property
    def explainer(self) -> Explainer:
        """The explainer; opens the model on first use.

        Raises:
            UsageError, UnavailableError: as `run`.
        """
        return self._resources.explainer(lambda: self._on_event(Opening()), self.announce)

    @cached_property
    def cache(self) -> Cache:
        """Copies of videos at URLs."""
        return cache_of(self.request.settings, self.announce)

    def _written(self, job: Job) -> Outcome:
        self.check_folder(job)  # before the work, which may take an hour
        names = wanted_files(self.request.settings.output)
        # A folder that is uploaded is a temporary one of this process.
        with claim(job.folder) if job.destination is None else nullcontext():
            if (outcome := self.finished(job)) is not None:  # by another process since
                return outcome
            with uploading(job, names):
                outcome = self._redrawn(job) or self._explained(job)
        return replace(outcome, outputs=destinations(job, names))

    def _redrawn(self, job: Job) -> Outcome | None:
        if (explanation := self.stored(job)) is None:
            return None
        saved = self._save(explanation, job)
        return Outcome(job, "redrawn", saved.report)

    def _explained(self, job: Job) -> Outcome:
        with _ending_the_run():
            explainer = self.explainer

        def opened(workload: Workload) -> None:
            with _ending_the_run():
                self._on_event(Opened(job, workload))

        try:
            explanation = explainer.explain(job.source, opened, self._progress(job))
            saved = self._save(with_url(explanation, job), job)
        except Exception as error:
            method = self.request.settings.method.name
            error.add_note(f"with {method} on {explainer.model.info.name}")
            raise
        return Outcome(job, "done", saved.report)

    def _save(self, explanation: Explanation, job: Job) -> Saved:
        return save(
            explanation,
            job.folder,
            self.request.settings,
            reproducible=self.request.reproducible,
            force=self.request.force,
            on_progress=self._progress(job),
        )

    def _progress(self, job: Job) -> OnProgress:
        def progress(stage: str, done: int, total: int) -> None:
            with _ending_the_run():
                self._on_event(Progress(job, stage, done, total))

        return progress


class _EndOfRun(BaseException):
    """Carries an error that ends the run past the handlers of a video's errors."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


@contextmanager
def _ending_the_run() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise _EndOfRun(error) from None


def failure(error: Exception) -> StaaError:
    """A video's error for its outcome, without references that keep frames in memory."""
    if isinstance(error, OSError) and not ran_out_of_memory(error):
        # For example a disk that was removed; not a bug.
        where = f", {error.filename}" if error.filename else ""
        cause = f"{(error.strerror or str(error)).lower()}{where}"
        failed: StaaError = InputError(f"cannot be processed: {cause}")
        failed.__cause__ = error
    else:
        failed = understood(error)
    let_go(failed)
    return failed
