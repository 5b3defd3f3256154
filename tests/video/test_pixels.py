"""Pictures as they should look: what tags say of color, and what animations draw on."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import av
import numpy as np
import pytest
from av.bitstream import BitStreamFilterContext
from stamped import Picture, read, write_stamped

from staa_cli.video.annotate import annotate
from staa_cli.video.decode import iter_frames
from staa_cli.video.pixels import YuvPlanes
from staa_cli.video.probe import probe
from staa_cli.video.table import DecodeReport

GUESSED = {8, *range(10, 18)}
"""Matrices with a name in ITU-T H.273, of YCgCo and so on, that FFmpeg's scaler does not compute;
those without a name count as not said."""


def same(index: int, time_s: float, planes: YuvPlanes) -> YuvPlanes:
    return planes


def tagged(source: Path, path: Path, **tags: int) -> Path:
    """An H.264 video with other color tags, its pictures untouched."""
    words = ":".join(f"{name}={value}" for name, value in tags.items())
    with av.open(str(source)) as old, av.open(str(path), "w") as new:
        track = old.streams.video[0]
        stream = new.add_stream_from_template(track)
        change = BitStreamFilterContext(f"h264_metadata={words}", track, stream)
        for packet in old.demux(track):
            for changed in change.filter(packet if packet.size else None):
                changed.stream = stream
                new.mux(changed)
    return path


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_stamped(tmp_path_factory.mktemp("plain") / "x.mp4", 12, rate=25, gop=4)


@pytest.mark.parametrize("matrix", range(1, 20))
def test_any_matrix_tag_is_read_and_a_guess_is_told(
    plain: Path, tmp_path: Path, matrix: int
) -> None:
    path = tagged(plain, tmp_path / "x.mp4", matrix_coefficients=matrix)
    info, report = probe(path), DecodeReport()
    assert info.color_guessed is (matrix in GUESSED)
    assert [read(p) for _, p in iter_frames(info, range(12))] == list(range(12))
    annotate(info, tmp_path / "out.mp4", same, report=report)
    copy = probe(tmp_path / "out.mp4")
    assert (copy.frames, report.missing, copy.color_guessed) == (12, [], False)
    (_, before), (_, after) = (next(iter_frames(each, [5])) for each in (info, copy))
    assert np.abs(before.astype(int) - after).mean() < 3


@pytest.mark.parametrize("tag", ["colour_primaries", "transfer_characteristics"])
@pytest.mark.parametrize("value", [0, 3, 8, 10, 12, 13, 14, 15, 17, 19, 22, 99, 255])
def test_no_tag_of_primaries_or_transfer_stops_a_video(
    plain: Path, tmp_path: Path, tag: str, value: int
) -> None:
    info = probe(tagged(plain, tmp_path / "x.mp4", **{tag: value}, video_full_range_flag=1))
    assert [read(p) for _, p in iter_frames(info, range(12))] == list(range(12))
    annotate(info, tmp_path / "out.mp4", same)
    assert probe(tmp_path / "out.mp4").frames == 12


def animated_png(path: Path) -> list[Picture]:
    """40 pictures as a browser would show them; every fourth is red, and taken back after it.

    The reds cover everything, so a demuxer flags them as key frames; but what follows one draws on
    what stood there before it (the PNG specification: dispose_op previous).
    """
    canvas, shown = np.zeros((64, 64, 4), np.uint8), []
    header = struct.pack(">IIBBBBB", 64, 64, 8, 6, 0, 0, 0)
    file = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"acTL", struct.pack(">II", 40, 0))
    order = 0
    for number in range(40):
        x, y, previous = (number * 5) % 56, (number * 7) % 56, 2
        patch = np.full((8, 8, 4), (255, 255, number * 6, 255), np.uint8)
        if number % 4 == 0:
            x = y = 0
            patch = np.full((64, 64, 4), (255, 0, 0, 255) if number else (0, 60, 0, 255), np.uint8)
        height, width = patch.shape[:2]
        dispose = previous if number and number % 4 == 0 else 0
        place = struct.pack(">5I2H2B", order, width, height, x, y, 1, 25, dispose, 0)
        file += chunk(b"fcTL", place)
        data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in patch))
        if number == 0:
            file += chunk(b"IDAT", data)
        else:
            order += 1
            file += chunk(b"fdAT", struct.pack(">I", order) + data)
        order += 1
        before = canvas.copy()
        canvas[y : y + height, x : x + width] = patch
        shown.append(canvas[..., :3].copy())
        canvas = before if dispose else canvas
    path.write_bytes(file + chunk(b"IEND", b""))
    return shown


def chunk(kind: bytes, data: bytes) -> bytes:
    check = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)


@pytest.mark.parametrize("wanted", [[9], [20], [30], [38], [0, 9, 20, 30, 38], [3, 4, 5, 39]])
def test_a_frame_of_an_animation_is_what_was_drawn_until_then(
    tmp_path: Path, wanted: list[int]
) -> None:
    shown = animated_png(tmp_path / "x.apng")
    info = probe(tmp_path / "x.apng")
    assert (info.frames, info.duration_s) == (40, pytest.approx(1.6))
    for index, picture in iter_frames(info, wanted):
        assert np.array_equal(picture, shown[index])
