"""A stream gives the numbers that a file of the same frames gives, bit for bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from live_streams import Collected, run_stream

from staa_cli.config.settings import Settings
from staa_cli.explain.pipeline import explain_one
from staa_cli.models.architectures import ARCHITECTURES
from staa_cli.models.load import LoadedModel, load_model
from staa_cli.schema import Explanation

MODELS = ("tiny-events", "tiny-events-joint", *ARCHITECTURES.names("test_*"))


def explained(video: Path, model: LoadedModel, settings: Settings) -> Explanation:
    return explain_one(video, model, settings, lambda stage, done, total: None)


def of_own_class(settings: Settings, target: int) -> Settings:
    return replace(settings, target=str(target))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("video", ["spin_sound.mp4", "split_vfr.mp4", "flash_rotated.mp4"])
def test_windows_of_a_waiting_source_are_the_clips_of_the_file(
    sample_videos: Path, name: str, video: str
) -> None:
    model, settings = load_model(name), Settings()
    windows = [latest.explained for latest in run_stream(sample_videos / video, model).latest]
    of_file = {
        target: explained(sample_videos / video, model, of_own_class(settings, target))
        for target in {window.prediction.target for window in windows}
    }
    clips = next(iter(of_file.values())).clips
    # The last clip of a file ends with its last frame, which a stream does not know before.
    assert len(windows) in (len(clips), len(clips) - 1)
    for number, (window, clip) in enumerate(zip(windows, clips, strict=False)):
        file = of_file[window.prediction.target]
        assert window.window.clip.frame_indices == clip.frame_indices
        assert window.window.clip.times_s == clip.times_s
        np.testing.assert_array_equal(
            window.prediction.scores, file.clip_predictions[number].scores, strict=True
        )
        np.testing.assert_array_equal(
            window.attribution.values, file.attributions[number].values, strict=True
        )


@pytest.mark.parametrize("name", MODELS)
def test_what_is_drawn_after_a_window_is_the_explanation_of_those_frames(
    sample_videos: Path, name: str
) -> None:
    video, model = sample_videos / "hop.mp4", load_model(name)
    sink: Collected = run_stream(video, model, hop=7, recent_s=0.0)
    assert len(sink.latest) > 4
    for latest in sink.latest[::3]:
        live, clip = latest.recent, latest.explained.window.clip
        start, end = clip.start_s, clip.times_s[-1] + 1e-3
        settings = of_own_class(Settings(), live.prediction.target)
        settings = replace(settings, sampling=replace(settings.sampling, start=start, end=end))
        file = explained(video, model, settings)
        assert len(file.clips) == 1
        np.testing.assert_array_equal(live.frames.times_s, file.frames.times_s)
        np.testing.assert_array_equal(live.frames.score, file.frames.score)
        np.testing.assert_array_equal(live.frames.weighted_score, file.frames.weighted_score)
        np.testing.assert_array_equal(live.maps.values, file.maps.values)
        np.testing.assert_array_equal(live.maps.times_s, file.maps.times_s)
        assert live.maps.box == file.maps.box
        # A stream does not know yet when the next frame comes, which ends the last one.
        assert [replace(moment, end_s=0.0) for moment in live.moments] == [
            replace(moment, end_s=0.0) for moment in file.moments
        ]
        for ours, theirs in zip(live.moments, file.moments, strict=True):
            assert ours.end_s == pytest.approx(theirs.end_s)
        assert live.temporal == file.temporal
        assert live.spatial == file.spatial
