"""A benchmark's tables as text for other programs: CSV, LaTeX, and Markdown."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from staa_cli.benchmark.tables import Part, cost_parts, markdown, quality_parts
from staa_cli.evaluation.base import METRICS
from staa_cli.paths import as_text
from staa_cli.statistics import Interval

Format = Literal["csv", "latex", "markdown"]
FORMATS: tuple[Format, ...] = ("csv", "latex", "markdown")

_COLUMNS = (
    *("method", "metric", "better", "mean", "low", "high", "n"),
    *(f"difference_{name}" for name in Interval._fields),
    "passes",
)
_LATEX = {
    "\\": r"\textbackslash{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",
    ">": "$>$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
}


def quality_text(result: Mapping[str, Any], form: Format) -> str:
    """The result of a quality benchmark; as CSV, one row per method and metric, not rounded."""
    if form == "csv":
        return _csv(_COLUMNS, _quality_rows(result))
    return _laid_out(quality_parts(result), form)


def cost_text(result: Mapping[str, Any], form: Format) -> str:
    """The result of a cost benchmark; as CSV, one row per method, not rounded."""
    if form == "csv":
        rows = result["results"]
        return _csv([*rows[0]], rows)
    return _laid_out(cost_parts(result), form)


def _quality_rows(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for row in result["results"]:
        gap = row.get("difference", {})
        rows.append(
            {name: row[name] for name in ("method", "metric")}
            | {"better": METRICS.get(row["metric"]).better}
            | {name: row[name] for name in Interval._fields}
            | {f"difference_{name}": gap.get(name) for name in Interval._fields}
            | {"passes": result["forwards"].get(row["method"])}
        )
    return rows


def _csv(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    """A header line and the rows; missing values are empty fields."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return as_text(text.getvalue().removesuffix("\n"))


def _laid_out(parts: Sequence[Part], form: Format) -> str:
    return as_text(markdown(parts) if form == "markdown" else latex(parts))


def latex(parts: Sequence[Part]) -> str:
    """Prose and tables in order, as LaTeX that needs no package."""
    return "\n\n".join(_prose(part) if isinstance(part, str) else _tabular(part) for part in parts)


def _tabular(lines: Sequence[Sequence[str]]) -> str:
    head, *rows = [f"{' & '.join(map(_escaped, line))} \\\\" for line in lines]
    body = "\n".join([r"\hline", head, r"\hline", *rows, r"\hline"])
    columns = "l" + "r" * (len(lines[0]) - 1)  # names, then numbers
    return f"\\begin{{tabular}}{{{columns}}}\n{body}\n\\end{{tabular}}"


def _prose(text: str) -> str:
    """Text with Markdown code spans in typewriter type."""
    parts = text.split("`")
    if len(parts) % 2 == 0:  # an unpaired backtick, part of a name
        return _escaped(text)
    return "".join(
        f"\\texttt{{{_escaped(part)}}}" if number % 2 else _escaped(part)
        for number, part in enumerate(parts)
    )


def _escaped(text: str) -> str:
    """Text with special characters escaped; the minus of a number is set in math mode."""
    return re.sub(r"(?<![\w$])-(?=[\d.])", "$-$", "".join(_LATEX.get(c, c) for c in text))
