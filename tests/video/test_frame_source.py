"""Sources of frames: files, memory, and what has no end."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from explanations import explanation
from stamped import read, stamp, write_stamped

from staa_cli.errors import InputError, UsageError
from staa_cli.schema import UInt8
from staa_cli.video.annotate import annotate
from staa_cli.video.decode import iter_frames
from staa_cli.video.encoders import Quality
from staa_cli.video.frame_source import (
    FrameArray,
    FrameSource,
    SeekableSource,
    VideoFile,
    open_source,
    source_of,
)
from staa_cli.video.pixels import YuvPlanes
from staa_cli.video.probe import probe
from staa_cli.video.table import DecodeReport

WIDTH, HEIGHT = 160, 120
PICTURES = np.stack([stamp(number, WIDTH, HEIGHT) for number in range(12)])


@pytest.fixture(scope="module")
def stamped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_stamped(tmp_path_factory.mktemp("stamped") / "x.mp4", 30)


class Camera(FrameSource):
    """Never ends, and cannot be wound back."""

    def __init__(self) -> None:
        self.open = False

    @property
    def size(self) -> tuple[int, int]:
        return WIDTH, HEIGHT

    def frames(self) -> Iterator[tuple[float, UInt8]]:
        self.open = True
        try:
            for number in count():
                yield number / 30, stamp(number, WIDTH, HEIGHT)
        finally:
            self.open = False


def test_a_camera_is_a_source_that_says_it_has_no_end() -> None:
    camera = Camera()
    assert (camera.seekable, camera.duration_s, camera.size) == (False, None, (WIDTH, HEIGHT))
    assert not isinstance(camera, SeekableSource)
    frames = camera.frames()
    window = list(islice(frames, 5))
    assert [read(picture) for _, picture in window] == [0, 1, 2, 3, 4]
    assert [read(picture) for _, picture in islice(frames, 2)] == [5, 6]  # they go on as they come
    assert camera.open
    frames.close()  # type: ignore[attr-defined]
    assert not camera.open


def test_a_file_says_what_it_is_and_reads_any_frame_again(stamped: Path) -> None:
    source = open_source(stamped)
    assert isinstance(source, VideoFile)
    assert open_source(source) is source
    assert source.seekable
    assert source.size == (320, 240)
    assert source.duration_s == pytest.approx(1.0)
    assert source.info.sha256 == hashlib.sha256(stamped.read_bytes()).hexdigest()
    report = DecodeReport()
    for _ in range(2):
        numbers = [(n, read(picture)) for n, picture in source.read([20, 3, 20, 7], report)]
        assert numbers == [(3, 3), (7, 7), (20, 20)]
    assert report.frames_decoded == 6
    times, pictures = zip(*source.frames(), strict=True)
    assert list(times) == source.info.times_s.tolist()
    assert [read(picture) for picture in pictures] == list(range(30))


@pytest.mark.parametrize(
    ("frames", "shown"),
    [
        (PICTURES, PICTURES),
        (list(PICTURES), PICTURES),
        ((picture for picture in PICTURES), PICTURES),
        (PICTURES[:, :, ::-1], PICTURES[:, :, ::-1]),
    ],
    ids=["array", "list", "generator", "not contiguous"],
)
def test_frames_in_memory_are_a_video(frames: Any, shown: UInt8) -> None:
    source = FrameArray(frames, rate=12)
    info = source.info
    assert (info.path, info.container, info.codec) == ("<frames>", "memory", "rawvideo")
    assert (info.width, info.height, info.frames) == (WIDTH, HEIGHT, 12)
    assert info.size_bytes == PICTURES.nbytes
    assert (info.rate, info.duration_s, info.start_s) == (12, 1, 0)
    assert not info.variable_rate
    assert info.audio is None
    np.testing.assert_allclose(info.times_s, np.arange(12) / 12)
    report = DecodeReport()
    pictures = dict(source.read([11, 0, 4, 4], report))
    assert list(pictures) == [0, 4, 11]
    assert all(np.array_equal(picture, shown[index]) for index, picture in pictures.items())
    assert report.frames_decoded == 3
    for index in (-1, 12):
        with pytest.raises(IndexError):
            list(source.read([index]))


def test_frames_in_memory_are_not_copied() -> None:
    for frames in (PICTURES, list(PICTURES)):
        source = FrameArray(frames, rate=12)
        assert all(np.shares_memory(picture, PICTURES) for _, picture in source.frames())


def test_times_are_counted_from_the_first_frame() -> None:
    times = [100.0, 100.1, 100.2, 102.0]
    info = FrameArray(PICTURES[:4], times_s=times).info
    np.testing.assert_allclose(info.times_s, [0, 0.1, 0.2, 2.0])
    assert info.start_s == 100
    assert info.variable_rate
    assert info.duration_s == pytest.approx(2.1)  # the last one stays for the usual time
    assert info.rate == pytest.approx(4 / 2.1)
    assert not FrameArray(PICTURES, times_s=np.arange(12) / 25).info.variable_rate
    assert FrameArray(PICTURES[:1], times_s=[3]).info.duration_s == 0.04


def test_the_checksum_is_of_pixels_shape_and_times_however_they_are_given() -> None:
    def checksum(frames: Any = PICTURES, rate: float = 12) -> str:
        return FrameArray(frames, rate=rate).info.sha256

    same = checksum()
    assert same == checksum(list(PICTURES)) == checksum(np.asfortranarray(PICTURES))
    assert same == FrameArray(PICTURES, times_s=np.arange(12) / 12).info.sha256
    changed = PICTURES.copy()
    changed[3, 4, 5, 1] ^= 1
    others = {
        checksum(rate=13),
        checksum(changed),
        checksum(PICTURES.reshape(12, WIDTH, HEIGHT, 3)),
    }
    assert len({same, *others}) == 4


@pytest.mark.parametrize(
    ("frames", "words"),
    [
        (PICTURES[0], r"uint8 \[N, H, W, 3\], not uint8 \[120, 160, 3\]"),
        (PICTURES.astype(np.float32), r"frame 0 is float32 \[120, 160, 3\]"),
        (PICTURES[..., :1], r"frame 0 is uint8 \[120, 160, 1\]"),
        (PICTURES.transpose(0, 3, 1, 2), r"frame 0 is uint8 \[3, 120, 160\]"),
        (PICTURES[:0], "no frames"),
        (PICTURES[:, :0], r"frame 0 has no pixels"),
        ([], "no frames"),
        (
            [PICTURES[0], PICTURES[0, :40]],
            r"the same size: the first is \[120, 160, 3\], f",
        ),
        ([PICTURES[0], "picture"], "frame 1 is <U7"),
        (None, "not NoneType"),
        (7, "not int"),
    ],
)
def test_what_are_no_frames_is_told(frames: Any, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        FrameArray(frames, rate=12)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("timing", "words"),
    [
        ({}, "either rate= or times_s="),
        ({"rate": 12, "times_s": np.arange(12)}, "either rate= or times_s="),
        ({"rate": 0}, "above 0, not 0"),
        ({"rate": -1}, "above 0, not -1"),
        ({"rate": float("nan")}, "above 0, not nan"),
        ({"rate": float("inf")}, "above 0, not inf"),
        ({"times_s": [0, 1]}, r"12 times, one per frame, not \[2\]"),
        ({"times_s": np.zeros(12)}, "must increase"),
        ({"times_s": np.arange(12)[::-1]}, "must increase"),
        ({"times_s": [*range(11), np.nan]}, "must increase"),
        ({"times_s": ["soon"] * 12}, "must be in seconds"),
    ],
)
def test_frames_need_times_that_can_be(timing: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        FrameArray(PICTURES, **timing)


@pytest.mark.parametrize("part", [None, range(3, 8)])
@pytest.mark.parametrize("shape", [(WIDTH, HEIGHT), (WIDTH + 1, HEIGHT - 1)])
def test_frames_in_memory_are_drawn_on_with_their_times(
    tmp_path: Path, shape: tuple[int, int], part: range | None
) -> None:
    times = np.array([0, 0.04, 0.08, 0.5, 0.51, 0.6, 1.7, 1.8, 1.9, 2.0, 2.1, 2.25])
    frames = np.stack([stamp(number, *shape) for number in range(12)])
    frames.flags.writeable = False
    asked: list[tuple[int, float]] = []

    def draw(index: int, time_s: float, planes: YuvPlanes) -> YuvPlanes:
        asked.append((index, time_s))
        return planes

    report = DecodeReport()
    source = FrameArray(frames, times_s=times)
    annotate(source, tmp_path / "out.mp4", draw, quality=Quality(crf=8), frames=part, report=report)
    wanted = list(part or range(12))
    assert asked == [(index, times[index]) for index in wanted]
    assert (report.frames_decoded, report.missing) == (len(wanted), [])
    copy = probe(tmp_path / "out.mp4")
    assert (copy.width, copy.height) == (WIDTH + 2 * (shape[0] % 2), HEIGHT)
    np.testing.assert_allclose(copy.times_s, times[wanted] - times[wanted[0]], atol=1e-4)
    end_s = times[part.stop] if part else source.duration_s
    assert copy.duration_s == pytest.approx(end_s - times[wanted[0]], abs=1e-4)
    for index, picture in iter_frames(copy, range(copy.frames)):
        shown = frames[wanted[index]]
        assert read(picture[: shape[1], : shape[0]]) == wanted[index]
        assert np.abs(picture[: shape[1], : shape[0]].astype(int) - shown).mean() < 4


def test_a_file_is_drawn_on_as_its_probe_is(stamped: Path, tmp_path: Path) -> None:
    def same(index: int, time_s: float, planes: YuvPlanes) -> YuvPlanes:
        return planes

    annotate(probe(stamped), tmp_path / "one.mp4", same, quality=Quality(repeatable=True))
    annotate(VideoFile(stamped), tmp_path / "two.mp4", same, quality=Quality(repeatable=True))
    assert (tmp_path / "one.mp4").read_bytes() == (tmp_path / "two.mp4").read_bytes()


def test_an_explanation_leads_back_to_its_frames(stamped: Path) -> None:

    source = FrameArray(PICTURES, rate=12)
    of_file = replace(explanation(), video=probe(stamped))
    opened = source_of(of_file)
    assert isinstance(opened, VideoFile)
    assert opened.info is of_file.video
    of_frames = replace(explanation(), video=source.info, source=source)
    assert source_of(of_frames) is source
    with pytest.raises(InputError, match="in memory and are no longer available"):
        source_of(replace(of_frames, source=None))
