"""`staa benchmark`: score methods against ground truth and trivial baselines."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from staa_cli.cli.completion import (
    Offers,
    complete_datasets,
    complete_methods,
    complete_metrics,
    one_of,
)
from staa_cli.cli.help import HelpGroup
from staa_cli.cli.options import command, put, put_json
from staa_cli.cli.process import use_threads
from staa_cli.cli.terminal import Console, shown, side_by_side, table, terminal_width
from staa_cli.config.settings import Loaded
from staa_cli.errors import ExitCode, InputError, StaaError, UsageError
from staa_cli.formatting import LOSES, counted
from staa_cli.registry import did_you_mean

if TYPE_CHECKING:
    from staa_cli.benchmark.datasets import Dataset
    from staa_cli.benchmark.quality import Benchmark
    from staa_cli.models.load import LoadedModel

_Form = Literal["text", "json", "csv", "latex", "markdown"]

_EXAMPLES = """
staa benchmark quality
staa benchmark quality --methods staa,rollout,random --metrics pointing,temporal_auc
staa benchmark quality --dataset events-hard --clips 512 --seed 1 --json
staa benchmark quality --methods all --metrics all --clips 64 --into benchmark/
staa benchmark quality --dataset clips/ --model ./my-checkpoint
staa benchmark quality --methods auto,rollout,baselines --format latex > table.tex
"""
_COST_EXAMPLES = """
staa benchmark cost
staa benchmark cost --methods all --no-memory
staa benchmark cost --model ./my-checkpoint --methods staa,integrated-gradients --json
"""
_GROUP_EXAMPLES = """
staa benchmark quality --methods all --metrics all --clips 64 --into benchmark/
staa benchmark quality --dataset clips/ --model ./my-checkpoint
staa benchmark cost --methods all
staa benchmark metrics
"""
_METRICS_EXAMPLES = """
staa benchmark metrics
staa benchmark metrics --json
"""

_SETTINGS = {
    "Model": ("model", "arch", "labels", "device", "precision", "threads", "offline"),
    "Attribution": ("method.layers", "method.combine", "method.replacement", "method.samples"),
}
_FORMAT = "Print the table as csv (raw numbers), latex, or markdown."
_POST = ("post.threshold", "post.threshold_value", "post.focus_sigma", "post.focus_gamma")
_METHODS = "auto,staa,baselines"
_COST = "auto,staa,grad-attention"
_OFFERS: dict[str, Callable[..., Offers]] = {
    "--methods": complete_methods,
    "--metrics": complete_metrics,
    "--dataset": complete_datasets,
    "--split": one_of("test", "development"),
    "--format": one_of("csv", "latex", "markdown"),
}
CLIPS = 256
"""Default number of clips of a generated data set."""
_COLUMNS = 4
"""Maximum number of metrics side by side."""


def add(app: typer.Typer) -> None:
    """Register the command and its subcommands."""
    group = typer.Typer(cls=HelpGroup, no_args_is_help=False)
    group.callback(epilog=_GROUP_EXAMPLES)(_group)
    scored = _SETTINGS | {"Attribution": (*_SETTINGS["Attribution"], *_POST)}
    command(group, _EXAMPLES, settings=scored)(quality)
    command(group, _COST_EXAMPLES, settings=_SETTINGS)(cost)
    command(group, _METRICS_EXAMPLES)(metrics)
    app.add_typer(group, name="benchmark")


def _group() -> None:
    """Score attribution methods against ground truth and trivial baselines."""


def _option(name: str, metavar: str | None, text: str) -> Any:
    return typer.Option(
        name,
        metavar=metavar,
        help=text,
        rich_help_panel="Benchmark",
        autocompletion=_OFFERS.get(name),
    )


def quality(
    *,
    dataset: Annotated[
        str,
        _option(
            "--dataset",
            "NAME",
            "Clips with ground truth (events, events-hard, twins), a folder of videos, or, of a "
            "folder of classes, mosaics:DIR, splices:DIR, or classes:DIR. [events]",
        ),
    ] = "events",
    methods: Annotated[
        str,
        _option(
            "--methods",
            "A,B",
            "Methods; all adds every other method, baselines adds the model-free "
            f"ones. [{_METHODS}]",
        ),
    ] = _METHODS,
    metrics: Annotated[
        str | None,
        _option(
            "--metrics",
            "A,B",
            "Metrics; all adds every other metric. [localization; for a folder, srg]",
        ),
    ] = None,
    clips: Annotated[
        int | None,
        _option("--clips", "N", f"Number of clips. [{CLIPS}; for a folder, all videos]"),
    ] = None,
    seed: Annotated[int, _option("--seed", "N", "Seed of the clips. [0]")] = 0,
    split: Annotated[
        str, _option("--split", "NAME", "test, or development for choosing settings. [test]")
    ] = "test",
    into: Annotated[
        Path | None,
        _option(
            "--into",
            "DIR",
            "Folder that keeps every score, so that a run can continue, and the results.",
        ),
    ] = None,
    plot: Annotated[
        str | None,
        _option(
            "--plot",
            "METRIC",
            "Metric shown by the plot in --into. [srg, pointing, or the first]",
        ),
    ] = None,
    json: Annotated[bool, _option("--json", None, "Print JSON.")] = False,
    form: Annotated[str | None, _option("--format", "NAME", _FORMAT)] = None,
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

    printed = _form(form, json)
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
    form: _Form,
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


def _form(name: str | None, as_json: bool) -> _Form:
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


def cost(
    *,
    methods: Annotated[
        str, _option("--methods", "A,B", f"Methods, or all; baselines count as methods. [{_COST}]")
    ] = _COST,
    rounds: Annotated[int, _option("--rounds", "N", "Number of rounds per method. [5]")] = 5,
    no_memory: Annotated[
        bool,
        _option("--no-memory", None, "Do not measure memory, which takes one process per method."),
    ] = False,
    into: Annotated[
        Path | None, _option("--into", "DIR", "Folder to write the numbers and a table to as well.")
    ] = None,
    json: Annotated[bool, _option("--json", None, "Print JSON.")] = False,
    form: Annotated[str | None, _option("--format", "NAME", _FORMAT)] = None,
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

    printed = _form(form, json)
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
