"""`staa diff`: two runs over the same videos, and gates for CI."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from staa_cli.cli.ci import SummaryMd, append_summary, tell_gates
from staa_cli.cli.options import command, put, put_json
from staa_cli.cli.terminal import Console, shown, table, terminal_width
from staa_cli.errors import ExitCode, OutputError, StaaError, UsageError

if TYPE_CHECKING:
    from staa_cli.results.diff.document import Diff
    from staa_cli.results.diff.gate import Gate

_EXAMPLES = """
staa diff before/ after/
staa diff baseline/ explained/ --max-shift 0.15 --max-label-changes 0
staa diff baseline/ explained/ --html diff.html
staa diff baseline/ explained/ --noise seed1/ --noise seed2/ --max-shift 0.15
staa diff old/report.json new/report.json --min temporal.rank_correlation=0.8
staa diff old/ new/ --fail-if 'new.temporal.flat and not old.temporal.flat' --json
"""
_GATE, _OUTPUT = "Gate", "Output"


def _option(name: str, metavar: str, text: str, panel: str = _GATE) -> Any:
    return typer.Option(name, metavar=metavar, help=text, rich_help_panel=panel)


_Old = Annotated[
    Path, typer.Argument(metavar="OLD", help="The baseline: a report.json, or a folder of results.")
]
_New = Annotated[Path, typer.Argument(metavar="NEW", help="What is compared with it.")]
_MaxShift = Annotated[
    str | None,
    _option("--max-shift", "S", "Fail if a temporal score has shifted by more than S seconds."),
]
_MaxLabelChanges = Annotated[
    int | None, _option("--max-label-changes", "N", "Fail if more than N videos change label.")
]
_Max = Annotated[
    list[str] | None,
    _option(
        "--max",
        "MEASURE=X",
        "Fail if a measure is above X in a video, such as spatial.energy_moved=0.3.",
    ),
]
_Min = Annotated[
    list[str] | None,
    _option(
        "--min",
        "MEASURE=X",
        "Fail if a measure is below X in a video, such as confidence_change=-0.1.",
    ),
]
_FailIf = Annotated[
    list[str] | None,
    _option("--fail-if", "EXPR", "Fail if an expression over the two reports is true of a video."),
]
_Noise = Annotated[
    list[Path] | None,
    _option(
        "--noise",
        "RUN",
        "Another run of the old checkpoint, such as with another --seed: limits accept "
        "what is not beyond its difference.",
    ),
]
_AllowAdded = Annotated[
    bool,
    typer.Option(
        "--allow-added",
        help="Accept videos that have no baseline; otherwise gates cannot be evaluated.",
        rich_help_panel=_GATE,
    ),
]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.", rich_help_panel=_OUTPUT)]
_Html = Annotated[
    Path | None,
    _option(
        "--html",
        "FILE",
        "Write a page for browsers: all videos, and old and new side by side.",
        _OUTPUT,
    ),
]


def add(app: typer.Typer) -> None:
    """Register the command."""
    command(app, _EXAMPLES)(diff)


def diff(
    old: _Old,
    new: _New,
    *,
    max_shift: _MaxShift = None,
    max_label_changes: _MaxLabelChanges = None,
    maximum: _Max = None,
    minimum: _Min = None,
    fail_if: _FailIf = None,
    noise: _Noise = None,
    allow_added: _AllowAdded = False,
    json: _Json = False,
    html: _Html = None,
    summary_md: SummaryMd = None,
    console: Console,
) -> None:
    """Compare two runs over the same videos: what has moved, and whether a gate accepts it."""
    from staa_cli.results.diff import gate as gating
    from staa_cli.results.diff import run, summary
    from staa_cli.results.report import plain_document

    gates: list[Gate] = []
    if max_shift is not None:
        gates.append(gating.shift_limit("--max-shift", max_shift))
    if max_label_changes is not None:
        gates.append(gating.label_changes("--max-label-changes", max_label_changes))
    gates += [gating.Limit.parse("--max", text) for text in maximum or ()]
    gates += [gating.Limit.parse("--min", text) for text in minimum or ()]
    gates += [gating.Condition.parse("--fail-if", text) for text in fail_if or ()]
    if html is not None:
        _check_page(html)
    with console.progress(1) as progress:
        result = run.diff(
            old,
            new,
            gates,
            noise=noise or (),
            allow_added=allow_added,
            on_pair=lambda name, done, total: progress.stage(shown(name), "comparing", done, total),
        )
    if json:
        put_json(console, plain_document(result))
    elif result.pairs:
        rows = [summary.row_of(pair) for pair in result.pairs]
        red: set[tuple[int, int]] = set()
        if console.colors(sys.stdout):
            beyond = {finding.pair for gate in result.gates for finding in gate.findings}
            red = {(row, column) for row in beyond for column in range(len(summary.HEADERS) - 1)}
        put(console, table(summary.HEADERS, rows, terminal_width(sys.stdout), red=red))
        for line in summary.COLUMNS_ABOUT:
            console.message(line)
    _report(result, console)
    if summary_md is not None:
        append_summary(summary_md, summary.markdown(result), console)
    if html is not None:
        _write_page(result, html, console)
    if result.status == "unevaluated" or result.failures:
        raise typer.Exit(ExitCode.INPUT_FAILED)
    if result.status == "failed":
        raise typer.Exit(ExitCode.GATE_FAILED)


def _check_page(path: Path) -> None:
    """Check that the page may be written.

    Raises:
        UsageError: it is a folder.
        OutputError: another file is there.
    """
    from staa_cli.results.pages.diff import GENERATOR
    from staa_cli.results.pages.page import is_page

    if path.is_dir():
        raise UsageError(f"--html: {path} is a folder", "name a file")
    if path == Path("-"):
        raise UsageError("--html: - is not a file", "name one: the page has links to other files")
    # A pipe would be waited for, and a link would be replaced instead of its file.
    if path.is_symlink() or (path.exists() and not (path.is_file() and is_page(path, GENERATOR))):
        raise OutputError(
            f"{path} is in the way and was not written by staa diff",
            "move it away, or name another file with --html",
        )


def _write_page(result: Diff, path: Path, console: Console) -> None:
    """Write the page.

    Raises:
        InputError: a report has become unreadable.
        OutputError: the page cannot be written.
    """
    from staa_cli.files import atomic_path
    from staa_cli.results.pages.diff import diff_page

    with console.progress(1) as progress:
        html = diff_page(
            result,
            path.parent,
            lambda name, done, total: progress.stage(shown(name), "page", done, total),
        )
    with atomic_path(path) as part:
        part.write_text(html, encoding="utf-8")
    console.message(f"{path} is written")


def _report(result: Diff, console: Console) -> None:
    """Print caveats, failures, and the outcome of every gate."""
    from staa_cli.results.diff import summary

    for code, text in summary.caveats(result):
        console.warning(f"{code}: {text}")
    for line in summary.gaps(result):
        console.warning(line)
    for failure in result.failures:
        console.error(StaaError(failure.cause, failure.hint))
    tell_gates(zip(result.gates, summary.outcomes(result), strict=True), console)
