"""What a benchmark writes: a table, numbers, and a picture."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from staa_cli.methods import list_methods
from staa_cli.render import scatter
from staa_cli.render.layout import Box
from staa_cli.render.scatter import scatter_image
from staa_cli.report.benchmark import beats_baselines, markdown, undefined, write_results


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
    return {**facts, "correct": 9, "clips": 10, "options": {"fill": "blur"}, "results": rows} | {
        "forwards": {"staa": 1.0, "rollout": 100.0, "random": 0.0}
    }


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
    assert "123 (-0.00251 to 0.35)" in markdown(source)


def test_scores_that_do_not_exist_on_every_clip_are_told_of() -> None:
    assert undefined(result(), ["pointing", "deletion"]) == ""
    found = result()
    found["results"][2]["n"] = 8
    for deletion in found["results"][1::2]:
        deletion["n"] = 7
    assert undefined(found, ["pointing"]).endswith(": pointing of rollout (8)")
    assert "fewer: pointing of rollout (8), deletion (7).\n" in markdown(found)


def test_nothing_is_to_be_beaten_where_asking_no_model_is_perfect() -> None:
    rows = [row("staa", "frozen", 0.2), row("centre", "frozen", 0.0)]
    assert beats_baselines({"results": rows}, "staa", "frozen") is None


def test_the_table_marks_what_does_not_beat_the_baselines_and_which_way_is_better() -> None:
    text = markdown(result())
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
    _, told = markdown(result() | {"results": rows}).split("Difference to `staa`")
    assert "| rollout | -0.800 (-0.900 to -0.700) * |" in told
    assert "| random | +0.000 (-0.125 to +0.125) |" in told
    assert "| staa |" not in told


def test_files_are_written(tmp_path: Path) -> None:
    paths = write_results(result(), tmp_path)
    assert [path.name for path in paths] == ["benchmark.json", "benchmark.md"]
    assert json.loads(paths[0].read_text())["correct"] == 9


def test_marks_stand_where_their_numbers_are() -> None:
    costs = result()["forwards"]
    image = np.asarray(scatter_image(result(), "pointing")).astype(int)
    area = scatter._AREA
    for method, mean, colour in (
        ("staa", 0.9, scatter._OWN),
        ("rollout", 0.1, scatter._OTHER),
        ("random", 0.2, scatter._BASELINE),
    ):
        top = 0.95 + 0.06 * 0.95
        x = scatter._x(costs[method], 100.0)
        y = round(area.top + (1 - mean / top) * area.height)
        assert np.abs(image[y, x] - colour).max() < 12


@pytest.mark.parametrize("mean", [0.0, -0.5])
def test_a_picture_of_nothing_above_zero_is_drawn(mean: float) -> None:
    alone = {"method": "centre", "metric": "pointing", "mean": mean, "low": mean, "high": mean}
    facts = result() | {"results": [alone], "forwards": {"centre": 0.0}}
    assert scatter_image(facts, "pointing").size == (1600, 900)


def test_names_of_many_methods_touch_nothing_and_stay_inside() -> None:
    costs = {row["name"]: row["passes_per_clip"] for row in list_methods()}
    means = np.random.default_rng(0).uniform(0.6, 0.95, len(costs))
    rows = [row(name, "pointing", mean) for name, mean in zip(costs, means, strict=True)]
    marks = scatter._marks(rows, costs, 0.0, 1.0, max(costs.values()))
    names = scatter._places(marks)
    dots = [Box(m.x - 9, m.y - 9, m.x + 9, m.y + 9) for m in marks]
    for number, one in enumerate(names):
        assert not any(scatter._touch(one, other) for other in [*names[:number], *dots])
        assert scatter._AREA.left <= one.left < one.right <= scatter._AREA.right
        assert scatter._AREA.top <= one.top < one.bottom <= scatter._AREA.bottom


def test_lines_to_names_of_neighbours_do_not_cross() -> None:
    costs = {"staa-class": 1, "rollout": 1, "staa-logit": 1, "staa": 1, "staa-value": 1}
    costs |= {"grad-attention": 3}
    means = dict(zip(costs, (0.91, 0.9, 0.88, 0.85, 0.83, 0.9), strict=True))
    rows = [row(name, "pointing", mean) for name, mean in means.items()]
    rows = [each | {"low": each["mean"] - 0.04, "high": each["mean"] + 0.03} for each in rows]
    marks = scatter._marks(rows, costs, -0.46, 1.01, 513.0)
    middles = [((b.left + b.right) / 2, (b.top + b.bottom) / 2) for b in scatter._places(marks)]
    lines = [(np.array([m.x, m.y]), np.array(to)) for m, to in zip(marks, middles, strict=True)]
    along = np.linspace(0, 1, 300)[:, None]
    for (a, b), (c, d) in combinations(lines, 2):
        one, other = a + along * (b - a), c + along * (d - c)
        assert np.linalg.norm(one[:, None] - other, axis=-1).min() > 2
