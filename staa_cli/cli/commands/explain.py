"""`staa explain`: write annotated videos and reports."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from staa_cli.cli.ci import Annotations, Ci, FailIf, Junit, SummaryMd, tell_gates
from staa_cli.cli.completion import one_of
from staa_cli.cli.engines import engine_of
from staa_cli.cli.options import SETTINGS, as_argument, command, put
from staa_cli.cli.outcomes import Reporter
from staa_cli.cli.plans import show_plans
from staa_cli.cli.process import use_threads
from staa_cli.cli.terminal import Console, shown
from staa_cli.config.settings import Loaded, Settings
from staa_cli.errors import ExitCode, InputError, StaaError, UsageError
from staa_cli.jobs.inputs import Job, Shard, find_jobs, iter_jobs
from staa_cli.jobs.lists import read_list, stream_list
from staa_cli.remote.addresses import Address, is_url
from staa_cli.remote.storage import file_system

if TYPE_CHECKING:
    from staa_cli.cli.progress import Progress
    from staa_cli.jobs.engines import Engine
    from staa_cli.jobs.overview import Overview
    from staa_cli.jobs.run import Request
    from staa_cli.results.index.gates import ReportGates

_EXAMPLES = """
staa explain video.mp4                          into staa-out/video/
staa explain clips/ -r --model ./my-checkpoint --class pouring
staa explain *.mp4 --method rollout --sampling segments --clips 4
staa explain talk.mkv --start 60 --end 90 --view side-by-side
staa explain clips/ -r --config ci --json > reports.ndjson
staa explain clips/ -r --fail-if temporal.flat  exits with 1 if a curve is flat
staa explain s3://bucket/clips/ -r -o explained  downloads each video once
"""


def _flag(text: str, panel: str, *names: str) -> Any:
    return typer.Option(*names, help=text, rich_help_panel=panel)


_Inputs = Annotated[
    list[str] | None,
    typer.Argument(metavar="INPUT", help="Videos, folders, quoted patterns, or URLs."),
]
_FromFile = Annotated[
    str | None,
    typer.Option(
        "--from-file",
        metavar="LIST|-",
        help="Read more inputs from a file, or from stdin as they arrive: one per line or "
        "NUL-separated, not expanded as patterns.",
        rich_help_panel="Inputs",
    ),
]
_Root = Annotated[
    str | None,
    typer.Option(
        "--root",
        metavar="DIR",
        help="Mirror the listed paths relative to this folder. [the current one]",
        rich_help_panel="Inputs",
    ),
]
_Shard = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="I/N",
        help="Process every N-th input, starting with the I-th: the first of three "
        "machines takes 1/3.",
        rich_help_panel="Inputs",
    ),
]
_Recursive = Annotated[bool, _flag("Search subfolders, too.", "Inputs", "--recursive", "-r")]
_Json = Annotated[bool, _flag("Print reports to stdout.", "Output", "--json")]
_Force = Annotated[bool, _flag("Explain inputs again that are already finished.", "Run", "--force")]
_Verify = Annotated[
    bool,
    _flag(
        "Read finished videos again, even if their sizes and times are unchanged.",
        "Run",
        "--verify",
    ),
]
_NoClobber = Annotated[
    bool, _flag("Never replace a result, even one made with other settings.", "Run", "--no-clobber")
]
_Reproducible = Annotated[
    bool,
    _flag(
        "Omit times and host names, and encode with x264, so that equal input gives equal bytes on "
        "one machine with equal --threads and --jobs.",
        "Run",
        "--reproducible",
    ),
]
_FailFast = Annotated[
    bool, _flag("Stop at the first input that fails.", "Run", "--fail-fast", "-x")
]
_AtOnce = Annotated[
    str | None,
    typer.Option(
        "--jobs",
        metavar="N",
        help="Explain N videos at once, in processes with a model each that share the cores. [1; "
        "with Ray, as many as the cluster has room for]",
        rich_help_panel="Run",
    ),
]
_EngineName = Annotated[
    str,
    typer.Option(
        "--engine",
        metavar="NAME",
        help="Where videos are explained: local, or ray, by actors on a Ray cluster. [local]",
        rich_help_panel="Run",
        autocompletion=one_of("local", "ray"),
    ),
]
_ClusterAddress = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="HOST:PORT",
        help="The Ray cluster; auto for that of this host. [RAY_ADDRESS, else one is started]",
        rich_help_panel="Run",
    ),
]
_DryRun = Annotated[bool, _flag("Show what would be done without doing it.", "Run", "--dry-run")]


def add(app: typer.Typer) -> None:
    """Register the command."""
    command(app, _EXAMPLES, settings=SETTINGS)(explain)


def explain(
    inputs: _Inputs = None,
    *,
    recursive: _Recursive = False,
    from_file: _FromFile = None,
    root: _Root = None,
    shard: _Shard = None,
    json: _Json = False,
    force: _Force = False,
    no_clobber: _NoClobber = False,
    verify: _Verify = False,
    reproducible: _Reproducible = False,
    fail_fast: _FailFast = False,
    at_once: _AtOnce = None,
    engine: _EngineName = "local",
    address: _ClusterAddress = None,
    dry_run: _DryRun = False,
    conditions: FailIf = None,
    summary_md: SummaryMd = None,
    junit: Junit = None,
    annotations: Annotations = None,
    console: Console,
    loaded: Loaded,
) -> None:
    """Explain what a video model looked at: an annotated video and a report for every input."""
    if force and no_clobber:
        raise UsageError("--force and --no-clobber contradict each other", "give one of them")
    run = engine_of(_number(at_once), engine, address)
    ci, gates = Ci(summary_md, junit, annotations), None
    if conditions:
        if dry_run:
            raise UsageError(
                "--dry-run and --fail-if contradict each other", "nothing is explained to be judged"
            )
        from staa_cli.results.index.gates import ReportGates

        gates = ReportGates("--fail-if", conditions)
    part = Shard() if shard is None else Shard.parse(shard)
    with ExitStack() as stack:
        folder, destination = Path(loaded.settings.output.dir), _destination(loaded.settings)
        if destination is not None:
            if ci.wanted:
                raise UsageError(
                    "--summary-md, --junit, and --annotations need results in a local folder",
                    "copy them from the URL, and run `staa report`",
                )
            folder = Path(stack.enter_context(TemporaryDirectory(prefix="staa-")))
        where: dict[str, Any] = {
            "recursive": recursive,
            "offline": loaded.settings.offline,
            "destination": destination,
        }
        jobs = _jobs(inputs or [], folder, from_file, root, part, where)
        from staa_cli.jobs.run import Request

        request = Request(loaded.settings, force, no_clobber, reproducible, verify)
        if dry_run:
            _plan(jobs, request, loaded, json, console)
        else:
            local = ci if destination is None else None
            _run(jobs, request, loaded, json, fail_fast, part.count > 1, local, gates, console, run)


def _number(text: str | None) -> int | None:
    """The value of --jobs.

    Raises:
        UsageError: it is not a number from 1.
    """
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and int(text[:6]) > 0 and len(text) < 6):
        raise UsageError(f"--jobs: expected a number from 1, not {text!r}")
    return int(text)


def _destination(settings: Settings) -> Address | None:
    """Where results are uploaded to, None if the output folder is not a URL.

    Raises:
        UsageError: not a URL that takes results.
        UnavailableError: a package for it is missing.
    """
    url = settings.output.dir
    if not is_url(url):
        return None
    try:
        address = Address.parse(url)
    except InputError as error:
        raise UsageError(f"--output-dir: {error.cause}", error.hint) from error
    if not address.is_store:
        raise UsageError(
            f"--output-dir: {address.shown} is on a web server, which takes no results",
            "give a folder, or one in an object store",
        )
    if settings.offline:
        raise UsageError(
            "--offline and a URL as --output-dir contradict each other", "give a local folder"
        )
    file_system(address)
    return address


def _jobs(
    inputs: Sequence[str],
    output_dir: Path,
    from_file: str | None,
    root: str | None,
    shard: Shard,
    where: dict[str, Any],
) -> Iterable[Job]:
    """A tuple of jobs, or, for a list on standard input, an iterator that reads as needed."""
    if root is not None and from_file is None:
        raise UsageError("--root applies only to --from-file", "add --from-file LIST")
    if root is not None and not Path(root).is_dir():
        raise UsageError(
            f"--root: expected a folder, not {root!r}",
            "give the folder that contains the listed files",
        )
    where = {**where, "root": None if root is None else Path(root)}
    if from_file == "-":
        # Unbuffered: a thread may still be reading at the end, when Python locks the buffer.
        names = stream_list(getattr(sys.stdin.buffer, "raw", sys.stdin.buffer))
        return shard.of(iter_jobs(inputs, output_dir, listed=names, **where))
    names_read = [] if from_file is None else read_list(from_file)
    return tuple(shard.of(find_jobs(inputs, output_dir, listed=names_read, **where)))


def _run(
    jobs: Iterable[Job],
    request: Request,
    loaded: Loaded,
    json: bool,
    fail_fast: bool,
    of_several: bool,
    ci: Ci | None,
    gates: ReportGates | None,
    console: Console,
    engine: Engine,
) -> None:
    """Explain, and report each outcome as it is completed.

    Results that are uploaded have no overview: `ci` is None.
    """
    from staa_cli.jobs.overview import Overview

    total = len(jobs) if isinstance(jobs, tuple) else None
    with console.progress(total, at_once=True) as progress:
        reporter = Reporter(console, progress, loaded, total, json)
        folder, told = Path(loaded.settings.output.dir), True
        overview = Overview(folder)
        try:
            with closing(engine(jobs, request, reporter.on_event, console.message)) as running:
                for outcome in running:
                    reporter.take(outcome)
                    if gates is not None:
                        gates.take(outcome.job.title, outcome.report)
                    if ci is not None:
                        overview.take(outcome)
                    if fail_fast and reporter.failed:
                        break
            if ci is not None:
                told = _tell(overview, of_several, loaded, json, ci, gates, progress, console)
        except KeyboardInterrupt:
            missing = overview.is_wanted(of_several) and ci is not None
            reporter.interrupted(folder if missing else None, forced=request.force)
            raise typer.Exit(ExitCode.INTERRUPTED) from None
    reporter.conclude()
    status = None
    if gates is not None:
        from staa_cli.results.diff.gate import overall

        outcomes = gates.outcomes()
        tell_gates(outcomes, console)
        status = overall([result for result, _ in outcomes])
    if reporter.failed or not told or status == "unevaluated":
        raise typer.Exit(ExitCode.INPUT_FAILED)
    if status == "failed":
        raise typer.Exit(ExitCode.GATE_FAILED)


def _tell(
    overview: Overview,
    of_several: bool,
    loaded: Loaded,
    json: bool,
    ci: Ci,
    gates: ReportGates | None,
    progress: Progress,
    console: Console,
) -> bool:
    """Write the overview of several results, and what CI gets; whether that was possible."""
    from staa_cli.files import OVERVIEW
    from staa_cli.results.index.write import write_index

    output, whole, complete = loaded.settings.output, None, True
    folder = Path(output.dir)

    def stage(result: str, done: int, total: int) -> None:
        progress.stage(shown(result), "overview", done, total)

    try:
        if overview.is_wanted(of_several):
            whole = overview.of_folder(stage)
            names = [OVERVIEW] if output.html else []
            for path in write_index(whole, folder, names, stage, option="--output-dir"):
                if not json:
                    put(console, as_argument(path))
    except StaaError as error:  # the results themselves are written
        console.error(error)
        complete = False
    if not ci.wanted:
        return complete
    told = ci.tell(
        overview.of_call(whole),
        folder,
        console,
        seconds=overview.seconds,
        unchanged=overview.unchanged,
        gates=gates,
    )
    return complete and told


def _plan(
    jobs: Iterable[Job], request: Request, loaded: Loaded, json: bool, console: Console
) -> None:
    """Print what would be done, once all inputs are known."""
    from staa_cli.jobs.estimate import estimate
    from staa_cli.jobs.plan import plan
    from staa_cli.jobs.run import Worker

    use_threads(loaded.settings.threads)
    worker = Worker(request, announce=console.message)
    plans, rates = estimate(plan(jobs, worker), worker)
    show_plans(plans, rates, loaded, json, console)
    if any(plan.error for plan in plans):
        raise typer.Exit(ExitCode.INPUT_FAILED)
