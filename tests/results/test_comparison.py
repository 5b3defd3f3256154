"""A comparison on the disk: its panels, its numbers, and what is in their way."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_videos import HEIGHT, WIDTH, asked, film

from staa_cli.config.settings import Settings
from staa_cli.errors import OutputError
from staa_cli.evaluation.comparison import Comparison, compare_video
from staa_cli.models.load import LoadedModel, load_model
from staa_cli.render.panels import Panels
from staa_cli.results.comparison import save
from staa_cli.video.decode import iter_frames
from staa_cli.video.probe import probe

METHODS = ("rollout", "staa-logit", "random")


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return load_model("test_timesformer", device="cpu")


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return film(tmp_path_factory.mktemp("films") / "walk.mp4", 24)


@pytest.fixture(scope="module")
def compared(video: Path, model: LoadedModel) -> Comparison:
    return compare_video(video, model, methods=METHODS, settings=asked())


def test_panels_and_numbers_are_written(compared: Comparison, tmp_path: Path) -> None:
    settings = asked(output={"annotated": True})
    paths = save(compared, tmp_path / "out", settings)
    assert [path.name for path in paths] == ["compare.mp4", "compare.png", "compare.json"]
    info = probe(paths[0])
    assert info.frames == 24
    panels = Panels(compared.explanations, settings.render)
    assert (info.width, info.height) == panels.size
    row = panels.size[1] // 2  # a picture and the strip below it
    assert panels.size[0] == 2 * WIDTH
    assert row > HEIGHT
    _, picture = next(iter(iter_frames(info, [5])))
    _, source = next(iter(iter_frames(compared.explanations[0].video, [5])))
    difference = np.abs(picture[:HEIGHT, :WIDTH].astype(int) - source)
    assert difference.mean() < 6  # the first panel is the source
    lower = picture[row : row + HEIGHT]
    others = [picture[:HEIGHT, WIDTH:], lower[:, :WIDTH], lower[:, WIDTH:]]
    for panel in others:
        assert np.abs(panel.astype(int) - source).mean() > 3 * difference.mean()
    json.loads(paths[2].read_text())
    first = compared.explanations[0]
    peak = int(first.frames.weighted_score.argmax())
    _, shown = next(iter(iter_frames(info, [peak])))
    with Image.open(paths[1]) as still:
        assert np.abs(np.asarray(still).astype(int) - shown).mean() < 4
    other = next(iter(iter_frames(info, [(peak + 12) % 24])))[1]
    assert np.abs(other.astype(int) - shown).mean() > 4  # or that says nothing


def test_only_numbers_where_no_video_is_wanted(compared: Comparison, tmp_path: Path) -> None:
    assert [p.name for p in save(compared, tmp_path, asked())] == ["compare.json"]


@pytest.mark.parametrize("name", ["compare.mp4", "compare.png", "compare.json"])
def test_what_somebody_else_wrote_is_not_replaced(
    compared: Comparison, tmp_path: Path, name: str
) -> None:
    theirs = tmp_path / name
    theirs.write_text('{"agreement": "mine"}')
    settings = asked(output={"annotated": True})
    with pytest.raises(OutputError, match=rf"{name} is in the way"):
        save(compared, tmp_path, settings)
    assert theirs.read_text() == '{"agreement": "mine"}'
    assert [path.name for path in tmp_path.iterdir()] == [name]
    theirs.unlink()
    for _ in range(2):  # its own are
        assert len(save(compared, tmp_path, settings)) == 3


def test_a_large_source_is_shrunk_to_a_screen(compared: Comparison) -> None:

    large = [
        replace(each, video=replace(each.video, width=3840, height=2160))
        for each in compared.explanations
    ]
    settings = Settings().render
    assert Panels(large, replace(settings, strip="over")).size == (1920, 1080)
    assert Panels(large, settings).size[0] == 1920  # strips below come on top
