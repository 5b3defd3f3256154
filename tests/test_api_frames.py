"""A video of frames in memory, beside a lossless file of the same frames."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import torch
from explaining import same
from PIL import Image
from small_videos import RATE, asked, pictures
from stamped import write_stamped

from staa_cli.api import Explanation, explain_video
from staa_cli.config.settings import RenderSettings, SamplingSettings
from staa_cli.errors import InputError, UsageError
from staa_cli.evaluation.comparison import compare_video
from staa_cli.models.load import LoadedModel, load_model
from staa_cli.results.comparison import document, save
from staa_cli.results.files import load_schema
from staa_cli.schema import UInt8, VideoInfo
from staa_cli.video.decode import iter_frames
from staa_cli.video.frame_source import FrameArray, FrameSource, SeekableSource
from staa_cli.video.probe import probe
from staa_cli.video.table import DecodeReport

FRAMES = np.stack(pictures(36))
EVERYTHING = dict.fromkeys(("annotated", "plot", "storyboard", "gif", "npz", "csv"), True)


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return load_model("test_timesformer", device="cpu")


@pytest.fixture(scope="module", params=["ffv1", "libx264rgb"])
def lossless(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    ending, pixels, options = {
        "ffv1": ("mkv", "bgr0", {}),
        "libx264rgb": ("mp4", "rgb24", {"qp": "0"}),
    }[request.param]
    path = tmp_path_factory.mktemp("lossless") / f"walk.{ending}"
    write_stamped(
        path, list(FRAMES), rate=RATE, codec=request.param, pixels=pixels, options=options
    )
    for index, picture in iter_frames(probe(path), range(36)):
        assert np.array_equal(picture, FRAMES[index])
    return path


@pytest.fixture(scope="module")
def of_frames(model: LoadedModel) -> Explanation:
    return explain_video(FRAMES, model, rate=RATE, settings=asked(EVERYTHING))


@pytest.mark.parametrize("method", ["auto", "attention-gradient"])
def test_frames_give_bit_for_bit_what_a_lossless_file_of_them_gives(
    lossless: Path, model: LoadedModel, method: str
) -> None:
    settings = asked(output={"quick_faithfulness": method == "auto"})
    of_file = explain_video(lossless, model, method=method, settings=settings)
    times_s = of_file.video.times_s
    found = explain_video(FRAMES, model, times_s=times_s, method=method, settings=settings)
    same(found, of_file)
    assert found.moments == of_file.moments
    assert found.warnings == of_file.warnings
    assert found.video.duration_s == pytest.approx(of_file.video.duration_s, abs=1e-3)
    assert found.fingerprint != of_file.fingerprint  # it is another input
    if found.faithfulness is None or of_file.faithfulness is None:
        assert method != "auto"
        return
    for one, other in zip(found.faithfulness.rows, of_file.faithfulness.rows, strict=True):
        assert np.array_equal(one.deletion, other.deletion)
        assert np.array_equal(one.insertion, other.insertion)


@pytest.mark.parametrize(
    "given",
    [list, torch.from_numpy, iter, lambda frames: [*map(torch.from_numpy, frames)]],
    ids=["list", "tensor", "iterator", "tensors"],
)
def test_frames_are_taken_in_any_array(model: LoadedModel, given: Callable[[UInt8], Any]) -> None:
    array = explain_video(FRAMES[:12], model, rate=RATE, settings=asked())
    found = explain_video(given(FRAMES[:12]), model, rate=RATE, settings=asked())
    same(found, array)
    assert found.fingerprint == array.fingerprint


def test_a_rate_is_as_good_as_times(lossless: Path, model: LoadedModel) -> None:
    of_file = explain_video(lossless, model, settings=asked())
    found = explain_video(FRAMES, model, rate=RATE, settings=asked())
    for one, other in zip(found.attributions, of_file.attributions, strict=True):
        assert np.array_equal(one.values, other.values)
    np.testing.assert_allclose(found.frames.score, of_file.frames.score, rtol=2e-3)


def test_the_fingerprint_is_of_the_frames_and_their_times(model: LoadedModel) -> None:
    def fingerprint(frames: UInt8, rate: float) -> str:
        return explain_video(frames, model, rate=rate, settings=asked()).fingerprint

    first = fingerprint(FRAMES[:12], 12)
    assert first == fingerprint(FRAMES[:12].copy(), 12)
    assert len({first, fingerprint(FRAMES[:12], 13), fingerprint(FRAMES[1:13], 12)}) == 3


@pytest.mark.parametrize("lossless", ["ffv1"], indirect=True)
def test_everything_is_written_for_frames_as_for_a_file(
    lossless: Path, model: LoadedModel, tmp_path: Path
) -> None:
    fine = asked(EVERYTHING, render=RenderSettings(preset="ultrafast", crf=1))
    of_file = explain_video(lossless, model, settings=fine)
    of_frames = explain_video(FRAMES, model, times_s=of_file.video.times_s, settings=fine)
    of_file.save(tmp_path / "file")
    of_frames.save(tmp_path / "frames")
    names = {path.name for path in (tmp_path / "file").iterdir()}
    assert {path.name for path in (tmp_path / "frames").iterdir()} == names
    assert names > {"annotated.mp4", "annotated.gif", "storyboard.png"}

    report = json.loads((tmp_path / "frames" / "report.json").read_text())
    jsonschema.validate(report, load_schema())
    assert report["video"]["path"] == "<frames>"
    assert report["video"]["frames"] == 36

    one, two = (probe(tmp_path / name / "annotated.mp4") for name in ("frames", "file"))
    np.testing.assert_allclose(one.times_s, two.times_s, atol=1e-3)
    for (_, drawn), (_, wanted) in zip(
        iter_frames(one, range(36)), iter_frames(two, range(36)), strict=True
    ):
        assert np.abs(drawn.astype(int) - wanted).mean() < 0.1
    for name in ("storyboard.png", "annotated.gif"):
        with (
            Image.open(tmp_path / "frames" / name) as drawn_image,
            Image.open(tmp_path / "file" / name) as wanted_image,
        ):
            difference = np.asarray(drawn_image).astype(int) - np.asarray(wanted_image)
        assert np.abs(difference).mean() < 0.2  # the storyboard names the video


def test_part_of_the_frames_is_drawn_where_part_is_explained(
    model: LoadedModel, tmp_path: Path
) -> None:
    sampling = SamplingSettings(start=1.0, end=2.0)
    settings = asked({"annotated": True}, sampling=sampling)
    explain_video(FRAMES, model, rate=RATE, settings=settings).save(tmp_path)
    assert probe(tmp_path / "annotated.mp4").frames == 12


def test_without_the_frames_only_what_needs_none_is_written(
    of_frames: Explanation, tmp_path: Path
) -> None:
    alone = replace(of_frames, source=None)
    paths = alone.save(tmp_path / "plain", asked({"plot": True, "npz": True, "csv": True}))
    assert len(paths) == 4
    for kind in ("annotated", "gif", "storyboard"):
        with pytest.raises(InputError, match="in memory and are no longer available") as caught:
            alone.save(tmp_path / kind, asked({kind: True}))
        assert "\n" not in str(caught.value)


class Backwards(SeekableSource):
    """Somebody else's source: the frames of another one, last to first."""

    def __init__(self, source: SeekableSource) -> None:
        self._source = source

    @property
    def info(self) -> VideoInfo:
        return self._source.info

    def read(
        self, indices: Sequence[int], report: DecodeReport | None = None
    ) -> Iterator[tuple[int, UInt8]]:
        last = self.info.frames - 1
        found = dict(self._source.read([last - index for index in indices], report))
        return ((index, found[last - index]) for index in sorted(set(indices)))


def test_any_source_that_can_be_read_again_is_explained_and_drawn(
    model: LoadedModel, tmp_path: Path
) -> None:
    source = Backwards(FrameArray(FRAMES, rate=RATE))
    found = explain_video(source, model, settings=asked({"annotated": True}))
    same(found, explain_video(FRAMES[::-1], model, rate=RATE, settings=asked()))
    found.save(tmp_path)
    drawn = dict(iter_frames(probe(tmp_path / "annotated.mp4"), [0]))[0]
    near, far = (np.abs(drawn[: 48 // 3].astype(int) - FRAMES[n][: 48 // 3]) for n in (-1, 0))
    assert near.mean() < far.mean()


def test_frames_are_compared_and_the_panels_drawn(model: LoadedModel, tmp_path: Path) -> None:
    source = FrameArray(FRAMES, rate=RATE)
    compared = compare_video(source, model, methods=("staa", "rollout"), settings=asked())
    paths = save(compared, tmp_path, asked({"annotated": True}))
    assert [path.name for path in paths] == ["compare.mp4", "compare.png", "compare.json"]
    assert probe(paths[0]).frames == 36
    assert document(compared)["video"] == {"path": "<frames>", "sha256": source.info.sha256}


class Camera(FrameSource):
    @property
    def size(self) -> tuple[int, int]:
        return 64, 48

    def frames(self) -> Iterator[tuple[float, UInt8]]:
        raise AssertionError("never read")


@pytest.mark.parametrize(
    ("video", "timing", "error", "words"),
    [
        ("walk.mp4", {"rate": 12}, UsageError, "a video file has its own timestamps"),
        (Path("walk.mp4"), {"times_s": [0.0]}, UsageError, "a video file has its own timestamps"),
        (
            FrameArray(FRAMES, rate=12),
            {"rate": 12},
            UsageError,
            "a video file has its own timestamps",
        ),
        (FRAMES, {}, UsageError, "either rate= or times_s="),
        (FRAMES, {"rate": 12, "times_s": range(36)}, UsageError, "either rate= or times_s="),
        (torch.zeros(4, 48, 64, 3), {"rate": 12}, InputError, r"torch.float32 \[4, 48, 64, 3\]"),
        (torch.zeros(2, 2).bfloat16(), {"rate": 12}, InputError, r"torch.bfloat16 \[2, 2\]"),
        ([torch.zeros(48, 64, 3)], {"rate": 12}, InputError, r"torch.float32 \[48, 64, 3\]"),
        (FRAMES / 255, {"rate": 12}, InputError, "frame 0 is float64"),
        (None, {}, InputError, "not NoneType"),
        (b"walk.mp4", {}, InputError, "not bytes"),
        (Camera(), {}, InputError, "read only once"),
    ],
)
def test_what_is_neither_a_video_nor_frames_is_told(
    model: LoadedModel, video: Any, timing: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words) as caught:
        explain_video(video, model, **timing)
    assert "\n" not in str(caught.value)
