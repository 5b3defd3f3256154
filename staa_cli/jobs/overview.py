"""What became of the inputs of a call, for the overview of their folder and for CI services."""

from __future__ import annotations

from pathlib import Path

import msgspec

from staa_cli.files import REPORT
from staa_cli.jobs.outcome import Outcome
from staa_cli.paths import path_fields
from staa_cli.results.document import Place
from staa_cli.results.folder import ResultFolder
from staa_cli.results.index.collect import (
    OnResult,
    collect,
    collect_folder,
    place_of,
    stored_index,
)
from staa_cli.results.index.document import FailedInput, Index


class Overview:
    """Remembers outcomes without their reports, which are read again at the end.

    Args:
        folder: that result folders are below.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._reports: dict[Place, Path] = {}
        self._failed: list[FailedInput] = []
        self.unchanged: set[Place] = set()
        """Folders of results of an earlier run."""
        self.seconds: dict[Place, float] = {}
        """Time that each result took, by its folder."""

    def is_wanted(self, of_several: bool) -> bool:
        """Whether there is something to overview: several inputs, or one of a shard."""
        count = len(self._reports) + len(self._failed)
        return count > 1 or (of_several and count > 0)

    def take(self, outcome: Outcome) -> None:
        """Remember an outcome."""
        place = place_of(outcome.job.folder, self._folder)
        if outcome.error is not None:
            self._failed.append(self._failure(outcome))
            return
        self.seconds[place] = outcome.seconds
        self._reports[place] = outcome.job.folder / REPORT
        if outcome.status == "skipped":
            self.unchanged.add(place)

    def of_folder(self, on_result: OnResult = lambda name, done, total: None) -> Index:
        """All results in the folder, and failures: those of the call, and earlier ones.

        Raises:
            InputError: a folder cannot be read.
        """
        return collect_folder(self._folder, [*self._earlier(), *self._failed], on_result)

    def of_call(self, whole: Index | None = None) -> Index:
        """The results of the call alone; of those in `whole`, if they have been collected."""
        if whole is None:
            return collect(self._folder, list(self._reports.values()), self._failed)
        reports = {place_of(path, self._folder) for path in self._reports.values()}
        return msgspec.structs.replace(
            whole,
            results=[entry for entry in whole.results if entry.folder in self._reports],
            failed_inputs=[failed for failed in whole.failed_inputs if failed in self._failed],
            broken_reports=[broken for broken in whole.broken_reports if broken.report in reports],
        )

    def _earlier(self) -> list[FailedInput]:
        """Failures of earlier calls whose inputs were not tried again."""
        stored = stored_index(self._folder)
        inputs = {failed.input for failed in self._failed}
        folders = {*self._reports, *(failed.folder for failed in self._failed if failed.folder)}
        return [
            failed
            for failed in (stored.failed_inputs if stored is not None else ())
            if failed.input not in inputs and failed.folder not in folders
        ]

    def _failure(self, outcome: Outcome) -> FailedInput:
        job, error = outcome.job, outcome.error
        assert error is not None
        place, fingerprint = None, None
        if job.folder != self._folder:  # otherwise, it has no folder of its own
            place = place_of(job.folder, self._folder)
            report = ResultFolder(job.folder).report()
            fingerprint = None if report is None else report.fingerprint
        return FailedInput(
            input=Place(**path_fields(job.title)),
            kind=type(error).__name__,
            cause=error.cause,
            hint=error.hint,
            folder=place,
            fingerprint=fingerprint,
        )
