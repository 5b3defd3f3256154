"""`staa benchmark metrics`: the list of metrics."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from staa_cli.cli.options import command, put, put_json
from staa_cli.cli.terminal import Console, table, terminal_width

_EXAMPLES = """
staa benchmark metrics
staa benchmark metrics --json
"""


def add(group: typer.Typer) -> None:
    """Register the command."""
    command(group, _EXAMPLES)(metrics)


def metrics(
    *,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    console: Console,
) -> None:
    """List the metrics: whether higher or lower is better, and whether they need ground truth."""
    from staa_cli.evaluation.base import METRICS, list_metrics

    metrics = list_metrics()
    for problem in METRICS.problems():
        console.warning(problem.cause)
    if json:
        put_json(console, metrics, indent=2)
        return
    rows = [
        (
            metric["name"],
            metric["better"],
            "yes" if metric["truth"] else "no",
            metric["summary"],
        )
        for metric in metrics
    ]
    put(console, table(("NAME", "BETTER", "TRUTH", "ABOUT"), rows, terminal_width(sys.stdout)))
