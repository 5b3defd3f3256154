"""What a benchmark writes: a table, numbers, and a picture."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from staa_cli.benchmark.tables import (
    beats_baselines,
    markdown,
    quality_parts,
    undefined,
    write_results,
)
from staa_cli.methods import list_methods
from staa_cli.render.scatter import scatter, scatter_chart


def markdown_of(result: dict[str, Any]) -> str:
    return markdown(quality_parts(result)) + "\n"


def row(method: str, metric: str, mean: float) -> dict[str, Any]:
    return {
        "method": method, "metric": metric, "mean": mean, "low": mean - 0.05, "high": mean + 0.05,
        "n": 9,
    }  # fmt: skip


def result() -> dict[str, Any]:
    rows = [
        row("staa", "pointing", 0.9), row("staa", "deletion", 0.3),
        row("rollout", "pointing", 0.1), row("rollout", "deletion", 0.1),
        row("random", "pointing", 0.2), row("random", "deletion", 0.2),
    ]  # fmt: skip
    facts: dict[str, Any] = {
        "model": "tiny-events",
        "dataset": "events",
        "split": "test",
        "seed": 1,
    }
    facts |= {"scored": 9, "mask_share": 0.04}
    return {
        **facts,
        "correct": 9,
        "clips": 10,
        "options": {"replacement": "blur"},
        "results": rows,
    } | {"forwards": {"staa": 1.0, "rollout": 100.0, "random": 0.0}}


@pytest.mark.parametrize(
    ("method", "metric", "wanted"),
    [
        ("staa", "pointing", True),
        ("staa", "deletion", False),  # where lower is better
        ("rollout", "pointing", False),
        ("rollout", "deletion", True),
        ("random", "pointing", None),
        ("staa", "energy", None),
    ],
)
def test_who_beats_every_baseline(method: str, metric: str, wanted: bool | None) -> None:
    assert beats_baselines(result(), method, metric) is wanted


def test_figures_of_raw_values_have_three_digits() -> None:
    source = result() | {"output": "identity"}
    source["results"] = [row("staa", "deletion", 0.3) | {"mean": 123.45, "low": -0.00251}]
    assert "123 (-0.00251 to 0.35)" in markdown_of(source)


def test_scores_that_do_not_exist_on_every_clip_are_told_of() -> None:
    assert undefined(result(), ["pointing", "deletion"]) == ""
    found = result()
    found["results"][2]["n"] = 8
    for deletion in found["results"][1::2]:
        deletion["n"] = 7
    assert undefined(found, ["pointing"]).endswith(": pointing of rollout (8)")
    assert "fewer: pointing of rollout (8), deletion (7).\n" in markdown_of(found)


def alone() -> dict[str, Any]:
    """The only clip has no mask."""
    nothing = {"mean": None, "low": None, "high": None, "n": 0}
    gap = {"mean": -0.5, "low": None, "high": None, "n": 1}
    rows = [
        row(method, "pointing", 0) | nothing for method in ("staa", "random")
    ] + [
        row("staa", "deletion", 0.9) | {"low": None, "high": None, "n": 1},
        row("random", "deletion", 0.4) | {"low": None, "high": None, "n": 1, "difference": gap},
    ]  # fmt: skip
    return result() | {"results": rows, "scored": 1, "correct": 1, "clips": 1}


def test_one_clip_has_neither_intervals_nor_verdicts(tmp_path: Path) -> None:
    text = markdown_of(alone())
    assert "| staa | 1 | - | 0.90 |\n| random | 0 | - | 0.40 |" in text
    assert "| random | - | -0.500 |" in text
    assert "95 %" not in text
    assert "`" not in text.replace("`staa`", "")
    scatter(alone(), "deletion", "lower", tmp_path / "one.png")


def test_a_metric_without_a_score_stays_with_the_reason(tmp_path: Path) -> None:
    why = "undefined on every scored clip: pointing (it needs boxes or a mask within what "
    why += "the model sees)"
    assert undefined(alone(), ["pointing", "deletion"]) == why
    assert f"{why[1:]}.\n" in markdown_of(alone())
    assert [path.name for path in write_results(alone(), tmp_path, "pointing")][2:] == []
    assert [path.name for path in write_results(alone(), tmp_path)][2:] == ["quality.png"]


def test_nothing_is_to_be_beaten_where_asking_no_model_is_perfect() -> None:
    rows = [row("staa", "frozen", 0.2), row("center", "frozen", 0.0)]
    assert beats_baselines({"results": rows}, "staa", "frozen") is None


def test_where_nothing_is_scored_there_is_no_table() -> None:
    text = markdown_of(result() | {"results": [], "scored": 0, "correct": 0})
    assert text.count("\n") == 1
    assert "0 of 10 clips classified correctly and scored" in text


def test_the_table_marks_what_does_not_beat_the_baselines_and_which_way_is_better() -> None:
    text = markdown_of(result())
    assert "| method | passes | pointing ↑ | deletion ↓ |" in text
    assert "| staa | 1 | 0.90 (0.85 to 0.95) | 0.30 (0.25 to 0.35) ! |" in text
    assert "| random | 0 | 0.20 (0.15 to 0.25) | 0.20 (0.15 to 0.25) |" in text


def test_the_table_tells_differences_and_which_of_them_are_sure() -> None:
    rows = [
        row("staa", "pointing", 0.9),
        row("rollout", "pointing", 0.1)
        | {"difference": {"mean": -0.8, "low": -0.9, "high": -0.7, "n": 9}},
        row("random", "pointing", 0.9)
        | {"difference": {"mean": 0.0, "low": -0.125, "high": 0.125, "n": 9}},
    ]
    _, told = markdown_of(result() | {"results": rows}).split("Difference to `staa`")
    assert "| rollout | -0.800 (-0.900 to -0.700) * |" in told
    assert "| random | +0.000 (-0.125 to +0.125) |" in told
    assert "| staa |" not in told


def test_files_are_written(tmp_path: Path) -> None:
    paths = write_results(result(), tmp_path)
    assert [path.name for path in paths] == ["benchmark.json", "benchmark.md", "quality.png"]
    assert json.loads(paths[0].read_text())["correct"] == 9


def drawn(facts: dict[str, Any], metric: str = "pointing", better: str = "higher") -> Any:
    """The chart, its axes, and in pixels where the dots are and where the names are."""
    chart = scatter_chart(facts, metric, better)
    (axes,) = chart.figure.axes
    dots = [line for line in axes.lines if line.get_marker() == "o"]
    renderer = chart.figure.canvas.get_renderer()  # type: ignore[attr-defined]
    methods = {row["method"] for row in facts["results"]}
    names = {
        text.get_text(): text.get_window_extent(renderer)
        for text in chart.figure.texts
        if text.get_text() in methods
    }
    return chart, axes, dots, names


def test_marks_stand_at_their_cost_and_their_mean_with_their_interval() -> None:
    _, axes, dots, _ = drawn(result())
    found = {(round(x), round(y, 2)) for x, y in (np.ravel(d.get_data()) for d in dots)}
    assert found == {(1, 0.9), (100, 0.1), (0, 0.2)}
    bars = [line.get_data() for line in axes.lines if line.get_marker() == "_"]
    spans = {(round(xs[0]), *np.round(sorted(ys), 2).tolist()) for xs, ys in bars}
    assert spans == {(1, 0.85, 0.95), (100, 0.05, 0.15), (0, 0.15, 0.25)}


def test_methods_of_one_cost_stand_above_each_other_in_colors_of_their_own() -> None:
    facts = result() | {"forwards": {"staa": 3.0, "rollout": 3.0, "random": 0.0}}
    _, _, dots, _ = drawn(facts)
    own = [dot for dot in dots if dot.get_xdata()[0] > 1]
    assert {round(float(dot.get_xdata()[0]), 1) for dot in own} == {3.0}
    assert len({dot.get_color() for dot in own}) == 2


@pytest.mark.parametrize(("metric", "better"), [("pointing", "higher"), ("deletion", "lower")])
def test_axes_say_what_they_count_and_which_way_is_better(metric: str, better: str) -> None:
    chart, axes, _, _ = drawn(result(), metric, better)
    words = [text.get_text() for text in chart.figure.texts]
    assert f"{metric} ({better} is better)" in words
    assert "forward passes a clip" in words
    assert "mean and 95 % interval over 9 clips" in words
    assert [t.get_text() for t in axes.get_xticklabels()] == ["0", "1", "10", "100"]


@pytest.mark.parametrize("mean", [0.0, -0.5])
def test_a_picture_of_nothing_above_zero_is_drawn(mean: float, tmp_path: Path) -> None:
    alone = row("center", "pointing", mean) | {"low": mean, "high": mean}
    facts = result() | {"results": [alone], "forwards": {"center": 0.0}}
    for name in ("a.png", "b.png"):
        scatter(facts, "pointing", "higher", tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize("low", [0.0, 0.6, 0.88])
@pytest.mark.parametrize("seed", range(2))
def test_names_of_many_methods_touch_nothing_and_stay_inside(low: float, seed: int) -> None:
    costs = {row["name"]: row["passes_per_clip"] for row in list_methods()}
    means = np.random.default_rng(seed).uniform(low, 0.95, len(costs))
    rows = [row(name, "pointing", mean) for name, mean in zip(costs, means, strict=True)]
    _, axes, dots, names = drawn(result() | {"results": rows, "forwards": costs})
    points = [axes.transData.transform(np.ravel(dot.get_data())) for dot in dots]
    area = axes.get_window_extent()
    assert set(names) == set(costs)
    for one, other in combinations(names.values(), 2):
        assert not one.overlaps(other)
    for box in names.values():
        assert not any(box.contains(*point) for point in points)
        assert area.x0 <= box.x0 < box.x1 <= area.x1
        assert area.y0 <= box.y0 < box.y1 <= area.y1


def test_lines_to_names_of_neighbors_do_not_cross() -> None:
    costs: dict[str, float] = {"staa-class": 1, "rollout": 1, "staa-logit": 1, "staa": 1}
    costs |= {"staa-value": 1, "grad-attention": 3}
    means = (0.91, 0.9, 0.88, 0.85, 0.83, 0.9)
    rows = [row(name, "pointing", mean) for name, mean in zip(costs, means, strict=True)]
    rows.append(row("gradcam", "pointing", -0.4))
    facts = result() | {"results": rows, "forwards": costs | {"gradcam": 3.0, "rise": 513.0}}
    _, axes, _, _ = drawn(facts)
    thin = [line for line in axes.lines if line.get_linewidth() == 0.8]
    lines = [axes.transData.transform(np.array(line.get_data()).T) for line in thin]
    assert len(lines) >= 2
    along = np.linspace(0.05, 1, 300)[:, None]  # dots may touch
    for (a, b), (c, d) in combinations(lines, 2):
        one, other = a + along * (b - a), c + along * (d - c)
        assert np.linalg.norm(one[:, None] - other, axis=-1).min() > 1
