"""`staa schema`: the JSON Schemas of report.json and of other documents."""

from __future__ import annotations

import sys
from importlib.resources import files
from typing import Annotated

import typer

from staa_cli.cli.completion import one_of
from staa_cli.cli.options import command
from staa_cli.cli.terminal import Console
from staa_cli.errors import UsageError
from staa_cli.registry import did_you_mean

_EXAMPLES = """
staa schema > report.schema.json
staa schema ground-truth > ground_truth.schema.json
staa schema diff > diff.schema.json
staa schema index > index.schema.json
staa schema stream > stream.schema.json
"""
_FILES = {
    "report": "schema_v1.json",
    "ground-truth": "ground_truth_schema_v1.json",
    "diff": "diff_schema_v1.json",
    "index": "index_schema_v1.json",
    "stream": "stream_schema_v1.json",
}


def add(app: typer.Typer) -> None:
    """Register the command."""
    command(app, _EXAMPLES)(schema)


def schema(
    document: Annotated[
        str,
        typer.Argument(
            metavar="DOCUMENT",
            help="report, for report.json, ground-truth, for ground_truth.json, diff, for the "
            "output of `staa diff --json`, index, for index.json, or stream, for a line of "
            "`staa stream --json`. [report]",
            autocompletion=one_of(*_FILES),
            show_default=False,
        ),
    ] = "report",
    *,
    console: Console,
) -> None:
    """Print the JSON Schema of report.json, or of another document."""
    if document not in _FILES:
        hint = did_you_mean(document, _FILES) or f"available: {', '.join(_FILES)}"
        raise UsageError(f"no schema of {document!r}", hint)
    text = files("staa_cli.results").joinpath(_FILES[document]).read_text(encoding="utf-8")
    console.write(text.rstrip("\n"), sys.stdout)  # JSON is printed even with -q
