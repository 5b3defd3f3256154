"""`staa schema`: the JSON Schema of report.json."""

from __future__ import annotations

import sys
from importlib.resources import files

import typer

from staa_cli.cli.options import command
from staa_cli.cli.terminal import Console

_EXAMPLES = """
staa schema > report.schema.json
"""


def add(app: typer.Typer) -> None:
    """Register the command."""
    command(app, _EXAMPLES)(schema)


def schema(*, console: Console) -> None:
    """Print the JSON Schema of report.json."""
    text = files("staa_cli.results").joinpath("schema_v1.json").read_text(encoding="utf-8")
    console.write(text.rstrip("\n"), sys.stdout)  # JSON is printed even with -q
