"""One clip, from pictures or from what a model takes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from small_videos import pictures

from staa_cli.api import explain_clip
from staa_cli.errors import InputError, UsageError
from staa_cli.methods import Options
from staa_cli.models.load import LoadedModel


def test_pictures_and_their_tensor_give_the_same(model: LoadedModel) -> None:
    frames = np.stack(pictures(4))
    one, two = explain_clip(model, frames), explain_clip(model, model.preprocess(frames))
    np.testing.assert_array_equal(one.attribution.values, two.attribution.values)
    np.testing.assert_array_equal(one.prediction.scores, two.prediction.scores)
    assert one.attribution.values.shape == (4, 4, 4)
    assert one.attribution.layers


def test_clips_of_another_length(model: LoadedModel) -> None:
    for count in (1, 2, 7):
        values = explain_clip(model, np.stack(pictures(count))).attribution.values
        assert values.shape == (count, 4, 4)


@pytest.mark.parametrize(
    "frames",
    [
        np.zeros((0, 48, 64, 3), np.uint8),
        np.zeros((4, 48, 64, 3), np.float32),
        np.zeros((48, 64, 3), np.uint8),
        torch.zeros(4, 48, 64, 3, dtype=torch.uint8),
        torch.zeros(1, 4, 3, 48, 64),
        torch.zeros(2, 4, 3, 32, 32),
        torch.zeros(4, 3, 32, 32),
        torch.zeros(1, 0, 3, 32, 32),
    ],
    ids=lambda frames: f"{frames.dtype} {list(frames.shape)}",
)
def test_what_is_no_clip_is_told(model: LoadedModel, frames: Any) -> None:
    with pytest.raises(InputError):
        explain_clip(model, frames)


def test_options_reach_the_method(model: LoadedModel) -> None:
    frames = np.stack(pictures(4))
    found = explain_clip(model, frames, method="rollout", options=Options(layers=(0,)))
    assert found.attribution.layers == (0,)
    with pytest.raises(UsageError, match="no block 9"):
        explain_clip(model, frames, options=Options(layers=(9,)))
    with pytest.raises(UsageError, match="unknown method"):
        explain_clip(model, frames, method="saliency")


def test_a_clip_comes_with_the_warnings_of_a_video(model: LoadedModel) -> None:
    frames = np.stack(pictures(4))
    assert explain_clip(model, frames).warnings == ()
    (told,) = explain_clip(model, np.stack(pictures(7))).warnings
    assert told.code == "untrained-size"
    assert "clips have 7 frames" in told.text
    asked_for: dict[str, Any] = {
        "target": 1,
        "method": "staa",
        "options": Options(replacement="black"),
    }
    codes = [each.code for each in explain_clip(model, frames, **asked_for).warnings]
    assert codes == ["class-blind-method", "setting-without-effect"]
