"""Storyboard and GIF: the right frames, in a file that others can open."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from explanations import explanation
from PIL import Image
from stills import gif

from staa_cli.config.settings import RenderSettings
from staa_cli.errors import OutputError
from staa_cli.render.animation import gif_indices
from staa_cli.render.storyboard import storyboard, storyboard_image, storyboard_indices
from staa_cli.schema import Moment

SETTINGS = RenderSettings()


def moments(*peaks_s: float) -> tuple[Moment, ...]:
    return tuple(
        Moment(t - 0.2, t, t + 0.2, 1.0, 0.2, (0.5, 0.5), (0.4, 0.4, 0.6, 0.6)) for t in peaks_s
    )


def frames(indices: Iterable[int], size: tuple[int, int] = (320, 180)) -> dict[int, np.ndarray]:
    """Pictures whose gray says which frame they are."""
    return {i: np.full((size[1], size[0], 3), 30 + i % 180, np.uint8) for i in indices}


def test_storyboard_asks_for_the_peaks_in_order_of_time() -> None:
    source = dataclasses.replace(explanation(), moments=moments(8.0, 1.0, 4.5))
    assert storyboard_indices(source) == [30, 135, 240]


def test_storyboard_takes_six_moments_at_most() -> None:
    source = dataclasses.replace(explanation(), moments=moments(*range(9)))
    assert storyboard_indices(source) == [0, 30, 60, 90, 120, 150]


def test_stills_of_a_stretch_are_of_that_stretch_alone() -> None:
    source = dataclasses.replace(explanation(frames=900, part=(300, 600)), moments=())
    for indices in (storyboard_indices(source), gif_indices(source)):
        assert indices == sorted(indices)
        assert 300 <= indices[0] < indices[-1] < 600
    peaked = dataclasses.replace(source, moments=moments(12.0))
    assert storyboard_indices(peaked) == [360]


def test_a_storyboard_shows_what_the_model_looked_at() -> None:
    source = dataclasses.replace(explanation(frames=900, clip_starts=[0, 600]), moments=())
    indices = storyboard_indices(source)
    assert source.frames.covered[indices].all()
    assert indices[0] < 49 < 594 <= indices[-1]


def test_a_gif_without_moments_is_around_the_peak() -> None:
    source = explanation(frames=3000)
    temporal = dataclasses.replace(source.temporal, peak_s=60.0)
    indices = gif_indices(dataclasses.replace(source, moments=(), temporal=temporal))
    assert indices[0] / 30 == pytest.approx(56, abs=0.1)
    assert indices[-1] / 30 == pytest.approx(64, abs=0.15)


@pytest.mark.parametrize("rate", [24.0, 25.0, 29.97, 8.0])
def test_a_gif_lasts_as_long_as_what_it_shows(rate: float, tmp_path: Path) -> None:
    source = explanation(frames=int(4 * rate), rate=rate)
    gif(source, frames(gif_indices(source)), tmp_path / "a.gif", SETTINGS)
    with Image.open(tmp_path / "a.gif") as image:
        lasted = 0
        for number in range(image.n_frames):  # type: ignore[attr-defined]
            image.seek(number)
            lasted += image.info["duration"]
    assert lasted == pytest.approx(1000 * source.end_s, abs=20)


def test_stills_have_square_pixels(tmp_path: Path) -> None:
    wide = dataclasses.replace(explanation().video, sample_aspect_ratio=(4, 3))
    source = dataclasses.replace(explanation(), video=wide)
    gif(source, frames(gif_indices(source)), tmp_path / "a.gif", RenderSettings(strip="none"))
    with Image.open(tmp_path / "a.gif") as image:
        assert image.width / image.height == pytest.approx(16 / 9 * 4 / 3, rel=0.01)
    board = storyboard_image(source, frames(storyboard_indices(source)), SETTINGS)
    plain = storyboard_image(explanation(), frames(storyboard_indices(source)), SETTINGS)
    assert board.height < plain.height


def test_a_peak_that_is_no_moment_is_on_the_storyboard() -> None:
    source = dataclasses.replace(explanation(), moments=())
    spread = storyboard_indices(source)
    for peak_s in (0.0, 5.01, 9.97):
        temporal = dataclasses.replace(source.temporal, peak_s=peak_s)
        indices = storyboard_indices(dataclasses.replace(source, temporal=temporal))
        assert round(30 * peak_s) in indices
        assert len(indices) == 6
        assert len(set(indices) & set(spread)) == 5


def test_storyboard_without_moments_spreads_its_frames() -> None:
    assert storyboard_indices(explanation(flat=True)) == [25, 75, 125, 175, 225, 275]
    assert storyboard_indices(explanation(frames=1, flat=True)) == [0]


@pytest.mark.parametrize("size", [(320, 180), (161, 121), (108, 192), (20, 300)])
@pytest.mark.parametrize("peaks", [(), (5.0,), (1.0, 5.0, 7.0, 9.0)])
def test_storyboard_shows_every_frame_that_it_asked_for(
    size: tuple[int, int], peaks: tuple[float, ...], tmp_path: Path
) -> None:
    source = dataclasses.replace(
        explanation(size=size, strength=lambda t: 0.0, box=(0.0, 0.0, 1.0, 1.0)),
        moments=moments(*peaks),
    )
    indices = storyboard_indices(source)
    storyboard(source, frames(indices, size), tmp_path / "storyboard.png", SETTINGS)
    with Image.open(tmp_path / "storyboard.png") as image:
        levels, counts = np.unique(np.asarray(image)[..., 0], return_counts=True)
    large = set(levels[counts > 400].tolist())
    for index in indices:
        assert large & set(range(29 + index % 180, 32 + index % 180)), index


def test_gif_of_a_short_video_shows_all_of_it_ten_times_a_second() -> None:
    indices = gif_indices(explanation(frames=90))
    assert indices == list(range(0, 90, 3))


def test_gif_of_a_long_video_stays_around_its_moments_and_under_eight_seconds() -> None:
    source = dataclasses.replace(explanation(frames=9000), moments=moments(100.0, 250.0))
    times = source.frames.times_s[gif_indices(source)]
    assert 70 <= len(times) <= 81
    assert np.abs(times[:, None] - [100, 250]).min(axis=1).max() <= 2.05
    assert np.abs(times - 100).min() < 0.06
    assert np.abs(times - 250).min() < 0.06


def test_gif_of_a_slow_video_takes_each_frame_once_for_its_true_time(tmp_path: Path) -> None:
    source = explanation(size=(64, 48), frames=5, rate=2.0, clip_starts=[0], stride=1)
    indices = gif_indices(source)
    assert indices == [0, 1, 2, 3, 4]
    gif(source, frames(indices, (64, 48)), tmp_path / "a.gif", SETTINGS)
    with Image.open(tmp_path / "a.gif") as image:
        image.seek(1)
        assert image.info["duration"] == 500


def test_gif_opens_with_all_its_frames_at_480_pixels(tmp_path: Path) -> None:
    source = explanation(size=(960, 540), frames=30)
    indices = gif_indices(source)
    gif(source, frames(indices, (960, 540)), tmp_path / "a.gif", SETTINGS)
    with Image.open(tmp_path / "a.gif") as image:
        assert image.size[0] == 480
        assert 270 < image.size[1] < 340  # the strip stands below
        assert image.n_frames == len(indices)  # type: ignore[attr-defined]
        assert image.info["loop"] == 0
        image.seek(image.n_frames - 1)  # type: ignore[attr-defined]
        corner = np.asarray(image.convert("RGB"))[100, 2].astype(int)
    assert np.ptp(corner) <= 6
    assert 20 < corner[0] < 30 + indices[-1]


def test_equal_input_gives_equal_bytes(tmp_path: Path) -> None:
    source = explanation(size=(160, 90), frames=30)
    for name in ("a", "b"):
        indices = gif_indices(source)
        gif(source, frames(indices, (160, 90)), tmp_path / f"{name}.gif", SETTINGS)
        indices = storyboard_indices(source)
        storyboard(source, frames(indices, (160, 90)), tmp_path / f"{name}.png", SETTINGS)
    for ending in ("gif", "png"):
        assert (tmp_path / f"a.{ending}").read_bytes() == (tmp_path / f"b.{ending}").read_bytes()


@pytest.mark.parametrize("write", [storyboard, gif])
def test_a_picture_that_cannot_be_written_leaves_no_part(write: Any, tmp_path: Path) -> None:
    source = explanation(size=(64, 48), frames=9)
    target = tmp_path / "taken"
    target.mkdir()
    with pytest.raises(OutputError, match="taken"):
        write(source, frames(range(9), (64, 48)), target, SETTINGS)
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
