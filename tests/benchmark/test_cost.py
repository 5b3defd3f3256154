"""What methods cost: counted passes, and ratios that could not be otherwise."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from staa_cli.benchmark.cost import measure_cost, peak_in_child
from staa_cli.cli.app import run
from staa_cli.errors import UnavailableError, UsageError
from staa_cli.methods import Options
from staa_cli.models.load import LoadedModel, load_model


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return load_model("test_timesformer", device="cpu")


def test_passes_are_counted_and_time_grows_with_them(model: LoadedModel) -> None:
    steps: list[tuple[int, int]] = []
    found = measure_cost(
        model,
        ["staa", "grad-attention", "frame-shapley", "random"],
        rounds=3,
        memory=False,
        on_progress=lambda *step: steps.append(step),
    )
    rows = {row["method"]: row for row in found["results"]}
    passes = {name: row["passes_per_clip"] for name, row in rows.items()}
    assert passes == {"staa": 1, "grad-attention": 3, "frame-shapley": 17, "random": 0}
    assert rows["frame-shapley"]["wall_ratio"] > rows["staa"]["wall_ratio"]
    assert rows["staa"]["memory_ratio"] is None
    assert found["forward_s"] > 0
    assert steps == [(n, 20) for n in range(1, 21)]


@pytest.mark.slow
def test_memory_is_that_of_a_process_of_its_own(model: LoadedModel) -> None:
    found = measure_cost(model, ["staa"], rounds=1)
    assert 0.9 < found["results"][0]["memory_ratio"] < 1.1


@pytest.mark.slow
def test_memory_is_measured_with_the_options_that_were_asked_for() -> None:
    """Many copies at once take far more than one clip."""
    bundled = load_model("tiny-events")
    few = peak_in_child(bundled, "staa", Options())
    many = peak_in_child(bundled, "kernel-shap", Options(samples=80))
    assert many - few > 20 * 2**20
    with pytest.raises(UnavailableError, match="with 3 samples"):
        peak_in_child(bundled, "kernel-shap", Options(samples=3))


@pytest.mark.slow
def test_a_child_that_fails_is_told_in_one_line(model: LoadedModel) -> None:
    with pytest.raises(UnavailableError, match="cannot measure the memory of nonsense"):
        peak_in_child(model, "nonsense", Options())
    with pytest.raises(UsageError, match="nonsense"):
        measure_cost(model, ["nonsense"])


def test_the_command_prints_a_table_or_json(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    line = "benchmark cost --model test_timesformer --methods staa,random --rounds 1 --no-memory"
    assert run(line.split()) == 0
    assert "TIME / PLAIN" in capsys.readouterr().out
    assert run([*line.split(), "--json", "--into", str(tmp_path / "new")]) == 0
    assert "| method | passes | time / plain |" in (tmp_path / "new" / "cost.md").read_text()
    (row, _) = json.loads((tmp_path / "new" / "cost.json").read_text())["results"]
    assert row["wall_low"] <= row["wall_ratio"] <= row["wall_high"]
    told = json.loads(capsys.readouterr().out)
    assert [row["method"] for row in told["results"]] == ["staa", "random"]
