"""`staa benchmark`: which method can be trusted, measured beside trivial baselines."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

import typer

from staa_cli.cli.command import command, put, put_json
from staa_cli.cli.help import HelpGroup
from staa_cli.config import Loaded
from staa_cli.console import Console, table, terminal_width

_EXAMPLES = """
staa benchmark quality
staa benchmark quality --methods staa,rollout,random --metrics pointing,temporal_auc
staa benchmark quality --dataset events-hard --clips 512 --seed 1 --json
"""

_SETTINGS = {
    "Model": "model device precision threads",
    "Attribution": "method.layers method.combine method.fill method.samples",
}


def add(app: typer.Typer) -> None:
    """Register the command and its parts."""
    group = typer.Typer(cls=HelpGroup, no_args_is_help=False)
    group.callback(epilog=_EXAMPLES)(_group)
    command(group, _EXAMPLES, settings=_SETTINGS)(quality)
    app.add_typer(group, name="benchmark")


def _group() -> None:
    """Score attribution methods against ground truth, beside trivial baselines."""


def _option(name: str, metavar: str, text: str) -> Any:
    return typer.Option(name, metavar=metavar, help=text, rich_help_panel="Benchmark")


def quality(
    *,
    dataset: Annotated[
        str, _option("--dataset", "NAME", "Clips with ground truth: events or events-hard.")
    ] = "events",
    methods: Annotated[
        str, _option("--methods", "A,B", "Methods, or all; baselines are methods too.")
    ] = "staa,random,centre,frame-difference",
    metrics: Annotated[
        str, _option("--metrics", "A,B", "Metrics.")
    ] = "pointing,energy,temporal_auc,iou",
    clips: Annotated[int, _option("--clips", "N", "Number of clips.")] = 256,
    seed: Annotated[int, _option("--seed", "N", "Seed of the clips.")] = 0,
    split: Annotated[
        str, _option("--split", "NAME", "test, or development for choosing settings.")
    ] = "test",
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    console: Console,
    loaded: Loaded,
) -> None:
    """Say how well attributions point to where and when the thing happened."""
    from staa_cli.errors import UsageError
    from staa_cli.methods import METHODS
    from staa_cli.metrics.quality import measure_quality
    from staa_cli.pipeline import method_options, open_model

    if split not in ("test", "development"):
        raise UsageError(f"unknown split {split!r}", "test or development")
    if clips < 1:
        raise UsageError(f"--clips: at least 1, not {clips}")
    with console.progress(1) as progress:
        result = measure_quality(
            open_model(loaded.settings),
            dataset=dataset,
            methods=METHODS.names() if methods == "all" else methods.split(","),
            metrics=metrics.split(","),
            clips=clips,
            seed=seed,
            split=split,  # type: ignore[arg-type]
            options=replace(method_options(loaded.settings.method), seed=seed),
            on_progress=lambda done, total: progress.stage(dataset, "scoring", done, total),
        )
    if json:
        put_json(console, result)
        return
    put(console, _as_table(result, metrics.split(",")))


def _as_table(result: dict[str, Any], metrics: Sequence[str]) -> str:
    cells = {(row["method"], row["metric"]): row for row in result["results"]}
    names = dict.fromkeys(row["method"] for row in result["results"])
    rows = [(name, *(_cell(cells.get((name, metric))) for metric in metrics)) for name in names]
    head = (
        f"{result['model']} on {result['dataset']}, seed {result['seed']}: "
        f"{result['correct']} of {result['clips']} clips classified correctly and scored; "
        f"the actor fills {result['mask_share'] or 0:.1%} of their volume"
    )
    return head + "\n\n" + table(("METHOD", *metrics), rows, terminal_width(sys.stdout))


def _cell(row: dict[str, Any] | None) -> str:
    return "-" if row is None else f"{row['mean']:.2f} ({row['low']:.2f} to {row['high']:.2f})"
