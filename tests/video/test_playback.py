"""Which videos browsers play as they are, and the copies of the others."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from stamped import read, stamp, with_silence, write_stamped

from staa_cli.errors import OutputError
from staa_cli.schema import VideoInfo
from staa_cli.video.decode import iter_frames
from staa_cli.video.frame_source import FrameArray, VideoFile
from staa_cli.video.playback import browser_type, copy_for_browsers, encode_for_browsers
from staa_cli.video.probe import probe

VFR: dict[str, Any] = {
    "ticks": [0, 30, 90, 100, 250, 300, 333, 500], "time_base": Fraction(1, 1000), "b_frames": 0
}  # fmt: skip


def made(path: Path, frames: int = 8, **options: Any) -> VideoInfo:
    return probe(write_stamped(path, frames, **options))


def check_same_frames(copy: Path, source: VideoInfo) -> None:
    """The copy begins at zero and shows the source's frames at the source's times."""
    info = probe(copy)
    assert info.start_s == pytest.approx(0, abs=1e-3)
    np.testing.assert_allclose(info.times_s, source.times_s, rtol=0, atol=1e-3)
    assert [read(picture) for _, picture in iter_frames(info, range(info.frames))] == [
        read(picture) for _, picture in iter_frames(source, range(source.frames))
    ]


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("a.mp4", {}, "video/mp4"),
        ("a.mp4", {"turn": 90}, "video/mp4"),
        ("a.mp4", VFR, "video/mp4"),
        ("a.webm", {"codec": "libvpx"}, "video/webm"),
        ("a.webm", {"codec": "libvpx-vp9"}, "video/webm"),
        ("a.mp4", {"codec": "mpeg4"}, None),
        ("a.mp4", {"codec": "libx265"}, None),
        ("a.mp4", {"pixels": "yuv444p"}, None),
        ("a.mp4", {"pixels": "yuv420p10le"}, None),
        ("a.mp4", {"mirror": True}, None),
        ("a.mp4", {"start": 45}, None),
        ("a.mkv", {}, None),
        ("a.mov", {}, None),
        ("a.ts", {}, None),
    ],
)
def test_what_browsers_play(
    tmp_path: Path, name: str, options: dict[str, Any], expected: str | None
) -> None:
    assert browser_type(made(tmp_path / name, **options)) == expected


def test_sound_may_begin_before_the_first_frame(tmp_path: Path) -> None:
    late = write_stamped(tmp_path / "late.mp4", 30, start=20)
    assert browser_type(probe(with_silence(tmp_path / "a.mp4", late))) == "video/mp4"


@pytest.mark.parametrize(
    "damage",
    [
        {"packets_bad": 1},
        {"truncated": True},
        {"times_repaired": True},
        {"audio": "ac3"},
        {"interlaced": True},
        {"transfer": "hlg"},
        {"frames_declared": 9},  # an edit list hides one
    ],
)
def test_what_browsers_may_play_otherwise(tmp_path: Path, damage: dict[str, Any]) -> None:
    info = made(tmp_path / "a.mp4")
    assert browser_type(info) is not None
    assert browser_type(replace(info, **damage)) is None


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.mkv", {}),
        ("a.mkv", VFR),
        ("a.mkv", {"codec": "libvpx-vp9"}),
        ("a.mov", {"turn": 90}),
        ("a.mp4", {"start": 45}),
        ("a.ts", {}),
    ],
)
def test_a_copy_has_the_packets_and_the_times(
    tmp_path: Path, name: str, options: dict[str, Any]
) -> None:
    source = made(tmp_path / name, **options)
    assert copy_for_browsers(source, tmp_path / "copy.mp4")
    check_same_frames(tmp_path / "copy.mp4", source)
    copy = probe(tmp_path / "copy.mp4")
    assert browser_type(copy) == "video/mp4"
    assert (copy.width, copy.height, copy.rotation) == (
        *(source.width, source.height, source.rotation),
    )
    sizes = []
    for path in (tmp_path / name, tmp_path / "copy.mp4"):
        with av.open(str(path)) as container:
            sizes.append(sum(packet.size for packet in container.demux(video=0)))
    assert abs(sizes[1] - sizes[0]) < 100 * source.frames  # start codes and parameters


@pytest.mark.parametrize("options", [{"codec": "mpeg4"}, {"codec": "libvpx"}, {"mirror": True}])
def test_no_copy_of_what_would_not_play(tmp_path: Path, options: dict[str, Any]) -> None:
    source = made(tmp_path / ("a.mp4" if "mirror" in options else "a.mkv"), **options)
    assert not copy_for_browsers(source, tmp_path / "copy.mp4")
    assert not (tmp_path / "copy.mp4").exists()


def test_a_copy_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    source = made(tmp_path / "a.mkv")
    with pytest.raises(OutputError):
        copy_for_browsers(source, tmp_path / "none" / "copy.mp4")


def test_a_small_copy_of_a_part(tmp_path: Path) -> None:
    source = VideoFile(write_stamped(tmp_path / "a.mp4", 60, codec="mpeg4"))
    assert encode_for_browsers(source, tmp_path / "copy.mp4", range(20, 50), 1_000_000)
    copy = probe(tmp_path / "copy.mp4")
    assert browser_type(copy) == "video/mp4"
    shown = [read(picture) for _, picture in iter_frames(copy, range(copy.frames))]
    assert shown == list(range(20, 50))
    expected = source.info.times_s[20:50] - source.info.times_s[20]
    np.testing.assert_allclose(copy.times_s, expected, rtol=0, atol=1e-3)


def test_a_copy_is_small(tmp_path: Path) -> None:
    pictures = np.stack([stamp(number, 1300, 730) for number in range(4)])
    assert encode_for_browsers(
        FrameArray(pictures, rate=4), tmp_path / "copy.mp4", range(4), 1_000_000
    )
    copy = probe(tmp_path / "copy.mp4")
    assert (copy.width, copy.height) == (640, 360)
    shown = [read(picture) for _, picture in iter_frames(copy, range(4))]
    assert shown == [0, 1, 2, 3]


def test_no_copy_of_hours(tmp_path: Path) -> None:
    pictures = np.zeros((2, 8, 8, 3), np.uint8)
    source = FrameArray(pictures, times_s=[0, 7200])
    assert not encode_for_browsers(source, tmp_path / "copy.mp4", range(2), 1_000_000)


def test_the_size_of_a_copy_is_limited(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (40, 120, 160, 3), np.uint8)
    source, sizes = FrameArray(noise, rate=10), []
    for max_bytes in (10_000_000, 60_000):
        path = tmp_path / f"{max_bytes}.mp4"
        assert encode_for_browsers(source, path, range(40), max_bytes)
        sizes.append(path.stat().st_size)
    assert sizes[1] < 2 * 60_000 < sizes[0]
