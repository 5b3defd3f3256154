"""What is kept of a stream is a normal result, with the numbers of a file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from live_streams import Collected, run_stream

from staa_cli.config.settings import Settings
from staa_cli.errors import InputError
from staa_cli.explain.pipeline import explain_one
from staa_cli.explain.single_clip import explain_clip
from staa_cli.live.keep import KEPT_VIDEO, folder_of, keep
from staa_cli.models.load import LoadedModel, load_model
from staa_cli.results.arrays import load_explanation
from staa_cli.results.report import load_report
from staa_cli.video.frame_source import VideoFile
from staa_cli.video.playback import browser_type
from staa_cli.video.probe import probe

SAMPLES = Path(__file__).parents[2] / "sample_videos"


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return load_model("tiny-events")


@pytest.fixture(scope="module")
def settings() -> Settings:
    settings = Settings()
    return replace(settings, output=replace(settings.output, annotated=False))


@pytest.fixture(scope="module", params=["spin_sound.mp4", "split_vfr.mp4", "flash_rotated.mp4"])
def stream(request: pytest.FixtureRequest, model: LoadedModel) -> Collected:
    return run_stream(SAMPLES / request.param, model, hop=11, keep_s=3.0)


@pytest.fixture(scope="module")
def kept(stream: Collected, settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kept")
    return keep(stream.live.moments(3.0), stream.live.explainer, settings, folder)


def test_the_kept_video_has_the_frames_of_the_stream(stream: Collected, kept: Path) -> None:
    moments, video = stream.live.moments(3.0), VideoFile(kept / KEPT_VIDEO)
    first = moments.frames[0].time_s
    np.testing.assert_allclose(
        video.info.times_s, [frame.time_s - first for frame in moments.frames], atol=1e-9
    )
    original = VideoFile(SAMPLES / Path(moments.info.path).name)
    wanted = original.read([frame.number for frame in moments.frames])
    for (_, ours), (_, theirs) in zip(video.read(range(video.info.frames)), wanted, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert 2.5 < video.info.duration_s < 3.2


def test_its_explanation_has_the_windows_of_the_stream(
    stream: Collected, kept: Path, model: LoadedModel
) -> None:
    explanation, video = load_explanation(kept), VideoFile(kept / KEPT_VIDEO)
    target = explanation.prediction.target
    assert len(explanation.clips) == len(stream.live.moments(3.0).windows) >= 2
    assert explanation.strategy == "stream"
    for number, clip in enumerate(explanation.clips):
        assert clip.times_s == tuple(video.info.times_s[list(clip.frame_indices)])
        pictures = dict(video.read(clip.frame_indices))
        frames = np.stack([pictures[index] for index in clip.frame_indices])
        again = explain_clip(model, frames, target)
        stored = explanation.attributions[number].values
        np.testing.assert_array_equal(stored, again.attribution.values)


def test_the_result_is_complete_and_no_other_run_takes_it_for_its_own(
    kept: Path, settings: Settings, model: LoadedModel
) -> None:
    report = load_report(kept / "report.json")
    assert report.video.sha256 == probe(kept / KEPT_VIDEO).sha256
    assert {path.name for path in kept.iterdir()} == {
        *("report.json", "report.html", "maps.npz", KEPT_VIDEO)
    }
    file = explain_one(kept / KEPT_VIDEO, model, settings, lambda stage, done, total: None)
    assert report.fingerprint != file.fingerprint


def test_browsers_get_a_copy_that_they_play(kept: Path) -> None:
    assert browser_type(probe(kept / KEPT_VIDEO)) is None  # H.264 without loss has another profile
    assert "a small copy, as browsers do not play it" in (kept / "report.html").read_text()


def test_nothing_is_kept_before_something_was_explained(
    stream: Collected, settings: Settings, tmp_path: Path
) -> None:
    moments = replace(stream.live.moments(3.0), windows=[])
    with pytest.raises(InputError, match="nothing was explained"):
        keep(moments, stream.live.explainer, settings, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("rtsp://camera.local:554/ch/1", "rtsp-camera.local-554-ch-1"),
        ("standard input", "standard-input"),
        ("../../etc/passwd", "etc-passwd"),
        ("..", "stream"),
        ("/dev/video0", "dev-video0"),
        ("a" * 30 + "b" * 300 + "c" * 30, f"{'a' * 30}-{'c' * 30}"),
    ],
)
def test_a_source_names_a_folder(source: str, name: str) -> None:
    assert folder_of(source) == name
