"""What is drawn on the frames of a stream."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from live_streams import Collected, run_stream

from staa_cli.config.settings import RenderSettings
from staa_cli.live.overlay import LatestMaps, clock, live_look
from staa_cli.models.load import load_model
from staa_cli.render import text
from staa_cli.video.pixels import YuvPlanes

VIEWS = ("heat", "side-by-side", "map", "contour")


@pytest.fixture(scope="module")
def stream() -> Collected:
    video = Path(__file__).parents[2] / "sample_videos" / "hop.mp4"
    return run_stream(video, load_model("tiny-events"), hop=12)


def gray(stream: Collected) -> YuvPlanes:
    height, width = stream.drawn[0].plain.y.shape
    chroma = np.full((2, height // 2, width // 2), 128, np.uint8)
    return YuvPlanes(np.full((height, width), 120, np.uint8), chroma[0], chroma[1], "bt709")


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("place", ["below", "over", "none"])
def test_pictures_keep_their_size(stream: Collected, view: str, place: str) -> None:
    settings = replace(RenderSettings(), view=view, strip=place)  # type: ignore[arg-type]
    plain = gray(stream)
    for latest in stream.latest:
        maps = LatestMaps(latest.explained, latest.recent, live_look(settings))
        assert maps.draw(5.0, plain).y.shape == plain.y.shape


def test_newer_frames_have_the_heat_of_the_last_one_that_was_seen(stream: Collected) -> None:
    settings = replace(RenderSettings(), strip="none")
    latest, plain = stream.latest[-1], gray(stream)
    maps = LatestMaps(latest.explained, latest.recent, settings)
    end_s = latest.explained.window.completed.time_s
    now, later = (maps.draw(end_s + age, plain) for age in (0.0, 3.0))
    np.testing.assert_array_equal(now.y, later.y)
    assert (now.y != plain.y).any()
    np.testing.assert_array_equal(plain.y, 120)


def test_the_age_of_the_maps_and_their_window_are_on_the_picture(
    stream: Collected, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    write = text.write

    def note(image: Any, box: Any, words: str, *rest: Any) -> None:
        written.append(words)
        write(image, box, words, *rest)

    monkeypatch.setattr("staa_cli.render.strip.write", note)
    latest = stream.latest[-1]
    maps = LatestMaps(latest.explained, latest.recent, live_look(RenderSettings()))
    clip = latest.explained.window.clip
    maps.draw(clip.end_s + 0.4, gray(stream))
    assert "maps 0.4 s old" in written
    assert clock(clip.end_s + 0.4) in written
    assert maps.age_s(clip.end_s + 0.4) == pytest.approx(0.4)
    assert maps.age_s(clip.end_s - 0.4) == 0


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0:00.0"), (9.96, "0:10.0"), (59.96, "1:00.0"), (61.25, "1:01.2"), (3723.5, "1:02:03.5")],
)
def test_a_clock_counts_from_the_beginning(seconds: float, words: str) -> None:
    assert clock(seconds) == words
