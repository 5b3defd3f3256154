"""What is kept of a stream decodes to the same pixels at the same times."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stamped import stamp, write_stamped
from stream_sources import Captured, captured

from staa_cli.errors import OutputError
from staa_cli.video.frame_source import VideoFile
from staa_cli.video.lossless import write_lossless
from staa_cli.video.pixels import Converter

CASES: dict[str, dict[str, Any]] = {
    "yuv420p.mp4": {},
    "yuv422p.mkv": {"pixels": "yuv422p"},
    "yuv444p.mkv": {"pixels": "yuv444p"},
    "10 bit.mkv": {"pixels": "yuv420p10le"},
    "gray.mkv": {"codec": "ffv1", "pixels": "gray"},
    "gray of 16 bit.mkv": {"codec": "ffv1", "pixels": "gray16le"},
    "rgb.avi": {"codec": "png", "pixels": "rgb24"},
    "planar rgb.mkv": {"codec": "libx264rgb", "pixels": "rgb24"},
    "bgr.avi": {"codec": "rawvideo", "pixels": "bgr24"},
    "palette.gif": {"codec": "gif", "pixels": "rgb8"},
    "see-through.mkv": {"codec": "ffv1", "pixels": "yuva420p"},
    "turned.mp4": {"turn": 90},
    "upside down.mp4": {"turn": 180},
    "mirrored.mp4": {"mirror": True},
    "turned and mirrored.mp4": {"turn": 270, "mirror": True},
    "odd.mkv": {"codec": "ffv1", "size": (323, 241)},
    "odd rgb.avi": {"codec": "png", "pixels": "rgb24", "size": (323, 241)},
    "odd turned.mp4": {"codec": "ffv1", "turn": 90, "size": (323, 241)},
    "variable rate.mkv": {"ticks": [0, 7, 40, 41, 300, 333, 900, 911], "time_base": (1, 1000)},
    "variable rate.mp4": {"ticks": [0, 1, 4000, 4001, 9000, 9999], "time_base": (1, 90_000)},
    "starts late.ts": {"start": 300},
}


def textured(number: int, width: int, height: int) -> np.ndarray:
    """A stamped picture with colors, so that every loss shows."""
    picture = stamp(number, width, height)
    noise = np.random.default_rng(number).integers(0, 255, (height // 4, width, 3), np.uint8)
    picture[-(height // 4) :] = noise
    return picture


def kept(stream: Captured, path: Path) -> VideoFile:
    info = stream.capture.info
    assert info is not None
    write_lossless(path, [frame.picture for frame in stream.frames], stream.times_s, info)
    return VideoFile(path)


def check_same(source: Path, path: Path) -> VideoFile:
    file, stream = VideoFile(source), captured(source)
    copy = kept(stream, path)
    count = file.info.frames
    assert copy.info.frames == count
    # A clock of whole ticks: those of the file, or those of MPEG.
    np.testing.assert_allclose(copy.info.times_s, file.info.times_s, rtol=0, atol=1 / 90_000)
    frames = zip(file.read(range(count)), copy.read(range(count)), strict=True)
    for (_, ours), (_, theirs) in frames:
        np.testing.assert_array_equal(ours, theirs)
    assert copy.size == file.size
    return copy


@pytest.mark.parametrize("name", CASES)
def test_pixels_and_times(tmp_path: Path, name: str) -> None:
    how = dict(CASES[name])
    width, height = how.pop("size", (320, 240))
    if "time_base" in how:
        how["time_base"] = Fraction(*how["time_base"])
    count = len(how.get("ticks", range(8)))
    pictures = (textured(number, width, height) for number in range(count))
    check_same(write_stamped(tmp_path / name, pictures, **how), tmp_path / "kept.mp4")


@pytest.mark.parametrize(
    "name", ["shake", "hop", "flash_rotated", "grow_sound", "spin_sound", "split_vfr"]
)
def test_sample_videos_have_the_same_times_bit_for_bit(
    sample_videos: Path, tmp_path: Path, name: str
) -> None:
    source = sample_videos / f"{name}.mp4"
    copy = check_same(source, tmp_path / "kept.mp4")
    np.testing.assert_array_equal(copy.info.times_s, VideoFile(source).info.times_s)


@pytest.mark.parametrize(
    "words",
    [
        "-vf setparams=colorspace=bt709:color_primaries=bt709:color_trc=bt709",
        "-vf setparams=colorspace=smpte170m:color_primaries=smpte170m:color_trc=smpte170m",
        "-pix_fmt yuv420p10le -vf setparams=colorspace=bt2020nc:color_primaries=bt2020:"
        "color_trc=smpte2084",
        "-pix_fmt yuv420p10le -vf setparams=colorspace=bt2020nc:color_primaries=bt2020:"
        "color_trc=arib-std-b67",
        "-vf setparams=colorspace=bt709:range=full",
        "-vf setsar=4/3",
        "-c:v mjpeg -q:v 2 -pix_fmt yuvj420p",
        "-c:v mjpeg -q:v 2 -pix_fmt yuvj422p",
    ],
)
def test_colors_and_the_shape_of_pixels(
    tmp_path: Path, ffmpeg: Callable[..., bytes], words: str
) -> None:
    source = tmp_path / "v.mkv"
    pictures = ("-f", "lavfi", "-i", "testsrc2=s=160x120:r=10:d=0.6")
    ffmpeg(*pictures, "-c:v", "libx264", *words.split(), source)
    info, copy = VideoFile(source).info, check_same(source, tmp_path / "kept.mp4").info
    for field in ("transfer", "sample_aspect_ratio", "pixel_format", "color_guessed"):
        assert getattr(copy, field) == getattr(info, field), field


@pytest.mark.parametrize("pixels", ["yuyv422", "uyvy422", "nv12", "nv21"])
def test_formats_of_cameras_give_what_was_seen_live(tmp_path: Path, pixels: str) -> None:
    """Not those of a file of the same format, which nobody has."""
    pictures = (textured(number, 320, 240) for number in range(4))
    container = "nut" if pixels.startswith("nv") else "avi"
    how = {"codec": "rawvideo", "pixels": pixels, "container": container}
    stream = captured(write_stamped(tmp_path / "v", pictures, **how))  # type: ignore[arg-type]
    copy, info = kept(stream, tmp_path / "kept.mp4"), stream.capture.info
    assert info is not None
    convert = Converter(info)
    assert len(stream.frames) == 4
    for (_, theirs), frame in zip(copy.read(range(4)), stream.frames, strict=True):
        np.testing.assert_array_equal(convert.rgb(frame.picture), theirs)
    assert stream.numbers == [0, 1, 2, 3]


def test_a_part_begins_at_zero(tmp_path: Path) -> None:
    stream = captured(write_stamped(tmp_path / "v.mkv", 20))
    info = stream.capture.info
    assert info is not None
    part = stream.frames[7:15]
    times_s = [frame.time_s for frame in part]
    write_lossless(tmp_path / "kept.mp4", [frame.picture for frame in part], times_s, info)
    copy = VideoFile(tmp_path / "kept.mp4").info
    np.testing.assert_allclose(copy.times_s, np.array(times_s) - times_s[0], atol=1e-9)


def test_frames_stay_as_they_were(tmp_path: Path) -> None:
    """Other threads read them at the same time."""
    stream = captured(write_stamped(tmp_path / "v.mkv", 5))
    before = [(f.picture.pts, f.picture.time_base, f.picture.pict_type) for f in stream.frames]
    kept(stream, tmp_path / "kept.mp4")
    after = [(f.picture.pts, f.picture.time_base, f.picture.pict_type) for f in stream.frames]
    assert before == after


@pytest.mark.parametrize(
    ("change", "word"), [({"size": (160, 128)}, "size"), ({"pixels": "yuv444p"}, "format")]
)
def test_what_changes_in_between_is_an_error(
    tmp_path: Path, change: dict[str, Any], word: str
) -> None:
    width, height = change.pop("size", (320, 240))
    frames = []
    for name, how in (("a", {}), ("b", change)):
        size = (width, height) if name == "b" else (320, 240)
        pictures = (stamp(number, *size) for number in range(3))
        stream = captured(write_stamped(tmp_path / f"{name}.mkv", pictures, **how))
        frames += [frame.picture for frame in stream.frames]
    info = stream.capture.info
    assert info is not None
    path = tmp_path / "kept.mp4"
    with pytest.raises(OutputError, match=word):
        write_lossless(path, frames, [n / 30 for n in range(6)], info)
    assert not path.exists()


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    stream = captured(write_stamped(tmp_path / "v.mkv", 3))
    with pytest.raises(OutputError, match="none"):
        kept(stream, tmp_path / "none" / "kept.mp4")
