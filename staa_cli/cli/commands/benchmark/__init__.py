"""`staa benchmark`: score methods against ground truth and trivial baselines."""

from __future__ import annotations

import typer

from staa_cli.cli.commands.benchmark import cost, metrics, quality
from staa_cli.cli.help import HelpGroup

_EXAMPLES = """
staa benchmark quality --methods all --metrics all --clips 64 --into benchmark/
staa benchmark quality --dataset clips/ --model ./my-checkpoint
staa benchmark cost --methods all
staa benchmark metrics
"""


def add(app: typer.Typer) -> None:
    """Register the command and its subcommands."""
    group = typer.Typer(cls=HelpGroup, no_args_is_help=False)
    group.callback(epilog=_EXAMPLES)(_group)
    for part in (quality, cost, metrics):
        part.add(group)
    app.add_typer(group, name="benchmark")


def _group() -> None:
    """Score attribution methods against ground truth and trivial baselines."""
