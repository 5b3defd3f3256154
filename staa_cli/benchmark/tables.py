"""Write benchmark results: benchmark.json, benchmark.md, and a plot of quality against cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from staa_cli.benchmark.agreement import agreement_line
from staa_cli.benchmark.held_out import held_out_lines
from staa_cli.evaluation.base import BASELINES, METRICS
from staa_cli.files import atomic_path, output_errors
from staa_cli.formatting import LOSES, percent, with_interval
from staa_cli.paths import as_text
from staa_cli.results.files import json_text
from staa_cli.schema import Output

SCORES, JSON, MARKDOWN, PICTURE = "scores.ndjson", "benchmark.json", "benchmark.md", "quality.png"
COST_JSON, COST_MARKDOWN = "cost.json", "cost.md"
Part = str | list[list[str]]
"""Prose, or the cells of a table with a header line."""
SURE = "*"
"""Marks a difference whose interval excludes zero."""
_NEEDED = {
    "mask": "boxes or a mask within what the model sees",
    "event": "an event within the frames that it sees",
    "distractor": "a mask of another class's actor",
}
"""Descriptions of a clip's ground truth for messages."""


def beats_baselines(result: Mapping[str, Any], method: str, metric: str) -> bool | None:
    """Whether a method's mean is better than that of every measured baseline.

    None for a baseline itself, without a baseline or a score, for a metric that is not `beatable`,
    and for scores of a single clip.
    """
    rows = [row for row in result["results"] if row["metric"] == metric and row["n"] > 1]
    means = {row["method"]: row["mean"] for row in rows}
    others = [means[name] for name in BASELINES if name in means]
    beatable = METRICS.get(metric).beatable
    if not beatable or method in BASELINES or not others or method not in means:
        return None
    if METRICS.get(metric).better == "higher":
        return bool(means[method] > max(others))
    return bool(means[method] < min(others))


def headline(result: Mapping[str, Any]) -> str:
    """One line with the model, the data set, the number of clips, and the replacement."""
    line = f"{result['model']} on {result['dataset']}"
    if result.get("split") is not None:
        line += f" ({result['split']})"
    total, scored = result.get("of") or result["clips"], result["scored"]
    line += f", seed {result['seed']}: "
    if result["correct"] is None and result["mask_share"] is None:
        line += f"{scored} of {total} videos scored, one clip each"
    elif result["correct"] == scored:
        line += f"{scored} of {result['clips']} clips classified correctly and scored"
    else:
        line += f"{scored} of {total} clips scored"
        if result.get("labeled"):
            line += f", {result['correct']} of the {result['labeled']} labeled ones correctly"
    if result["mask_share"] is not None:
        line += f"; an actor fills {percent(result['mask_share'], 1)} of their volume"
    removed = any(METRICS.get(row["metric"]).replaces for row in result["results"])
    return f"{line}; removed by {result['options']['replacement']}" if removed else line


def quality_parts(result: Mapping[str, Any]) -> list[Part]:
    """A result as prose and two tables: means, and differences to the first method by clip."""
    methods = list(dict.fromkeys(row["method"] for row in result["results"]))
    means = _grid(result, methods, cell, costs=True)
    parts: list[Part] = [f"{headline(result)}."]
    if methods:
        parts.append(means)
    if any(text.endswith(f" {LOSES}") for line in means for text in line):
        parts.append(f"`{LOSES}` does not beat every baseline.")
    for note in notes(result, _metrics(result)):
        parts += [f"{line[0].upper()}{line[1:]}." for line in note.splitlines()]
    if len(methods) > 1:
        sure = f"; `{SURE}` where the 95 % interval excludes zero" if result["scored"] > 1 else ""
        parts.append(f"Difference to `{methods[0]}`, clip by clip{sure}:")
        parts.append(_grid(result, methods[1:], difference))
    return parts


def markdown(parts: Sequence[Part]) -> str:
    """Prose and tables in order, as Markdown."""
    return "\n\n".join(part if isinstance(part, str) else _table(part) for part in parts)


def notes(result: Mapping[str, Any], metrics: Sequence[str]) -> list[str]:
    """What a reader of the scores must know besides: one note of one or more lines per subject.

    Metrics without a score on some clips; the agreement between replacements; and accuracy on
    held-out clips, with leaks.
    """
    held_out = result.get("held_out")
    found = (
        undefined(result, metrics),
        agreement_line(result),
        held_out_lines(held_out) if held_out else "",
    )
    return [note for note in found if note]


def undefined(result: Mapping[str, Any], metrics: Sequence[str]) -> str:
    """Metrics that are undefined on some or all scored clips, with clip counts; empty if none."""
    nowhere: list[str] = []
    partly: list[str] = []
    for metric in metrics if result["scored"] else ():
        rows = [row for row in result["results"] if row["metric"] == metric]
        fewer = [row for row in rows if row["n"] < result["scored"]]
        if not any(row["n"] for row in rows):
            truth = METRICS.get(metric).truth
            needs = [words for known, words in _NEEDED.items() if known in truth]
            nowhere.append(f"{metric} (it needs {' and '.join(needs)})" if needs else metric)
        elif len(fewer) == len(rows) and len({row["n"] for row in rows}) <= 1:
            partly.append(f"{metric} ({rows[0]['n']})")  # the same for every method
        else:
            partly += [f"{metric} of {row['method']} ({row['n']})" for row in fewer]
    notes = {
        "undefined on every scored clip": nowhere,
        "undefined on some clips and therefore scored on fewer": partly,
    }
    return "; ".join(f"{what}: {', '.join(names)}" for what, names in notes.items() if names)


def _grid(
    result: Mapping[str, Any],
    methods: Sequence[str],
    text: Callable[[Mapping[str, Any], str, str], str],
    *,
    costs: bool = False,
) -> list[list[str]]:
    metrics = _metrics(result)
    lines = [["method", *(name + arrow(name) for name in metrics)]]
    lines += [[name, *(text(result, name, metric) for metric in metrics)] for name in methods]
    if costs:
        passes = [f"{result['forwards'][name]:,.0f}" for name in methods]
        lines = [
            [line[0], cost, *line[1:]]
            for line, cost in zip(lines, ["passes", *passes], strict=True)
        ]
    return lines


def _metrics(result: Mapping[str, Any]) -> list[str]:
    return list(dict.fromkeys(row["metric"] for row in result["results"]))


def _table(lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the first line is the header."""
    rows = [f"| {' | '.join(line)} |" for line in lines]
    return "\n".join([rows[0], "|---" * len(lines[0]) + "|", *rows[1:]])


def cell(result: Mapping[str, Any], method: str, metric: str) -> str:
    """A mean with its interval, marked if it does not beat every baseline; - without a score."""
    row = _row(result, method, metric)
    if row is None or row["mean"] is None:
        return "-"
    text = with_interval(row["mean"], row["low"], row["high"], output_of(result))
    return f"{text} {LOSES}" if beats_baselines(result, method, metric) is False else text


def output_of(result: Mapping[str, Any]) -> Output:
    """How the model's logits become scores, which sets the unit of some metrics."""
    return cast(Output, result.get("output", "softmax"))


def difference(result: Mapping[str, Any], method: str, metric: str) -> str:
    """A mean difference to the first method, marked if its interval excludes zero."""
    row = _row(result, method, metric)
    if row is None or "difference" not in row:
        return "-"
    gap, form = row["difference"], "+.3g" if output_of(result) == "identity" else "+.3f"
    if gap["low"] is None:
        return f"{gap['mean']:{form}}"
    text = f"{gap['mean']:{form}} ({gap['low']:{form}} to {gap['high']:{form}})"
    return f"{text} {SURE}" if gap["low"] > 0 or gap["high"] < 0 else text


def _row(result: Mapping[str, Any], method: str, metric: str) -> Mapping[str, Any] | None:
    rows = (row for row in result["results"] if (row["method"], row["metric"]) == (method, metric))
    return next(rows, None)


def arrow(metric: str) -> str:
    """An arrow in the direction of better scores."""
    return " ↑" if METRICS.get(metric).better == "higher" else " ↓"


def cost_table(result: Mapping[str, Any]) -> tuple[str, list[str], list[tuple[str, ...]]]:
    """Lay out a cost result: one line about the run, the column names, and the rows."""
    head = (
        f"{result['model']} on {result['device']}, {result['precision']}: a plain forward pass of "
        f"one clip takes {result['forward_s'] * 1000:.0f} ms (median of "
        f"{result['rounds']} rounds; lowest and highest in brackets). Passes are of "
        "one clip, a backward pass counting "
        "as two. Time and memory are of that pass, which predicts, and of all that a method adds"
    )
    rows: list[tuple[str, ...]] = [
        (
            row["method"],
            f"{row['passes_per_clip']:,.0f}",
            f"{row['wall_ratio']:,.2f} ({row['wall_low']:,.2f} to {row['wall_high']:,.2f})",
            *_memory(row),
        )
        for row in result["results"]
    ]
    return head, ["METHOD", "PASSES", "TIME / PLAIN", "PEAK MEMORY / PLAIN", "ABOVE IT"], rows


def _memory(row: Mapping[str, Any]) -> tuple[str, str]:
    if row["memory_ratio"] is None:
        return "-", "-"
    return f"{row['memory_ratio']:.2f}", f"{row['memory_above_bytes'] / 2**20:,.0f} MiB"


def cost_parts(result: Mapping[str, Any]) -> list[Part]:
    """A cost result as prose and a table."""
    head, columns, rows = cost_table(result)
    return [f"{head}.", [[name.lower() for name in columns], *(list(row) for row in rows)]]


def write_cost(result: Mapping[str, Any], folder: Path) -> tuple[Path, ...]:
    """Write a cost result as JSON and as a Markdown table.

    Raises:
        OutputError: a file cannot be written.
    """
    text = f"{markdown(cost_parts(result))}\n"
    return _write(folder, {COST_JSON: _json(result), COST_MARKDOWN: text})


def write_results(
    result: Mapping[str, Any], folder: Path, plot: str | None = None
) -> tuple[Path, ...]:
    """Write a quality result as JSON and Markdown, and a plot of quality against cost.

    Args:
        result: of a benchmark.
        folder: created if missing.
        plot: metric of the plot; None for srg, pointing, or else the first one. A metric without a
            score gets no plot.

    Raises:
        OutputError: a file cannot be written.
    """
    from staa_cli.render.scatter import scatter

    text = as_text(f"{markdown(quality_parts(result))}\n")
    written = _write(folder, {JSON: _json(result), MARKDOWN: text})
    metrics: list[str] = [row["metric"] for row in result["results"] if row["n"]]
    preferred = next((name for name in ("srg", "pointing") if name in metrics), None)
    plotted = plot or preferred or next(iter(metrics), None)
    if plotted is None or plotted not in metrics:
        return written
    scatter(result, plotted, METRICS.get(plotted).better, folder / PICTURE)
    return (*written, folder / PICTURE)


def _json(result: Mapping[str, Any]) -> str:
    return json_text(dict(result)) + "\n"


def _write(folder: Path, texts: Mapping[str, str]) -> tuple[Path, ...]:
    with output_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        with atomic_path(folder / name) as part:
            part.write_text(text, encoding="utf-8")
    return tuple(folder / name for name in texts)
