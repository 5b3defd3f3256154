"""`staa methods`: the attribution methods."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from staa_cli.cli.options import command, put, put_json
from staa_cli.cli.terminal import Console, table, terminal_width

_EXAMPLES = """
staa methods
staa methods --json
staa explain video.mp4 --method rollout
"""


def add(app: typer.Typer) -> None:
    """Register the command."""
    command(app, _EXAMPLES)(methods)


def methods(
    *,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    console: Console,
) -> None:
    """List the attribution methods: whether they are class-specific, and what they cost."""
    from staa_cli.methods import AUTO, METHODS, list_methods

    listed = list_methods()
    for problem in METHODS.problems():
        console.warning(problem.cause)
    if json:
        put_json(console, listed, indent=2)
        return
    rows = [
        (
            method["name"],
            "yes" if method["class_specific"] else "no",
            f"{method['passes_per_clip']:g}",
            method["summary"],
        )
        for method in listed
    ]
    put(console, table(("NAME", "CLASS", "PASSES", "ABOUT"), rows, terminal_width(sys.stdout)))
    # Not a row: scripts take method names from the table.
    console.message(
        "passes: forward passes per clip with the bundled model; a backward pass counts as two"
    )
    console.message(f"the default is auto: the first of {' and '.join(AUTO)} that fits the model")
