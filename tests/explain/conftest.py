"""A small model of random weights, and a video that it explains."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_videos import asked, film

from staa_cli.api import Explanation, explain_video
from staa_cli.models.load import LoadedModel, load_model


@pytest.fixture(scope="session")
def model() -> LoadedModel:
    return load_model("test_timesformer", device="cpu")


@pytest.fixture(scope="session")
def wavering(model: LoadedModel) -> LoadedModel:
    """A model that is of another opinion at the end of the video than at its start."""
    other = load_model("test_timesformer", device="cpu")
    other.module.head.weight *= 40
    return other


@pytest.fixture(scope="session")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return film(tmp_path_factory.mktemp("films") / "walk.mp4", 36)


@pytest.fixture(scope="session")
def explained(video: Path, model: LoadedModel) -> Explanation:
    return explain_video(video, model, settings=asked())
