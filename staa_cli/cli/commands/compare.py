"""`staa compare`: several methods, or classes, on one video."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from staa_cli.cli.completion import complete_classes, complete_methods
from staa_cli.cli.costs import in_words, long_video_hint
from staa_cli.cli.details import facts_in_words, work_in_words
from staa_cli.cli.options import answer, command, put, put_json, without
from staa_cli.cli.process import use_threads
from staa_cli.cli.terminal import Console, shown, table, terminal_width
from staa_cli.config.settings import Depth, Loaded, Settings
from staa_cli.errors import InputError, StaaError, UsageError, VideoError
from staa_cli.formatting import LOSES, counted, figure, with_interval
from staa_cli.jobs.inputs import Job, find_jobs
from staa_cli.remote.addresses import is_url

if TYPE_CHECKING:
    from staa_cli.evaluation.comparison import Comparison
    from staa_cli.schema import Output

_EXAMPLES = """
staa compare video.mp4
staa compare video.mp4 --methods auto,rollout,grad-attention,integrated-gradients
staa compare video.mp4 --model ./my-checkpoint --class pouring --class stirring
staa compare video.mp4 --methods staa,staa-class --no-annotated --full-faithfulness --json
"""
_REFERENCES = "staa,grad-attention"
_PANEL = "Comparison"
_AREAS = ("insertion", "deletion")
_SETTINGS = without("target", "render.scale") | {"Output": ("output.dir", "output.annotated")}
_SCALES = ("shared", "panel", "clip", "frame")


def add(app: typer.Typer) -> None:
    """Register the command."""
    command(app, _EXAMPLES, settings=_SETTINGS)(compare)


def compare(
    video: Annotated[str, typer.Argument(metavar="VIDEO", help="A video, or its URL.")],
    *,
    methods: Annotated[
        str | None,
        typer.Option(
            "--methods",
            metavar="A,B",
            help=f"Methods to compare, or all. [the one from --method,{_REFERENCES}]",
            autocompletion=complete_methods,
            rich_help_panel=_PANEL,
        ),
    ] = None,
    classes: Annotated[
        list[str] | None,
        typer.Option(
            "--class",
            metavar="CLASS",
            help="Class that all methods explain; give several to compare classes with "
            "one --method.",
            autocompletion=complete_classes,
            rich_help_panel=_PANEL,
        ),
    ] = None,
    scale: Annotated[
        str | None,
        typer.Option(
            "--scale",
            metavar="KIND",
            help="What the color scale is fitted to: all panels (shared), or within each "
            "panel its whole video (panel), clip, or frame. [shared]",
            rich_help_panel="Picture",
            autocompletion=lambda: list(_SCALES),
        ),
    ] = None,
    full_faithfulness: Annotated[
        bool,
        typer.Option(
            "--full-faithfulness",
            help="Measure faithfulness in all steps, not in a fifth of them.",
            rich_help_panel=_PANEL,
        ),
    ] = False,
    no_faithfulness: Annotated[
        bool,
        typer.Option(
            "--no-faithfulness",
            help="Do not measure faithfulness, which takes most of the time.",
            rich_help_panel=_PANEL,
        ),
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Print JSON.", rich_help_panel="Output")
    ] = False,
    console: Console,
    loaded: Loaded,
) -> None:
    """Compare methods or classes side by side: panels in one video, and a score for each."""
    if full_faithfulness and no_faithfulness:
        raise UsageError(
            "--full-faithfulness and --no-faithfulness contradict each other", "give one of them"
        )
    depth: Depth | None = None if no_faithfulness else "full" if full_faithfulness else "quick"
    settings = loaded.settings
    job = _only_job(video, settings)
    from staa_cli.evaluation.comparison import compare_video
    from staa_cli.explain.pipeline import PLANNING, method_options, open_model
    from staa_cli.jobs.copies import cache_of, source_of, with_copy, with_url
    from staa_cli.jobs.workload import workload
    from staa_cli.methods import named
    from staa_cli.results import comparison
    from staa_cli.results.writers.annotated_mp4 import check_encoder

    check_encoder(settings)
    _check_selection(methods, classes, loaded)
    settings, shared = _scaled(settings, scale)
    if classes and len(classes) == 1:
        settings, classes = replace(settings, target=classes[0]), None
    try:
        if job.problem is not None:
            raise InputError(*job.problem)
        cache = cache_of(settings, console.message)
        job = with_copy(job, cache, lambda stage, done, total: None)
    except StaaError as error:
        console.trace(error)
        console.error(error, job.title)
        raise typer.Exit(error.exit_code) from None
    comparison.check_writable(job.folder, settings, source_of(job))
    use_threads(settings.threads)
    model = open_model(settings, console.message)
    options = method_options(settings.method)
    names = named(
        methods or f"{settings.method.name},{_REFERENCES}", model.module, model.layout, options
    )
    with console.progress(1) as progress:
        name = shown(job.source.name)

        def on_progress(stage: str, done: int, total: int) -> None:
            if stage == PLANNING:
                compared = [settings.method.name] if classes else names
                work = workload(total, model, settings, compared, depth, len(classes or "1"))
                progress.plan(name, in_words(work), work.total)
                if hint := long_video_hint(work, loaded):
                    console.message(f"{name}: {hint}")
            else:
                progress.stage(name, stage, done, total)

        try:
            result = compare_video(
                job.source,
                model,
                methods=() if classes else names,
                classes=classes or (),
                settings=settings,
                depth=depth,
                on_progress=on_progress,
            )
        except VideoError as error:
            console.trace(error)
            console.error(error, job.title)
            raise typer.Exit(error.exit_code) from None
        explanations = tuple(with_url(explanation, job) for explanation in result.explanations)
        result = replace(result, explanations=explanations)
        paths = comparison.save(result, job.folder, settings, on_progress, shared=shared)
    if console.verbosity >= 1:
        _details(result, console)
    facts = comparison.document(result)
    if json:
        put_json(console, facts)
        return
    put(console, _tables(facts, result.names))
    for warning in facts["warnings"]:
        console.warning(f"{warning['code']}: {warning['text']}")
    for path in paths:
        console.message(str(path))


def _details(compared: Comparison, console: Console) -> None:
    """Print the work for each panel, and facts about video and model."""
    from staa_cli.results.report import from_explanation

    reports = [from_explanation(explanation) for explanation in compared.explanations]
    for name, report in zip(compared.names, reports, strict=True):
        for line in work_in_words(report):
            console.detail(f"  {name}: {line}")
    for line in facts_in_words(reports[0]):
        console.fact(f"  {line}")


def _check_selection(methods: str | None, classes: Sequence[str] | None, loaded: Loaded) -> None:
    """Check that methods or classes are selected in one way only."""
    if methods and loaded.origins["method.name"] == "--method":
        raise UsageError("--methods already says which", "leave out --method")
    if methods and classes and len(classes) > 1:
        raise UsageError(
            "cannot compare methods and classes at the same time",
            "give one --class, or leave out --methods",
        )


def _scaled(settings: Settings, scale: str | None) -> tuple[Settings, bool]:
    """Settings with the scale of a single panel, and whether all panels share one scale."""
    if scale is None:
        return settings, settings.render.scale == "video"
    if scale not in _SCALES:
        raise UsageError(f"--scale: expected {', '.join(_SCALES)}, not {scale!r}")
    panel_scale: Any = scale if scale in ("clip", "frame") else "video"
    return replace(settings, render=replace(settings.render, scale=panel_scale)), scale == "shared"


def _only_job(video: str, settings: Settings) -> Job:
    if is_url(settings.output.dir):
        raise UsageError(
            "--output-dir: a comparison is not uploaded", "give a local folder, and upload it"
        )
    jobs = find_jobs([video], Path(settings.output.dir), offline=settings.offline)
    if len(jobs) != 1:
        raise UsageError(f"{video} is not a single video", "give one; `staa explain` takes folders")
    return jobs[0]


def _gain(row: dict[str, Any], output: Output) -> str:
    """The symmetric relevance gain of a row, marked if a baseline is at least as faithful."""
    text = with_interval(row["srg"], row["srg_low"], row["srg_high"], output)
    return f"{text} {LOSES}" if row.get("beaten_by") else text


def _tables(facts: dict[str, Any], names: Sequence[str]) -> str:
    width = terminal_width(sys.stdout)
    areas = _AREAS if facts["replacement"] is not None else ()  # not measured
    output, gain = facts["model"]["output"], ("SRG",) if areas else ()
    head = ("NAME", "CLASS", "PEAK", *gain, *map(str.upper, areas), "PASSES", "SECONDS")
    rows = [
        (
            row["name"],
            answer(row) if "label" in row else "-",
            "-" if row.get("peak_s") is None else f"{row['peak_s']:.2f} s",
            *(_gain(row, output) for _ in gain),
            *(figure(row[key], output) for key in areas),
            f"{row['passes']:,.0f}" if "passes" in row else "0",
            f"{row['seconds']:.1f}" if "seconds" in row else "-",
        )
        for row in facts["rows"]
    ]
    agreement = [
        (
            name,
            *("-" if facts["agreement"][name][other] is None
              else f"{facts['agreement'][name][other]:.2f}" for other in names),
        )
        for name in names
    ]  # fmt: skip
    text = table(head, rows, width)
    if facts["replacement"] is not None:
        count = len(facts["clips"])
        text += f"\n\nfaithfulness on {counted(count, 'clip')}, removed by {facts['replacement']}"
        text += (
            ", so without an interval" if count == 1 else "; brackets are 95 % intervals over them"
        )
        if facts["quick"]:
            text += ", a quick check: a fifth of the passes of --full-faithfulness"
        if any(row.get("beaten_by") for row in facts["rows"]):
            text += f"\n{LOSES} does not beat every baseline"
    if len(names) < 2:
        return text
    return text + "\n\n" + table(("AGREEMENT", *names), agreement, width)
