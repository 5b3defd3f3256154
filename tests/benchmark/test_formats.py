"""A benchmark's tables for other programs, read back as these read them."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest

from staa_cli.benchmark.formats import cost_text, latex, quality_text
from staa_cli.benchmark.tables import markdown, quality_parts
from staa_cli.cli.app import run

ROW = {"method": "staa", "metric": "pointing", "mean": 0.123456789, "low": -0.05, "high": 0.2}


def result(**facts: Any) -> dict[str, Any]:
    gap = {"mean": -0.25, "low": -0.5, "high": -0.125, "n": 8}
    rows = [
        ROW | {"n": 9},
        ROW | {"method": "a_b:C&D", "n": 8, "difference": gap},
        ROW | {"method": "random", "mean": 0.5, "n": 9, "difference": gap | {"high": 0.5}},
    ]
    return {
        "model": "tiny_50%", "dataset": "events", "split": "test", "seed": 1, "scored": 9,
        "correct": 9, "clips": 10, "mask_share": 0.04, "options": {"replacement": "blur"},
        "results": rows, "forwards": {"staa": 1.0, "a_b:C&D": 1234.0, "random": 0.0}, **facts,
    }  # fmt: skip


COST = {
    "model": "m_1", "device": "cpu", "precision": "fp32", "forward_s": 0.01, "rounds": 3,
    "results": [
        {"method": "staa", "passes_per_clip": 1.0, "wall_ratio": 1.23456, "wall_low": 1.0,
         "wall_high": 2.0, "memory_ratio": None, "memory_above_bytes": None},
    ],
}  # fmt: skip


def test_csv_has_a_row_a_method_and_metric_and_nothing_rounded() -> None:
    first, second, _ = csv.DictReader(io.StringIO(quality_text(result(), "csv")))
    assert [*first] == [
        *("method", "metric", "better", "mean", "low", "high", "n"),
        *(f"difference_{name}" for name in ("mean", "low", "high", "n")),
        "passes",
    ]
    assert (first["mean"], first["low"], first["n"]) == ("0.123456789", "-0.05", "9")
    assert (first["better"], first["difference_mean"]) == ("higher", "")
    assert (second["method"], second["difference_low"]) == ("a_b:C&D", "-0.5")
    assert second["passes"] == "1234.0"
    assert not quality_text(result(), "csv").endswith("\n")  # printing adds one
    nothing = result(results=[], scored=0, correct=0)
    assert quality_text(nothing, "csv") == ",".join(first)
    assert "tabular" not in quality_text(nothing, "latex")


def test_markdown_is_what_the_file_has() -> None:
    assert quality_text(result(), "markdown") == markdown(quality_parts(result()))


def test_latex_has_the_figures_of_the_table_and_escapes_what_latex_would_read() -> None:
    text = quality_text(result(), "latex")
    means, gaps = re.findall(r"\\begin\{tabular\}\{(lr+)\}\n(.*?)\\end\{tabular\}", text, re.DOTALL)
    assert (means[0], gaps[0]) == ("lrr", "lr")
    assert means[1].splitlines() == [
        r"\hline",
        r"method & passes & pointing $\uparrow$ \\",
        r"\hline",
        r"staa & 1 & 0.12 ($-$0.05 to 0.20) ! \\",
        r"a\_b:C\&D & 1,234 & 0.12 ($-$0.05 to 0.20) ! \\",
        r"random & 0 & 0.50 ($-$0.05 to 0.20) \\",
        r"\hline",
    ]
    assert r"a\_b:C\&D & $-$0.250 ($-$0.500 to $-$0.125) * \\" in gaps[1]
    assert text.startswith(r"tiny\_50\% on events (test), seed 1: ")
    assert r"Difference to \texttt{staa}, clip by clip" in text
    assert not re.search(r"(?<!\\)[%#]", text)


def test_latex_reads_every_character_as_it_is() -> None:
    assert latex([r"50 % of $x_1 #2 {a}^~ \end <b>"]) == (
        r"50 \% of \$x\_1 \#2 \{a\}\textasciicircum{}\textasciitilde{} "
        r"\textbackslash{}end $<$b$>$"
    )


def test_costs_have_the_same_formats() -> None:
    (row,) = csv.DictReader(io.StringIO(cost_text(COST, "csv")))
    assert (row["method"], row["wall_ratio"], row["memory_ratio"]) == ("staa", "1.23456", "")
    assert "| staa | 1 | 1.23 (1.00 to 2.00) | - | - |" in cost_text(COST, "markdown")
    assert r"staa & 1 & 1.23 (1.00 to 2.00) & - & - \\" in cost_text(COST, "latex")
    assert cost_text(COST, "latex").startswith(r"m\_1 on cpu")


def test_the_command_prints_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["benchmark", "quality", "--methods", "random,center", "--metrics", "pointing"]
    line += ["--clips", "2", "-q", "--into", str(tmp_path)]
    assert run([*line, "--format", "csv"]) == 0
    rows = [*csv.DictReader(io.StringIO(capsys.readouterr().out))]
    kept = json.loads((tmp_path / "benchmark.json").read_text())["results"]
    assert [float(row["mean"]) for row in rows] == [row["mean"] for row in kept]
    assert run([*line, "--format", "markdown"]) == 0
    assert capsys.readouterr().out == (tmp_path / "benchmark.md").read_text()
    loud = [word for word in line if word != "-q"]
    assert run([*loud, "--format", "csv"]) == 0
    table, said = capsys.readouterr()
    assert [*csv.DictReader(io.StringIO(table))] == rows
    assert "on events (test), seed 0: " in said


@pytest.mark.parametrize("part", ["quality", "cost"])
@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--format", "xml"), ("unknown format 'xml'", "csv, latex, markdown")),
        (("--format", "CSV"), ("unknown format 'CSV'", "did you mean 'csv'?")),
        (("--format", "csv", "--json"), ("contradict each other",)),
    ],
)
def test_an_unknown_format_or_two_at_once_are_refused(
    part: str, flags: tuple[str, ...], words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["benchmark", part, *flags]) == 2
    told = capsys.readouterr().err
    assert all(word in told for word in words)
