"""The names that other programs import, as the documentation shows their use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from small_videos import asked, film, pictures

import staa_cli


def test_every_public_name_is_there() -> None:
    for name in staa_cli.__all__:
        assert getattr(staa_cli, name) is not None
    with pytest.raises(AttributeError, match="explain_picture"):
        staa_cli.explain_picture  # noqa: B018


def test_a_prompt_completes_the_public_names_and_no_others() -> None:
    assert dir(staa_cli) == sorted(staa_cli.__all__)


def test_importing_costs_nothing() -> None:
    code = "import sys, staa_cli; print(*({'torch', 'timm', 'av', 'numpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_a_clip_as_the_documentation_shows_it() -> None:
    from staa_cli import explain_clip, load_model

    model = load_model("test_timesformer")
    frames = np.stack(pictures(model.input.frames))
    result = explain_clip(model, frames, target=None, method="staa")
    assert result.attribution.values.shape == model.layout.grid
    assert result.attribution.values.dtype == np.float32
    assert result.prediction.label == model.labels[result.prediction.target]
    assert sum(p for _, _, p in result.prediction.top(len(model.labels))) == pytest.approx(1)
    logits = model.module(model.place(model.preprocess(frames)))
    assert int(logits.argmax()) == result.prediction.target


def test_a_video_as_the_documentation_shows_it(tmp_path: Path) -> None:
    from staa_cli import Explanation, explain_video

    film(tmp_path / "video.mp4", 12)
    explanation = explain_video(tmp_path / "video.mp4", model="test_timesformer")
    assert isinstance(explanation, Explanation)
    assert "\n" not in repr(explanation)
    assert "video.mp4" in repr(explanation)
    assert explanation.prediction.label in repr(explanation)
    assert len(repr(explanation)) < 300
    assert explanation.model.name == "test_timesformer"
    assert explanation.settings["model"] == "test_timesformer"
    paths = explanation.save(tmp_path / "out", asked())
    assert paths == (tmp_path / "out" / "report.json",)
    again = explain_video(str(tmp_path / "video.mp4"), settings=asked(), method="rollout")
    assert again.attributions[0].method == "rollout"


def test_methods_are_listed() -> None:
    assert "staa" in [row["name"] for row in staa_cli.list_methods()]
