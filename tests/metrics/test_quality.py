"""The benchmark: what it counts, on a model that is right for a known reason."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from staa_cli.cli import run
from staa_cli.errors import UsageError
from staa_cli.metrics.quality import BASELINES, _rows, make_clips, measure_quality
from staa_cli.models.loading import LoadedModel, load_model
from staa_cli.synthetic.events import LABELS


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return load_model("tiny-events")


def test_clips_follow_from_seed_and_split_and_labels_are_even() -> None:
    first = list(make_clips("events", 16, seed=3))
    again = list(make_clips("events", 16, seed=3))
    other = list(make_clips("events", 16, seed=3, split="development"))
    assert all(np.array_equal(a.frames, b.frames) for a, b in zip(first, again, strict=True))
    assert not any(np.array_equal(a.frames, b.frames) for a, b in zip(first, other, strict=True))
    assert sorted(clip.label for clip in first) == sorted([*range(1, 9)] * 2)


def test_the_table_has_every_method_and_metric_and_its_numbers_are_in_range(
    model: LoadedModel,
) -> None:
    result = measure_quality(model, methods=("staa", *BASELINES), clips=24, seed=5)
    assert (result["dataset"], result["seed"], result["clips"]) == ("events", 5, 24)
    assert 0 < result["correct"] <= 24
    assert result["accuracy"] == result["correct"] / 24
    assert 0.02 < result["mask_share"] < 0.06
    pairs = {(row["method"], row["metric"]) for row in result["results"]}
    metrics = ("pointing", "energy", "temporal_auc", "iou")
    assert pairs == {(m, s) for m in ("staa", *BASELINES) for s in metrics}
    for row in result["results"]:
        assert 0 <= row["low"] <= row["mean"] <= row["high"] <= 1
        assert row["n"] <= result["correct"]


def test_only_clips_that_are_classified_correctly_are_scored(model: LoadedModel) -> None:
    class Always(torch.nn.Module):
        """Answers the third event whatever it sees."""

        def forward(self, clips: Tensor) -> Tensor:
            return torch.eye(len(LABELS))[3].expand(len(clips), -1)

        def attention_layers(self) -> dict[tuple[str, int], torch.nn.Module]:
            return {}

    blind = replace(model, module=Always())
    result = measure_quality(blind, methods=("random",), metrics=("pointing",), clips=32, seed=1)
    assert result["correct"] == 4  # of eight labels, four clips each
    assert result["results"][0]["n"] == 4


def test_random_scores_what_chance_gives(model: LoadedModel) -> None:
    result = measure_quality(model, methods=("random",), clips=64, seed=2)
    means = {row["metric"]: row["mean"] for row in result["results"]}
    assert means["energy"] == pytest.approx(result["mask_share"], abs=0.01)
    assert means["temporal_auc"] == pytest.approx(0.5, abs=0.12)


def test_unknown_names_and_other_models_are_refused(model: LoadedModel) -> None:
    with pytest.raises(UsageError, match="unknown data set 'event'"):
        measure_quality(model, dataset="event")
    with pytest.raises(UsageError, match="unknown metric 'point'"):
        measure_quality(model, metrics=("point",))
    with pytest.raises(UsageError, match="not trained on event clips"):
        measure_quality(load_model("test_timesformer"))


def test_the_command_prints_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    line = "benchmark quality --methods staa,random --metrics pointing --clips 8 --seed 1 --json"
    assert run(line.split()) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["schema_version"] == 1
    assert [row["method"] for row in result["results"]] == ["staa", "random"]
    assert set(result["results"][0]) == {"method", "metric", "mean", "low", "high", "n"}


def test_a_metric_that_says_nothing_about_any_clip_is_left_out() -> None:
    assert _rows({("random", "iou"): [float("nan")], ("random", "energy"): [0.5]}, "random", 0) == [
        {"method": "random", "metric": "energy", "mean": 0.5, "low": 0.5, "high": 0.5, "n": 1}
    ]
