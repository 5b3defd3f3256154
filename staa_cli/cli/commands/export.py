"""`staa export`: results in the formats of other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from staa_cli.cli.completion import complete_exports, one_of
from staa_cli.cli.options import as_argument, command, put
from staa_cli.cli.terminal import Console, shown
from staa_cli.errors import ExitCode, UsageError
from staa_cli.formatting import counted
from staa_cli.registry import did_you_mean

_EXAMPLES = """
staa export csv staa-out/
staa export parquet staa-out/ --rows videos -o tables/
staa export fiftyone staa-out/ -o dataset/
staa export labelstudio staa-out/ --root /srv/videos
staa export labelstudio staa-out/ --root videos/ --url https://example.org/videos/
"""
_OUTPUT, _VIDEOS = "Output", "Videos"


def _option(name: str, metavar: str, text: str, panel: str, *values: str) -> Any:
    return typer.Option(
        *name.split(),
        metavar=metavar,
        help=text,
        rich_help_panel=panel,
        autocompletion=one_of(*values) if values else None,
    )


_ROWS, _MAPS = ("frames", "videos", "moments"), ("all", "seen", "none")
_Format = Annotated[
    str,
    typer.Argument(
        metavar="FORMAT",
        help="fiftyone, labelstudio, csv, parquet, or a format of an installed package.",
        autocompletion=complete_exports,
    ),
]
_Folder = Annotated[
    Path, typer.Argument(metavar="FOLDER", help="A folder with results, or a report.json.")
]
_OutputDir = Annotated[
    Path | None,
    _option("--output-dir -o", "DIR", "Folder to write to. [staa-export/FORMAT]", _OUTPUT),
]
_Rows = Annotated[
    str | None,
    _option(
        "--rows",
        "KIND",
        "What a row of csv and parquet is: frames, videos, or moments. [frames]",
        _OUTPUT,
        *_ROWS,
    ),
]
_Maps = Annotated[
    str | None,
    _option(
        "--maps",
        "KIND",
        "Frames with a heat map in fiftyone: all, those that the model has seen, or none. [all]",
        _OUTPUT,
        *_MAPS,
    ),
]
_Root = Annotated[
    Path | None,
    _option(
        "--root",
        "DIR",
        "Folder of the videos, if they have moved; addresses in labelstudio are relative to it.",
        _VIDEOS,
    ),
]
_Url = Annotated[
    str | None,
    _option(
        "--url",
        "PREFIX",
        "What addresses in labelstudio start with. [/data/local-files/?d=]",
        _VIDEOS,
    ),
]


def add(app: typer.Typer) -> None:
    """Register the command."""
    command(app, _EXAMPLES)(export)


def export(
    name: _Format,
    folder: _Folder,
    *,
    output_dir: _OutputDir = None,
    rows: _Rows = None,
    maps: _Maps = None,
    root: _Root = None,
    url: _Url = None,
    console: Console,
) -> None:
    """Write results in the format of another tool: FiftyOne, Label Studio, or a table."""
    from staa_cli.results.exports import run
    from staa_cli.results.exports.base import EXPORTS, ExportOptions

    used = EXPORTS.get(name).options
    given: dict[str, Any] = {"rows": rows, "maps": maps, "root": root, "url": url}
    given = {option: value for option, value in given.items() if value is not None}
    for option in given:
        if option not in used:
            others = ", ".join(f"--{other}" for other in sorted(used)) or "no option"
            raise UsageError(f"--{option} has no effect on {name}", f"it uses {others}")
    _check("--rows", rows, _ROWS)
    _check("--maps", maps, _MAPS)
    with console.progress(1) as progress:
        exported = run.export(
            folder,
            name,
            output_dir or Path("staa-export", name),
            ExportOptions(**given),
            lambda result, done, total: progress.stage(shown(result), "exporting", done, total),
        )
    for path in exported.paths:
        put(console, as_argument(path))
    for caveat in exported.caveats:
        console.warning(caveat)
    for failure in exported.failures:
        console.error(failure)
    console.message(_summary(exported.count, len(exported.failures)))
    if exported.failures:
        raise typer.Exit(ExitCode.INPUT_FAILED)


def _summary(count: int, failed: int) -> str:
    text = f"{counted(count, 'result')} exported"
    return f"{text}, {failed} failed" if failed else text


def _check(option: str, value: str | None, values: tuple[str, ...]) -> None:
    if value is not None and value not in values:
        expected = f"{', '.join(values[:-1])}, or {values[-1]}"
        hint = did_you_mean(value, values)
        raise UsageError(f"{option}: expected {expected}, not {value!r}", hint)
