"""What a video is said to cost is what it costs: counted by a hook on the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from small_videos import asked, film

from staa_cli.api import explain_video
from staa_cli.cli.costs import in_words, long_video_hint
from staa_cli.config.settings import (
    Loaded,
    MethodSettings,
    SamplingSettings,
    Settings,
    load_settings,
)
from staa_cli.evaluation.comparison import compare_video
from staa_cli.explain.pipeline import PLANNING
from staa_cli.jobs.outcome import Workload
from staa_cli.jobs.workload import time_frame, time_pass, workload
from staa_cli.models.load import LoadedModel, load_model
from staa_cli.video.probe import probe


@pytest.fixture
def model() -> LoadedModel:
    return load_model("test_timesformer", device="cpu")


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return film(tmp_path_factory.mktemp("films") / "walk.mp4", 24)


class Counter:
    """Clips that the model is asked about, and how many clips the plan had."""

    def __init__(self, model: LoadedModel) -> None:
        self.asked = self.clips = 0
        model.module.register_forward_pre_hook(self._hook)

    def _hook(self, module: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        self.asked += len(given[0])

    def tell(self, stage: str, done: int, total: int) -> None:
        if stage == PLANNING:
            self.clips = total


@pytest.mark.parametrize(
    ("method", "output"),
    [
        ("staa", {}),
        ("rollout", {"faithfulness": True}),
        ("frame-drop", {}),
        ("frame-shapley", {"quick_faithfulness": True}),
        ("random", {}),
    ],
)
def test_passes_are_as_many_as_were_said(
    video: Path, model: LoadedModel, method: str, output: dict[str, Any]
) -> None:
    settings = asked(output=output, method=MethodSettings(method))
    counter = Counter(model)
    found = explain_video(video, model, settings=settings, on_progress=counter.tell)
    told = workload(counter.clips, model, settings, [method], settings.output.depth)
    assert told.clips == counter.clips == 4
    if found.faithfulness is None:
        assert (counter.asked, told.faithfulness_passes) == (told.passes, 0)
    else:  # of four clips at most, and beside the copies a pass a baseline
        checked = len(found.faithfulness.clips)
        assert counter.asked == told.passes + told.faithfulness_passes / 4 * checked + 3 * checked


def test_a_backward_pass_counts_as_two(model: LoadedModel) -> None:
    assert workload(7, model, Settings(), ["grad-attention"], None).passes == 7 * 3


def test_a_comparison_costs_what_was_said(video: Path, model: LoadedModel) -> None:
    counter, settings = Counter(model), asked()
    methods = ("staa", "rollout")
    found = compare_video(
        video, model, methods=methods, settings=settings, depth="quick", on_progress=counter.tell
    )
    told = workload(counter.clips, model, settings, methods, "quick")
    assert told.faithfulness_passes == 4 * (2 + 18 * (len(methods) + 3))
    checked = len(found.faithfulness[0].clips)
    assert counter.asked == told.passes + told.faithfulness_passes / 4 * checked + 3 * checked


def test_words() -> None:
    assert in_words(Workload(1124, 1124, 0, None)) == "1,124 clips, 1,124 passes"
    assert in_words(Workload(1, 1, 0, None)) == "1 clip, 1 pass"
    assert in_words(Workload(4, 4, 352, None)) == (
        "4 clips, 356 passes (4 explain, up to 352 measure faithfulness)"
    )


def test_a_long_video_names_the_preset_unless_somebody_has_chosen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def loaded(config: str | None = None, **flags: str) -> Loaded:
        return load_settings(config, {name.replace("__", "."): v for name, v in flags.items()}, {})

    long = Workload(1124, 3 * 1124, 0, 750.0)
    told = long_video_hint(long, loaded())
    assert told is not None
    assert "12:30" in told
    assert "--config long-video needs 120 clips, 360 passes" in told
    assert long_video_hint(Workload(500, 500, 0, 299.0), loaded()) is None
    assert long_video_hint(Workload(500, 500, 0, None), loaded()) is None
    assert long_video_hint(long, loaded("fast")) is None
    assert long_video_hint(long, loaded(sampling__strategy="dense")) is None


def test_the_stretch_that_clips_cover_is_about_the_video_s(video: Path, model: LoadedModel) -> None:
    counter, settings = Counter(model), asked()
    explain_video(video, model, settings=settings, on_progress=counter.tell)
    told = workload(counter.clips, model, settings, ["staa"], None)
    assert told.dense_s is not None
    assert 0 < told.dense_s <= probe(video).duration_s


def test_steps_longer_than_a_clip_look_at_no_whole(video: Path, model: LoadedModel) -> None:
    assert (
        workload(9, model, asked(sampling=SamplingSettings(hop=1.0)), ["staa"], None).dense_s
        is not None
    )
    assert (
        workload(9, model, asked(sampling=SamplingSettings(hop=1.1)), ["staa"], None).dense_s
        is None
    )


def test_a_trial_takes_time(video: Path, model: LoadedModel) -> None:
    assert 0 < time_pass(model, asked()) < 60
    assert 0 < time_pass(model, asked(method=MethodSettings("frame-drop"))) < 60
    assert 0 < time_frame(probe(video), asked()) < 1
