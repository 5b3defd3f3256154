"""Options that `staa benchmark quality` and `staa benchmark cost` share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import typer

from staa_cli.cli.completion import (
    Offers,
    complete_datasets,
    complete_methods,
    complete_metrics,
    one_of,
)
from staa_cli.errors import UsageError
from staa_cli.registry import did_you_mean

SETTINGS = {
    "Model": ("model", "arch", "labels", "device", "precision", "threads", "offline"),
    "Attribution": ("method.layers", "method.combine", "method.replacement", "method.samples"),
}
"""Settings with an option, by group in the help."""
FORMAT = "Print the table as csv (raw numbers), latex, or markdown."
"""Help of `--format`."""
Form = Literal["text", "json", "csv", "latex", "markdown"]
_OFFERS: dict[str, Callable[..., Offers]] = {
    "--methods": complete_methods,
    "--metrics": complete_metrics,
    "--dataset": complete_datasets,
    "--split": one_of("test", "development"),
    "--format": one_of("csv", "latex", "markdown"),
}


def option(name: str, metavar: str | None, text: str) -> Any:
    """An option of a benchmark, with completion."""
    return typer.Option(
        name,
        metavar=metavar,
        help=text,
        rich_help_panel="Benchmark",
        autocompletion=_OFFERS.get(name),
    )


def printed_form(name: str | None, as_json: bool) -> Form:
    """What goes to stdout: a table for people, unless something else is asked for."""
    from staa_cli.benchmark.formats import FORMATS

    if name is None:
        return "json" if as_json else "text"
    if as_json:
        raise UsageError("--json and --format contradict each other", "give one of them")
    for form in FORMATS:
        if name == form:
            return form
    hint = did_you_mean(name, FORMATS) or f"available: {', '.join(FORMATS)}"
    raise UsageError(f"unknown format {name!r}", hint)
