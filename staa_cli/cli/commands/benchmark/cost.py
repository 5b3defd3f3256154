"""`staa benchmark cost`: what methods cost compared with a plain forward pass."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from staa_cli.cli.commands.benchmark.options import FORMAT, SETTINGS, option, printed_form
from staa_cli.cli.options import command, put, put_json
from staa_cli.cli.process import use_threads
from staa_cli.cli.terminal import Console, table, terminal_width
from staa_cli.config.settings import Loaded
from staa_cli.errors import UsageError

_EXAMPLES = """
staa benchmark cost
staa benchmark cost --methods all --no-memory
staa benchmark cost --model ./my-checkpoint --methods staa,integrated-gradients --json
"""
_METHODS = "auto,staa,grad-attention"


def add(group: typer.Typer) -> None:
    """Register the command."""
    command(group, _EXAMPLES, settings=SETTINGS)(cost)


def cost(
    *,
    methods: Annotated[
        str,
        option("--methods", "A,B", f"Methods, or all; baselines count as methods. [{_METHODS}]"),
    ] = _METHODS,
    rounds: Annotated[int, option("--rounds", "N", "Number of rounds per method. [5]")] = 5,
    no_memory: Annotated[
        bool,
        option("--no-memory", None, "Do not measure memory, which takes one process per method."),
    ] = False,
    into: Annotated[
        Path | None, option("--into", "DIR", "Folder to write the numbers and a table to as well.")
    ] = None,
    json: Annotated[bool, option("--json", None, "Print JSON.")] = False,
    form: Annotated[str | None, option("--format", "NAME", FORMAT)] = None,
    console: Console,
    loaded: Loaded,
) -> None:
    """Measure what methods cost compared with a plain forward pass: passes, time, and memory."""
    from staa_cli.benchmark.cost import measure_cost
    from staa_cli.benchmark.formats import cost_text
    from staa_cli.benchmark.tables import COST_JSON, COST_MARKDOWN, cost_table, write_cost
    from staa_cli.explain.pipeline import method_options, open_model
    from staa_cli.methods import named
    from staa_cli.results.folder import ResultFolder

    printed = printed_form(form, json)
    if rounds < 1:
        raise UsageError(f"--rounds: at least 1, not {rounds}")
    if into is not None:
        folder = ResultFolder(into, COST_JSON, "--into")
        folder.check((COST_JSON, COST_MARKDOWN))
    use_threads(loaded.settings.threads)
    model = open_model(loaded.settings, console.message)
    options = method_options(loaded.settings.method)
    with console.progress(1) as progress:
        result = measure_cost(
            model,
            named(methods, model.module, model.layout, options),
            rounds=rounds,
            memory=not no_memory,
            options=options,
            arch=loaded.settings.arch,
            on_progress=lambda done, total: progress.stage("cost", "measuring", done, total),
        )
    if into is not None:
        with folder.writing((COST_JSON, COST_MARKDOWN)):
            written = write_cost(result, into)
        for path in written:
            console.message(str(path))
    head, columns, rows = cost_table(result)
    if printed == "json":
        put_json(console, result)
    elif printed != "text":
        console.write(cost_text(result, printed), sys.stdout)
        if printed == "csv":  # which has no place for it
            console.message(head)
    else:
        put(console, head + "\n\n" + table(columns, rows, terminal_width(sys.stdout)))
