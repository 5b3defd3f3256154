"""`staa benchmark quality`: scores of methods against ground truth and trivial baselines."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from staa_cli.cli.commands.benchmark.options import FORMAT, SETTINGS, Form, option, printed_form
from staa_cli.cli.options import command, put, put_json
from staa_cli.cli.process import use_threads
from staa_cli.cli.terminal import Console, shown, side_by_side, table, terminal_width
from staa_cli.config.settings import Loaded
from staa_cli.errors import ExitCode, InputError, StaaError, UsageError
from staa_cli.formatting import LOSES, counted

if TYPE_CHECKING:
    from staa_cli.benchmark.datasets import Dataset
    from staa_cli.benchmark.quality import Benchmark
    from staa_cli.models.load import LoadedModel

_EXAMPLES = """
staa benchmark quality
staa benchmark quality --methods staa,rollout,random --metrics pointing,temporal_auc
staa benchmark quality --dataset events-hard --clips 512 --seed 1 --json
staa benchmark quality --methods all --metrics all --clips 64 --into benchmark/
staa benchmark quality --dataset clips/ --model ./my-checkpoint
staa benchmark quality --methods auto,rollout,baselines --format latex > table.tex
"""
_POST = ("post.threshold", "post.threshold_value", "post.focus_sigma", "post.focus_gamma")
_METHODS = "auto,staa,baselines"
CLIPS = 256
"""Default number of clips of a generated data set."""
_COLUMNS = 4
"""Maximum number of metrics side by side."""


def add(group: typer.Typer) -> None:
    """Register the command."""
    settings = SETTINGS | {"Attribution": (*SETTINGS["Attribution"], *_POST)}
    command(group, _EXAMPLES, settings=settings)(quality)


def quality(
    *,
    dataset: Annotated[
        str,
        option(
            "--dataset",
            "NAME",
            "Generated clips (events, events-hard, twins; events-small and states for the zoo), a "
            "folder of videos, or, of a folder of classes, mosaics:DIR, splices:DIR, or "
            "classes:DIR. [events]",
        ),
    ] = "events",
    methods: Annotated[
        str,
        option(
            "--methods",
            "A,B",
            "Methods; all adds every other method, baselines adds the model-free "
            f"ones. [{_METHODS}]",
        ),
    ] = _METHODS,
    metrics: Annotated[
        str | None,
        option(
            "--metrics",
            "A,B",
            "Metrics; all adds every other metric. [localization; for a folder, srg]",
        ),
    ] = None,
    clips: Annotated[
        int | None,
        option("--clips", "N", f"Number of clips. [{CLIPS}; for a folder, all videos]"),
    ] = None,
    seed: Annotated[int, option("--seed", "N", "Seed of the clips. [0]")] = 0,
    split: Annotated[
        str, option("--split", "NAME", "test, or development for choosing settings. [test]")
    ] = "test",
    into: Annotated[
        Path | None,
        option(
            "--into",
            "DIR",
            "Folder that keeps every score, so that a run can continue, and the results.",
        ),
    ] = None,
    plot: Annotated[
        str | None,
        option(
            "--plot",
            "METRIC",
            "Metric shown by the plot in --into. [srg, pointing, or the first]",
        ),
    ] = None,
    json: Annotated[bool, option("--json", None, "Print JSON.")] = False,
    form: Annotated[str | None, option("--format", "NAME", FORMAT)] = None,
    console: Console,
    loaded: Loaded,
) -> None:
    """Score methods: do they highlight the event, and does the model rely on what they show?"""
    from staa_cli.benchmark.datasets import open_dataset
    from staa_cli.benchmark.quality import Benchmark, store_header
    from staa_cli.benchmark.store import Store
    from staa_cli.benchmark.tables import JSON, MARKDOWN, PICTURE, SCORES
    from staa_cli.explain.pipeline import method_options, open_model
    from staa_cli.methods import named
    from staa_cli.results.folder import ResultFolder

    printed = printed_form(form, json)
    if split not in ("test", "development"):
        raise UsageError(f"unknown split {split!r}", "test or development")
    if clips is not None and clips < 1:
        raise UsageError(f"--clips: at least 1, not {clips}")
    if seed < 0:
        raise UsageError(f"--seed: at least 0, not {seed}")
    options = replace(method_options(loaded.settings.method), seed=seed)
    use_threads(loaded.settings.threads)
    model = open_model(loaded.settings, console.message)
    data = open_dataset(dataset, model, seed, split)  # type: ignore[arg-type]
    for note in data.notes:
        console.warning(note)
    scores = _metrics(metrics, data, model)
    _check_plot(plot, scores, into)
    benchmark = Benchmark(
        model,
        data,
        named(methods, model.module, model.layout, options),
        scores,
        options,
        seed,
        loaded.settings.post,
    )
    if into is not None:
        ResultFolder(into, JSON, "--into").check((JSON, MARKDOWN, PICTURE))
        benchmark = replace(benchmark, store=Store(into / SCORES, store_header(benchmark)))
    if clips and data.count is not None and clips > data.count:
        console.warning(f"--clips {clips}: {dataset} has only {counted(data.count, 'clip')}")
    there = CLIPS if data.drawn or data.count is None else data.count
    result, problems = _measure(benchmark, clips or there, into, console)
    for name, error in problems:
        console.trace(error)
        console.error(error, name)
    if len(problems) == result["clips"]:
        raise InputError(f"no video of {dataset} can be read")
    _report(result, scores, plot, into, printed, console)
    if not result["scored"]:
        raise _nothing_scored(result)
    if problems:
        raise typer.Exit(ExitCode.INPUT_FAILED)


def _nothing_scored(result: dict[str, Any]) -> InputError:
    """The error where the model is wrong about every clip, and what it says of them instead."""
    cause = (
        f"{result['dataset']}: nothing was scored, since the model classifies no clip correctly, "
        f"0 of {result['labeled']}"
    )
    said = Counter(clip["said"] for clip in result["per_clip"] if clip["said"] is not None)
    if not said:
        return InputError(
            cause,
            "the model must be right about every part of a clip: more --clips, or a better model",
        )
    instead = ", ".join(f"{label} ({times})" for label, times in said.most_common(3))
    return InputError(
        f"{cause}; it says {instead}",
        "check the labels, and with staa explain what the model says of a video",
    )


def _measure(
    benchmark: Benchmark, clips: int, into: Path | None, console: Console
) -> tuple[dict[str, Any], list[tuple[str, StaaError]]]:
    """The result, and the errors of unreadable videos; on an interrupt, say what was saved."""
    from staa_cli.benchmark.quality import measure_quality

    problems: list[tuple[str, StaaError]] = []
    name = benchmark.dataset.name
    try:
        with console.progress(1) as progress:
            result = measure_quality(
                benchmark,
                clips,
                on_progress=lambda done, total: progress.stage(name, "scoring", done, total),
                on_held_out=lambda done, total: progress.stage(name, "held-out", done, total),
                on_problem=lambda name, error: problems.append((name, error)),
            )
    except KeyboardInterrupt:
        console.message(_interrupted(into))
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    return result, problems


def _interrupted(into: Path | None) -> str:
    if into is None:
        return "interrupted; nothing was saved (use --into DIR to keep scores)"
    return f"interrupted; finished scores are in {into}, and the same command continues from there"


def _report(
    result: dict[str, Any],
    metrics: Sequence[str],
    plot: str | None,
    into: Path | None,
    form: Form,
    console: Console,
) -> None:
    """Write the results to the folder, if given, and print them."""
    from staa_cli.benchmark.formats import quality_text
    from staa_cli.benchmark.tables import (
        JSON,
        MARKDOWN,
        PICTURE,
        headline,
        notes,
        write_results,
    )
    from staa_cli.results.folder import ResultFolder

    if into is not None:
        with ResultFolder(into, JSON, "--into").writing((JSON, MARKDOWN, PICTURE)):
            written = write_results(result, into, plot)
        for path in written:
            console.message(str(path))
    if form == "json":
        put_json(console, {name: fact for name, fact in result.items() if name != "per_clip"})
    elif form != "text":
        console.write(quality_text(result, form), sys.stdout)
        if form == "csv":  # which has no place for them
            for line in "\n".join([headline(result), *notes(result, metrics)]).splitlines():
                console.message(line)
    else:
        put(console, _as_table(result, metrics, colored=console.colors(sys.stdout)))


def _metrics(names: str | None, data: Dataset, model: LoadedModel) -> list[str]:
    from staa_cli.benchmark.requirements import default_metrics, fitting_metrics
    from staa_cli.methods import listed

    groups = {"all": fitting_metrics(data, model)}
    return listed(names, groups) if names else default_metrics(data.truth)


def _check_plot(plot: str | None, metrics: Sequence[str], into: Path | None) -> None:
    """Check that the metric of the plot is measured, and that there is a folder for it."""
    if plot is None:
        return
    if into is None:
        raise UsageError("--plot: no folder to write the plot to", "add --into DIR")
    if plot not in metrics:
        raise UsageError(f"--plot: {plot!r} is not measured", f"of {', '.join(metrics)}")


def _as_table(result: dict[str, Any], metrics: Sequence[str], *, colored: bool) -> str:
    """Several tables if not all metrics fit: wrapped lines would be unreadable."""
    from staa_cli.benchmark.tables import arrow, beats_baselines, cell, headline, notes

    methods = list(dict.fromkeys(row["method"] for row in result["results"]))
    first = ["METHOD", *methods]
    columns = [
        [metric + arrow(metric), *(cell(result, name, metric) for name in methods)]
        for metric in metrics
    ]
    losers = {
        (row, column)
        for row, method in enumerate(methods)
        for column, metric in enumerate(metrics)
        if beats_baselines(result, method, metric) is False
    }
    width, tables = terminal_width(sys.stdout), []
    for group in side_by_side(first, columns, width, _COLUMNS):
        head, *rows = zip(first, *(columns[column] for column in group), strict=True)
        red = {(row, column - group.start + 1) for row, column in losers if column in group}
        tables.append(table(head, rows, width, red=red if colored else ()))
    parts = [shown(headline(result)), *(tables if methods else ())]
    if losers:
        parts.append(f"{LOSES} does not beat every baseline")
    return "\n\n".join([*parts, *notes(result, metrics)])
