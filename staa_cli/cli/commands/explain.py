"""`staa explain`: videos in, annotated videos and reports out."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from staa_cli.cli.costs import in_words, long_video_hint
from staa_cli.cli.details import facts_in_words, work_in_words
from staa_cli.cli.options import SETTINGS, answer, as_argument, command, put, put_json
from staa_cli.cli.process import use_threads
from staa_cli.cli.terminal import Console, shown, table, terminal_width
from staa_cli.config.settings import Loaded
from staa_cli.errors import ExitCode, StaaError, UsageError
from staa_cli.formatting import about, counted, percent, raw
from staa_cli.jobs.inputs import find_jobs, read_list
from staa_cli.paths import path_fields

if TYPE_CHECKING:
    from staa_cli.cli.progress import Progress
    from staa_cli.jobs.batch import Event, Outcome, Planned, Rates

_EXAMPLES = """
staa explain video.mp4                          into staa-out/video/
staa explain clips/ -r --model ./my-checkpoint --class pouring
staa explain *.mp4 --method rollout --sampling segments --clips 4
staa explain talk.mkv --start 60 --end 90 --view side-by-side
staa explain clips/ -r --config ci --json > reports.ndjson
"""


def _flag(text: str, panel: str, *names: str) -> Any:
    return typer.Option(*names, help=text, rich_help_panel=panel)


_Inputs = Annotated[
    list[str] | None,
    typer.Argument(metavar="INPUT", help="Videos, folders, or quoted patterns."),
]
_FromFile = Annotated[
    str | None,
    typer.Option(
        "--from-file",
        metavar="LIST|-",
        help="Read more inputs from a file, one a line or NUL-separated; none is a pattern.",
        rich_help_panel="Inputs",
    ),
]
_Recursive = Annotated[
    bool, _flag("Look into subfolders of a folder.", "Inputs", "--recursive", "-r")
]
_Json = Annotated[bool, _flag("Print reports on stdout.", "Output", "--json")]
_Force = Annotated[bool, _flag("Explain again what is finished already.", "Run", "--force")]
_NoClobber = Annotated[
    bool, _flag("Leave every result as it is, even an old one.", "Run", "--no-clobber")
]
_Reproducible = Annotated[
    bool, _flag("Leave out times and hosts: equal input, equal bytes.", "Run", "--reproducible")
]
_FailFast = Annotated[
    bool, _flag("Stop at the first input that fails.", "Run", "--fail-fast", "-x")
]
_DryRun = Annotated[bool, _flag("Say what would be done, and do nothing.", "Run", "--dry-run")]


def add(app: typer.Typer) -> None:
    """Register the command."""
    command(app, _EXAMPLES, settings=SETTINGS)(explain)


def explain(
    inputs: _Inputs = None,
    *,
    recursive: _Recursive = False,
    from_file: _FromFile = None,
    json: _Json = False,
    force: _Force = False,
    no_clobber: _NoClobber = False,
    reproducible: _Reproducible = False,
    fail_fast: _FailFast = False,
    dry_run: _DryRun = False,
    console: Console,
    loaded: Loaded,
) -> None:
    """Explain what a video model looked at: an annotated video and a report for every input."""
    if force and no_clobber:
        raise UsageError("--force and --no-clobber contradict each other", "give one of them")
    listed = read_list(from_file) if from_file is not None else []
    output_dir = Path(loaded.settings.output.dir)
    jobs = find_jobs(inputs or [], output_dir, recursive=recursive, listed=listed)
    from staa_cli.jobs import batch

    use_threads(loaded.settings.threads)
    if dry_run:
        plans = batch.plan_many(
            jobs,
            loaded.settings,
            force=force,
            no_clobber=no_clobber,
            announce=console.message,
        )
        plans, rates = batch.time_plans(plans, loaded.settings, console.message)
        _show_plan(plans, rates, loaded, json, console)
        if any(plan.error for plan in plans):
            raise typer.Exit(ExitCode.INPUT_FAILED)
        return
    with console.progress(len(jobs)) as progress:
        reporter = _Reporter(console, progress, loaded, len(jobs), json)
        try:
            outcomes = batch.explain_many(
                jobs,
                loaded.settings,
                force=force,
                no_clobber=no_clobber,
                fail_fast=fail_fast,
                reproducible=reproducible,
                on_event=reporter,
                announce=console.message,
            )
        except KeyboardInterrupt:
            console.message(reporter.interrupted())
            raise typer.Exit(ExitCode.INTERRUPTED) from None
    _conclude(outcomes, len(jobs), console)


class _Reporter:
    """Turns the events of a batch into progress, messages, and lines on stdout."""

    def __init__(
        self, console: Console, progress: Progress, loaded: Loaded, total: int, json: bool
    ) -> None:
        self._console, self._progress, self._loaded = console, progress, loaded
        self._total, self._json = total, json
        self._finished = 0
        self._told: set[str] = set()
        """Codes of warnings whose text has been shown: a thousand videos may share a few."""

    def __call__(self, event: Event) -> None:
        """Take one event."""
        from staa_cli.jobs.batch import Finished, Opened, Progress, Started

        match event:
            case Started(job=job):
                self._progress.stage(shown(job.source.name), "opening", 0, 0)
            case Opened(job=job, workload=work):
                name = shown(job.source.name)
                self._progress.plan(f"{name}: {in_words(work)}", work.passes + work.checks)
                if hint := long_video_hint(work, self._loaded):
                    self._console.message(f"{name}: {hint}")
            case Progress(job=job, stage=stage, done=done, total=total):
                self._progress.stage(shown(job.source.name), stage, done, total)
            case Finished(outcome=outcome):
                self._finish(outcome)

    def interrupted(self) -> str:
        """What to say when somebody stops it."""
        again = "the same line again goes on from here"
        return f"interrupted: {self._finished} of {self._total} finished; {again}"

    def _finish(self, outcome: Outcome) -> None:
        self._finished += outcome.status != "failed"
        self._progress.finished()
        source = str(outcome.job.source)
        if outcome.error is not None:
            self._console.trace(outcome.error)
            self._console.error(outcome.error, source)
        else:
            self._console.message(f"{source}: {_in_words(outcome)}")
        if outcome.report is not None:
            self._warn(outcome.report["warnings"])
            for line in work_in_words(outcome.report):
                self._console.detail(f"  {line}")
            for line in facts_in_words(outcome.report):
                self._console.fact(f"  {line}")
        if self._json:
            put_json(self._console, _json(outcome))
            return
        for path in outcome.outputs:
            put(self._console, as_argument(path))

    def _warn(self, warnings: Sequence[dict[str, str]]) -> None:
        """What the codes mean: with -v of every video, else where a code comes up first."""
        for warning in warnings:
            if self._console.verbosity >= 1 or warning["code"] not in self._told:
                self._console.warning(f"{warning['code']}: {warning['text']}")
        self._told |= {warning["code"] for warning in warnings}


def _json(outcome: Outcome) -> dict[str, Any]:
    from staa_cli.schema import SCHEMA_VERSION

    head = {"schema_version": SCHEMA_VERSION}
    if outcome.report is not None:
        return head | outcome.report
    facts = {"video": path_fields(outcome.job.source), "status": outcome.status}
    return head | facts | _error_fields(outcome.error)


def _error_fields(error: StaaError | None) -> dict[str, Any]:
    if error is None:
        return {}
    fields = {
        "code": int(error.exit_code),
        "kind": type(error).__name__,
        "cause": error.cause,
        "hint": error.hint,
    }
    return {"error": fields}


def _in_words(outcome: Outcome) -> str:
    if outcome.report is None:
        return outcome.status
    report = outcome.report
    words = [answer(report["prediction"]["target"]), _highest(report["temporal"])]
    coverage, frames = report["coverage"], len(report["frames"]["index"])
    reached = percent(coverage["covered_share"])
    words.append(
        f"{coverage['frames_seen']:,} of {counted(frames, 'frame')} seen, {reached} covered"
    )
    words += dict.fromkeys(f"warning: {warning['code']}" for warning in report["warnings"])
    words.append(
        "skipped, finished before" if outcome.status == "skipped" else f"{outcome.seconds:.1f} s"
    )
    return ", ".join(words)


def _highest(temporal: dict[str, Any]) -> str:
    """Where the curve is highest, as the annotated video draws it."""
    if temporal["flat"] or temporal["peak_s"] is None:
        return "no moment stands out"
    equal = temporal["peaks_equal"]
    words = f"highest at {temporal['peak_s']:.2f} s"
    times = "one other time" if equal == 1 else f"{equal} other times"
    return f"{words} and as high at {times}" if equal else words


def _conclude(outcomes: Sequence[Outcome], total: int, console: Console) -> None:
    failed = [outcome for outcome in outcomes if outcome.status == "failed"]
    if total > 1:
        counts = {status: sum(o.status == status for o in outcomes) for status in _STATUS_WORDS}
        counts["left"] = total - len(outcomes)
        words = [f"{n} {_STATUS_WORDS.get(s, 'not tried')}" for s, n in counts.items() if n]
        console.message(", ".join(words))
        # Once more, unless they are what has just been said.
        again = failed if outcomes[-len(failed) :] != failed else []
        for outcome in again if console.verbosity >= 0 else []:
            console.error(outcome.error or StaaError("failed"), str(outcome.job.source))
    if failed:
        raise typer.Exit(ExitCode.INPUT_FAILED)


_STATUS_WORDS = {"done": "explained", "skipped": "skipped", "failed": "failed"}


def _show_plan(
    plans: Sequence[Planned], rates: Rates | None, loaded: Loaded, json: bool, console: Console
) -> None:
    for plan in plans:
        if plan.error is not None:
            console.trace(plan.error)
            if console.verbosity < 0:  # there is no table to say it
                console.error(plan.error, str(plan.job.source))
        if json:
            put_json(console, _plan_json(plan))
    if json:
        return
    rows = [
        (
            plan.status,
            "-" if plan.clips is None else f"{plan.clips:,}",
            "-" if plan.workload is None else f"{plan.workload.passes + plan.workload.checks:,}",
            "-" if plan.seconds is None else about(plan.seconds),
            f"{plan.job.source} -> {plan.error.cause if plan.error else plan.job.folder}",
        )
        for plan in plans
    ]
    width = terminal_width(sys.stdout)
    head = ("STATUS", "CLIPS", "PASSES", "TIME", "INPUT -> FOLDER")
    put(console, table(head, rows, width))
    if rates is not None:
        console.message(_all_in_words(plans, rates))
    for plan in plans:
        if plan.workload is not None and (hint := long_video_hint(plan.workload, loaded)):
            console.message(f"{plan.job.source}: {hint}")


def _all_in_words(plans: Sequence[Planned], rates: Rates) -> str:
    """How long everything may take, and what that rests on."""
    seconds = sum(plan.seconds or 0.0 for plan in plans)
    text = f"{about(seconds)} in all, at {raw(1 / rates.pass_s)} passes/s"
    if rates.pixel_s:
        text += f" and {raw(1e-6 / rates.pixel_s)} megapixels drawn/s"
    return f"{text}, as just measured on {rates.device}"


def _plan_json(plan: Planned) -> dict[str, Any]:
    row = path_fields(plan.job.source, "input") | path_fields(plan.job.folder, "folder")
    facts: dict[str, Any] = {"status": plan.status}
    if plan.clips is not None:
        facts |= {"clips": plan.clips, "files": list(plan.files)}
    if plan.workload is not None:
        facts |= {"passes": plan.workload.passes, "checks": plan.workload.checks}
        facts["seconds"] = plan.seconds and round(plan.seconds, 3)
    return row | facts | _error_fields(plan.error)
