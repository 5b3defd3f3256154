"""`staa report`: the overview of a folder of results."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from staa_cli.cli.ci import Annotations, Ci, SummaryMd
from staa_cli.cli.options import as_argument, command, put, put_json
from staa_cli.cli.terminal import Console, shown
from staa_cli.errors import ExitCode, NothingMatched, StaaError

_EXAMPLES = """
staa report staa-out/
staa report staa-out/ --no-pages
staa report staa-out/ --summary-md "$GITHUB_STEP_SUMMARY" --annotations github
staa report staa-out/ --json | jq -r '.results[] | [.video.path, .label] | @tsv'
"""
_HINT = "give a folder that `staa explain` has written, or one above"
_Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="A folder with results.")]
_NoPages = Annotated[
    bool,
    typer.Option(
        "--no-pages", help="Do not write report.html of each video again.", rich_help_panel="Output"
    ),
]
_Json = Annotated[
    bool, typer.Option("--json", help="Print the content of index.json.", rich_help_panel="Output")
]


def add(app: typer.Typer) -> None:
    """Register the command."""
    command(app, _EXAMPLES)(report)


def report(
    folder: _Folder,
    *,
    no_pages: _NoPages = False,
    json: _Json = False,
    summary_md: SummaryMd = None,
    annotations: Annotations = None,
    console: Console,
) -> None:
    """Write the overview of a folder: index.html, index.json, summary.md, and junit.xml."""
    ci = Ci(summary_md, annotations=annotations)
    from staa_cli.files import JUNIT, OVERVIEW, PAGE, SUMMARY
    from staa_cli.formatting import counted
    from staa_cli.results.index.collect import collect_folder
    from staa_cli.results.index.summary import headline
    from staa_cli.results.index.write import write_index
    from staa_cli.results.pages.rebuild import rebuild_pages
    from staa_cli.results.report import plain_document

    if not folder.is_dir():
        what = "is a file" if folder.exists() else "no such folder"
        raise NothingMatched(f"{folder}: {what}", _HINT)
    paths, failures, unwritten = list[Path](), list[StaaError](), ""
    with console.progress(1) as progress:

        def stage(name: str) -> Callable[[str, int, int], None]:
            return lambda result, done, total: progress.stage(shown(result), name, done, total)

        index = collect_folder(folder, on_result=stage("reading"))
        failures += [StaaError(one.cause, one.hint) for one in index.broken_reports]
        if not (index.results or index.failed_inputs or index.broken_reports):
            raise NothingMatched(f"{folder} has no results in it", _HINT)
        if not no_pages:
            rebuilt = rebuild_pages(folder, index, stage("page"))
            paths += rebuilt.paths
            failures += rebuilt.failures
            if count := len(rebuilt.failures):
                unwritten = f", {counted(count, 'page')} not written"
            for cause, hint in rebuilt.caveats:
                console.warning(f"{cause}; {hint}")
            if rebuilt.absent:
                without = f"{counted(rebuilt.absent, 'result')} without {PAGE}"
                console.message(f"{without}; `staa render` writes it if the video is there")
        paths += write_index(index, folder, (OVERVIEW, SUMMARY, JUNIT), stage("overview"))
    if json:
        put_json(console, plain_document(index))
    else:
        for path in paths:
            put(console, as_argument(path))
    told = ci.tell(index, folder, console)
    for error in failures:
        console.error(error)
    console.message(headline(index) + unwritten)
    if failures or not told:
        raise typer.Exit(ExitCode.INPUT_FAILED)
