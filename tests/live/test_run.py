"""A running stream: what is drawn, what is dropped, and how it ends."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from live_streams import Collected, run_stream, write_ts

from staa_cli.cli.status import status_line
from staa_cli.config.settings import Settings
from staa_cli.errors import OutputError, UnavailableError
from staa_cli.live.explainer import ExplainedWindow, WindowExplainer
from staa_cli.live.frames import Window
from staa_cli.live.run import Live
from staa_cli.models.load import LoadedModel, load_model
from staa_cli.schema import VideoInfo
from staa_cli.video.encode import write_video

FRAME_S = 1 / 30
PASS_S = 0.2
"""Time of a pass of the slow model: six frames."""


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return load_model("test_timesformer")


@pytest.fixture
def settings() -> Settings:
    """Windows of two frames, a quarter of a second apart."""
    settings = Settings()
    return replace(settings, sampling=replace(settings.sampling, frames=2))


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds with 30 frames a second."""
    path = tmp_path_factory.mktemp("live") / "two-seconds.mp4"
    random = np.random.default_rng(0)
    frames = random.integers(0, 255, (60, 48, 64, 3), np.uint8)
    write_video(path, frames, rate=30, preset="ultrafast")
    return path


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each window takes as long as six frames."""
    explain = WindowExplainer.explain

    def slowly(self: WindowExplainer, window: Window, info: VideoInfo) -> ExplainedWindow:
        time.sleep(PASS_S)
        return explain(self, window, info)

    monkeypatch.setattr(WindowExplainer, "explain", slowly)


@pytest.mark.usefixtures("slow")
def test_a_slow_model_drops_windows_and_not_frames(
    video: Path, model: LoadedModel, settings: Settings
) -> None:
    sink = run_stream(video, model, settings, hop=1, waits=False)
    live = sink.live
    assert [drawn.frame.number for drawn in sink.drawn] == list(range(60))
    assert live.dropped["frames"] == 0
    # Each window is due with a frame; most are replaced by a newer one while the model works.
    assert live.counts.due == live.counts.windows + live.dropped["windows"]
    assert live.counts.windows <= 2.0 / PASS_S
    assert live.dropped["windows"] >= 30
    # The newest window wins: its maps come after one pass for it, and the rest of the one before.
    assert live.delays.quantile("capture to maps", 0.95) < 2 * PASS_S + 0.25
    # No frame waits for a pass.
    assert live.delays.quantile("capture to overlay", 0.5) < PASS_S / 2
    ages = [drawn.latest.age_s(drawn.frame.time_s) for drawn in sink.drawn if drawn.latest]
    assert max(ages) < 2 * PASS_S + 0.3
    assert sorted(ages) != ages


@pytest.mark.usefixtures("slow")
def test_as_often_as_possible_is_not_called_dropping(
    video: Path, model: LoadedModel, settings: Settings
) -> None:
    live = run_stream(video, model, settings, waits=False).live
    assert live.dropped == {"windows": 0, "frames": 0}
    assert 3 <= live.counts.windows <= 2.0 / PASS_S


@pytest.mark.usefixtures("slow")
def test_a_source_that_waits_loses_nothing(
    video: Path, model: LoadedModel, settings: Settings
) -> None:
    sink = run_stream(video, model, settings, hop=10)
    assert len(sink.drawn) == 60
    assert sink.live.counts.windows == sink.live.counts.due == 6
    # A window is explained before the frame that completed it is drawn.
    for drawn in sink.drawn:
        if drawn.latest is not None:
            assert drawn.frame.number - drawn.latest.explained.window.completed.number < 10


def test_a_source_that_waits_is_drawn_equally_each_time(
    video: Path, model: LoadedModel, settings: Settings
) -> None:
    one, other = (run_stream(video, model, settings, hop=7) for _ in range(2))
    for drawn, again in zip(one.drawn, other.drawn, strict=True):
        np.testing.assert_array_equal(drawn.annotated.y, again.annotated.y)
        np.testing.assert_array_equal(drawn.annotated.u, again.annotated.u)


def test_a_short_stream_has_frames_and_no_window(
    tmp_path: Path, model: LoadedModel, settings: Settings
) -> None:
    write_video(tmp_path / "short.mp4", np.zeros((3, 32, 32, 3), np.uint8), rate=30)
    sink = run_stream(tmp_path / "short.mp4", model, settings)
    assert len(sink.drawn) == 3
    assert sink.latest == []
    assert all(drawn.annotated is drawn.plain for drawn in sink.drawn)


@pytest.mark.parametrize("waits", [True, False])
@pytest.mark.parametrize("place", ["explain", "draw", "sink"])
def test_an_error_in_any_thread_ends_the_stream(
    monkeypatch: pytest.MonkeyPatch,
    video: Path,
    model: LoadedModel,
    settings: Settings,
    place: str,
    waits: bool,
) -> None:
    problem = OutputError("no space left")

    def fail(*arguments: Any, **options: Any) -> None:
        raise problem

    if place == "explain":
        problem = UnavailableError("memory ran out")  # type: ignore[assignment]
        monkeypatch.setattr(WindowExplainer, "explain", fail)
    else:
        monkeypatch.setattr(Collected, "show" if place == "draw" else "explained", fail)
    start = time.monotonic()
    with pytest.raises(type(problem), match=problem.cause):
        run_stream(video, model, settings, waits=waits)
    assert time.monotonic() - start < 5


def test_ctrl_c_ends_a_stream_and_its_sinks(
    video: Path, model: LoadedModel, settings: Settings
) -> None:
    sinks: list[Live] = []

    def interrupt(live: Live) -> None:
        sinks.append(live)
        raise KeyboardInterrupt

    start = time.monotonic()
    sink = Collected()
    with pytest.raises(KeyboardInterrupt):
        run_stream(video, model, settings, waits=False, sink=sink, on_tick=interrupt)
    assert time.monotonic() - start < 3
    assert sink.finished
    assert 0 < len(sink.drawn) < 60
    assert sinks[0].crew.busy == []


def test_a_long_warm_up_is_told(
    monkeypatch: pytest.MonkeyPatch, video: Path, model: LoadedModel, settings: Settings
) -> None:
    monkeypatch.setattr(WindowExplainer, "warm_up", lambda self: time.sleep(1.2))
    said: list[str] = []
    sink = run_stream(video, model, settings, on_tick=lambda live: said.append(status_line(live)))
    assert said[0] == "warming up: the model's first pass"
    assert "60 frames shown" in status_line(sink.live)


def test_test_pictures_come_at_their_rate_and_end(model: LoadedModel, settings: Settings) -> None:
    start = time.monotonic()
    sink = run_stream(
        "lavfi:testsrc2=s=64x48:r=30:d=1.5", model, settings, waits=False, reconnect_s=60.0
    )
    assert 1.4 < time.monotonic() - start < 6
    assert [drawn.frame.number for drawn in sink.drawn] == list(range(45))
    assert sink.live.capture.connections == 1


def test_the_first_warning_of_each_kind_is_known(
    video: Path, model: LoadedModel, settings: Settings
) -> None:
    sink = run_stream(video, model, settings)
    codes = {warning.code for latest in sink.latest for warning in latest.recent.warnings}
    assert codes
    assert {*sink.live.warnings} == codes


def test_delays_and_counts_are_those_of_the_stream(
    video: Path, model: LoadedModel, settings: Settings
) -> None:
    sink = run_stream(video, model, settings, hop=10, waits=False)
    summary = sink.live.summary()
    assert summary["frames"] == summary["frames_shown"] == 60
    assert summary["windows"] + summary["windows_dropped"] == sink.live.counts.due
    assert 1.9 < summary["seconds"] < 8
    delay = summary["delay"]
    assert delay["capture to overlay"]["count"] == 60
    assert delay["capture to maps"]["count"] == summary["windows"]
    for row in delay.values():
        assert 0 <= row["p50"] <= row["p95"] <= row["p99"] <= row["max"]


def test_the_picture_changes_its_size_and_the_output_does_not(
    model: LoadedModel, settings: Settings, tmp_path: Path
) -> None:
    first, then = tmp_path / "first.ts", tmp_path / "then.ts"
    whole = tmp_path / "whole.ts"
    write_ts(first, np.full((20, 48, 64, 3), 90, np.uint8))
    write_ts(then, np.full((20, 96, 128, 3), 90, np.uint8), start_s=20 * FRAME_S)
    whole.write_bytes(first.read_bytes() + then.read_bytes())
    sink = run_stream(whole, model, settings)
    assert len(sink.drawn) >= 38
    assert {drawn.annotated.y.shape for drawn in sink.drawn} == {(48, 64)}
    assert len({drawn.frame.picture.width for drawn in sink.drawn}) == 2
