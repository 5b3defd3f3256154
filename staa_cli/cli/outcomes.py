"""Report outcomes: progress and messages for people, lines on stdout for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from staa_cli.cli.costs import in_words, long_video_hint
from staa_cli.cli.details import facts_in_words, work_in_words
from staa_cli.cli.options import as_argument, put, put_json
from staa_cli.cli.process import use_threads
from staa_cli.cli.terminal import Console, shown
from staa_cli.config.settings import Loaded
from staa_cli.errors import StaaError
from staa_cli.formatting import answer, counted, percent, with_interval
from staa_cli.paths import path_fields

if TYPE_CHECKING:
    from pathlib import Path

    from staa_cli.cli.progress import Progress
    from staa_cli.jobs.outcome import Event, Outcome
    from staa_cli.results.document import Report, Temporal, WarningRow

_STATUS_WORDS = {
    "done": "explained",
    "redrawn": "drawn from stored maps",
    "skipped": "skipped",
    "failed": "failed",
}


class Reporter:
    """Reports each outcome, and a summary at the end; keeps no reports in memory.

    Args:
        console: for messages.
        progress: the progress bar.
        loaded: the current settings.
        total: number of jobs, None if not known.
        json: print reports to stdout instead of paths.
    """

    def __init__(
        self, console: Console, progress: Progress, loaded: Loaded, total: int | None, json: bool
    ) -> None:
        self._console, self._progress, self._loaded = console, progress, loaded
        self._total, self._json = total, json
        self._counts: Counter[str] = Counter()
        self._failures: list[tuple[StaaError, str]] = []
        self._trailing_failures = 0
        """Number of consecutive failures at the end so far."""
        self._codes: set[str] = set()
        """Codes of warnings whose text has been shown, to show each only once."""

    @property
    def failed(self) -> bool:
        """Whether an input failed."""
        return bool(self._failures)

    def on_event(self, event: Event) -> None:
        """Process an event of a running job."""
        from staa_cli.jobs.outcome import Opened, Opening, Progress, Started

        match event:
            case Started(job=job):
                self._progress.stage(shown(job.source.name), "opening", 0, 0)
            case Opening():
                use_threads(self._loaded.settings.threads)
            case Opened(job=job, workload=work):
                name = shown(job.source.name)
                self._progress.plan(name, in_words(work), work.total)
                if hint := long_video_hint(work, self._loaded):
                    self._console.message(f"{name}: {hint}")
            case Progress(job=job, stage=stage, done=done, total=total):
                self._progress.stage(shown(job.source.name), stage, done, total)

    def take(self, outcome: Outcome) -> None:
        """Report one outcome immediately."""
        self._counts[outcome.status] += 1
        self._progress.finished(shown(outcome.job.source.name))
        source = outcome.job.title
        if outcome.error is not None:
            self._failures.append((outcome.error, source))
            self._trailing_failures += 1
            self._console.trace(outcome.error)
            self._console.error(outcome.error, source)
        else:
            self._trailing_failures = 0
            self._console.message(f"{source}: {_in_words(outcome)}")
        if outcome.report is not None:
            self._warn(outcome.report.warnings)
            for line in work_in_words(outcome.report):
                self._console.detail(f"  {line}")
            for line in facts_in_words(outcome.report):
                self._console.fact(f"  {line}")
        if self._json:
            put_json(self._console, _json(outcome))
            return
        for path in outcome.outputs:
            put(self._console, as_argument(path))

    def interrupted(self, overview: Path | None = None, *, forced: bool = False) -> None:
        """Report what is finished after an interrupt.

        Args:
            overview: the folder whose overview is missing, if it is to have one.
            forced: the command would explain finished videos again.
        """
        finished = sum(self._counts[status] for status in ("done", "redrawn", "skipped"))
        of_total = "" if self._total is None else f" of {self._total}"
        words = [f"interrupted: {finished}{of_total} finished"]
        if self._counts.total() != self._total:
            again = "it again without --force" if forced else "the same command again"
            words.append(f"run {again} to continue")
        elif overview is not None:
            words.append(f"`staa report {as_argument(overview)}` writes the overview")
        self._console.message("; ".join(words))

    def conclude(self) -> None:
        """Print counts, and failures again unless they have just been printed."""
        tried = self._counts.total()
        total = tried if self._total is None else self._total
        if total == 1:
            return
        counts = {_STATUS_WORDS[status]: self._counts[status] for status in _STATUS_WORDS}
        counts["not tried"] = total - tried
        words = [f"{count} {status}" for status, count in counts.items() if count]
        self._console.message(", ".join(words) or "this shard has no inputs")
        if self._trailing_failures == len(self._failures) or self._console.verbosity < 0:
            return
        for error, source in self._failures:
            self._console.error(error, source)

    def _warn(self, warnings: Sequence[WarningRow]) -> None:
        """Print warnings: with -v for every video, else only the first one of each code."""
        for warning in warnings:
            if self._console.verbosity >= 1 or warning.code not in self._codes:
                self._console.warning(f"{warning.code}: {warning.text}")
        self._codes |= {warning.code for warning in warnings}


def error_fields(error: StaaError | None) -> dict[str, Any]:
    """An error as plain data: empty, or with the key `error`."""
    if error is None:
        return {}
    fields = {
        "code": int(error.exit_code),
        "kind": type(error).__name__,
        "cause": error.cause,
        "hint": error.hint,
    }
    return {"error": fields}


def _json(outcome: Outcome) -> dict[str, Any]:
    from staa_cli.results.report import plain_document
    from staa_cli.schema import SCHEMA_VERSION

    if outcome.report is not None:
        return plain_document(outcome.report)
    head = {"schema_version": SCHEMA_VERSION}
    row = {"video": path_fields(outcome.job.title), "status": outcome.status}
    return head | row | error_fields(outcome.error)


def _in_words(outcome: Outcome) -> str:
    if outcome.report is None:
        return outcome.status
    report = outcome.report
    target, coverage = report.prediction.target, report.coverage
    frames, reached = len(report.frames.index), percent(coverage.covered_share)
    words = [
        f"{target.label} {answer(target.score, report.model.output)}",
        _highest(report.temporal),
        f"{coverage.frames_seen:,} of {counted(frames, 'frame')} seen, {reached} covered",
        *_faithfulness(report),
        *dict.fromkeys(f"warning: {warning.code}" for warning in report.warnings),
    ]
    if outcome.status == "redrawn":
        words.append("drawn from the stored maps")
    words.append(
        "skipped, already finished" if outcome.status == "skipped" else f"{outcome.seconds:.1f} s"
    )
    return ", ".join(words)


def _faithfulness(report: Report) -> list[str]:
    """What was measured of the explanation's own method; nothing where nobody asked."""
    if (checked := report.faithfulness) is None:
        return []
    row, count = checked.rows[0], len(checked.clips)
    gain = with_interval(row.srg, row.srg_low, row.srg_high, report.model.output)
    return [f"SRG {gain} on {count} clips" if count > 1 else f"SRG {gain} on one clip, no interval"]


def _highest(temporal: Temporal) -> str:
    """The time of the highest score, as drawn in the annotated video."""
    if temporal.flat or temporal.peak_s is None:
        return "no moment stands out"
    equal = temporal.peaks_equal
    words = f"highest at {temporal.peak_s:.2f} s"
    times = "one other time" if equal == 1 else f"{equal} other times"
    return f"{words} and as high at {times}" if equal else words
