"""Which of a file's streams is read, and at what times."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image, features
from stamped import read, stamp, write_stamped

from staa_cli.video.annotate import annotate
from staa_cli.video.decode import iter_frames
from staa_cli.video.encoders import Quality
from staa_cli.video.live_source import Connection
from staa_cli.video.probe import probe
from staa_cli.video.stream_address import StreamAddress
from staa_cli.video.table import DecodeReport, frame_table

Ffmpeg = Callable[..., bytes]


def remuxed(source: Path, path: Path, change: Callable[[Any], None]) -> Path:
    """The packets of a video in another file, each changed on the way."""
    with av.open(str(source)) as old, av.open(str(path), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(video=0):
            if packet.size:
                change(packet)
                packet.stream = stream
                new.mux(packet)
    return path


def side_by_side(path: Path, frames: Sequence[int], default: Sequence[bool]) -> Path:
    """Video streams of so many frames each, of which the n-th begins with picture 100 n."""
    with av.open(str(path), "w") as output:
        streams = []
        for wanted in default:
            stream = output.add_stream("libx264", rate=25, options={"preset": "superfast"})
            stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
            stream.disposition = (
                av.stream.Disposition.default if wanted else av.stream.Disposition(0)
            )
            streams.append(stream)
        for n, (stream, count) in enumerate(zip(streams, frames, strict=True)):
            for number in range(count):
                picture = stamp(100 * n + number, 160, 120)
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts, frame.time_base = number, Fraction(1, 25)
                output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("name", "frames", "default", "shown"),
    [
        ("the second is marked.mp4", (50, 25), (False, True), 1),
        ("the second is marked.mkv", (50, 25), (False, True), 1),
        ("the first is marked.mp4", (25, 50), (True, False), 0),
        ("a still before the moving one.mp4", (1, 40), (True, True), 1),
        ("both are marked.mkv", (9, 30), (True, True), 1),
        ("nothing is marked.ts", (9, 30), (False, False), 1),
    ],
)
def test_the_stream_that_a_player_shows(
    tmp_path: Path, name: str, frames: tuple[int, int], default: tuple[bool, bool], shown: int
) -> None:
    path = side_by_side(tmp_path / name, frames, default)
    info = probe(path)
    assert info.frames == frames[shown]
    assert [read(p) for _, p in iter_frames(info, [0])] == [100 * shown]
    with Connection(StreamAddress.parse(str(path)), 10.0) as connection:
        pictures = [arrived.picture for arrived in connection.frames()]
    assert len(pictures) == frames[shown]
    assert read(np.asarray(pictures[0].to_ndarray(format="rgb24"), np.uint8)) == 100 * shown


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow writes no AVIF")
def test_an_animated_avif_is_its_track_and_not_its_still(tmp_path: Path) -> None:
    pictures = [Image.fromarray(stamp(number, 160, 120)) for number in range(40)]
    path = tmp_path / "x.avif"
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=40)
    info = probe(path)
    assert (info.frames, info.duration_s) == (40, pytest.approx(1.6))
    assert [read(p) for _, p in iter_frames(info, [0, 17, 39])] == [0, 17, 39]


def assert_played_as_made(path: Path, out: Path, frames: int, step_s: float) -> None:
    """Every picture at its time, in the table, by seeking, and in the annotated copy."""
    info, report = probe(path), DecodeReport()
    assert info.times_s == pytest.approx(np.arange(frames) * step_s, abs=0.0011)
    assert info.duration_s == pytest.approx(frames * step_s, abs=1.05 * step_s)
    assert [read(p) for _, p in iter_frames(info, range(frames))] == list(range(frames))
    annotate(
        info, out, lambda index, time_s, planes: planes, report=report, quality=Quality(crf=10)
    )
    copy = probe(out)
    assert copy.times_s == pytest.approx(info.times_s, abs=0.0011)
    assert [read(p) for _, p in iter_frames(copy, range(frames))] == list(range(frames))
    assert (report.packets_bad, report.missing) == (0, [])


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
@pytest.mark.parametrize("ending", ["mkv", "mp4", "ts"])
def test_times_of_decoding_in_place_of_times_of_showing(
    tmp_path: Path, codec: str, ending: str
) -> None:
    """What `setts=pts=DTS` makes, and FFmpeg's `genpts` of a raw stream with B frames."""
    options = {
        "libx264": {"x264-params": "b-adapt=0"},
        "libx265": {"x265-params": "b-adapt=0:log-level=error"},
    }[codec]
    whole = write_stamped(
        tmp_path / "whole.mp4", 60, rate=25, gop=20, b_frames=2, codec=codec, options=options
    )

    def show_when_decoded(packet: Any) -> None:
        packet.pts = packet.dts

    path = remuxed(whole, tmp_path / f"x.{ending}", show_when_decoded)
    assert probe(path).times_repaired
    assert not probe(whole).times_repaired
    if ending == "mp4":  # which leaves out what would be shown before zero
        with av.open(str(path)) as container:
            shown = sum(1 for _ in container.decode(video=0))
        assert probe(path).frames == shown
        assert probe(path).duration_s == pytest.approx(shown / 25, abs=0.001)
        return
    assert_played_as_made(path, tmp_path / "out.mp4", 60, 0.04)


def test_two_frames_at_one_time_are_both_shown_and_nothing_moves(tmp_path: Path) -> None:
    whole = write_stamped(tmp_path / "whole.mp4", 30, rate=25, b_frames=0, gop=10)

    def share(packet: Any) -> None:
        if packet.pts == 12 * packet.duration:
            packet.pts = packet.dts = packet.pts - packet.duration

    info = probe(remuxed(whole, tmp_path / "x.flv", share))
    assert (info.frames, info.times_repaired) == (30, True)
    assert info.times_s[[11, 13, 29]] == pytest.approx([0.44, 0.52, 1.16], abs=0.0011)
    assert 0.44 < info.times_s[12] < 0.52


@pytest.mark.parametrize("codec", ["mpeg4", "libx264"])
def test_avi_with_b_frames_is_timed_by_decoding(tmp_path: Path, codec: str) -> None:
    path = write_stamped(tmp_path / "x.avi", 40, rate=25, b_frames=2, codec=codec)
    assert not probe(path).times_repaired
    assert_played_as_made(path, tmp_path / "out.mp4", 40, 0.04)


def test_damage_in_what_an_edit_list_leaves_out_is_not_the_videos(
    stamped: Path, tmp_path: Path, ffmpeg: Ffmpeg
) -> None:
    path = tmp_path / "cut.mp4"
    ffmpeg("-ss", 1.1, "-i", stamped, "-c", "copy", path)  # its key frame stands at 0.8 s
    with av.open(str(path)) as container:
        left_out = [p for p in container.demux(video=0) if p.size and p.is_discard]
        assert left_out
        others = min((p for p in left_out if not p.is_keyframe), key=lambda p: p.size)
        at, size = others.pos, others.size
    data = bytearray(path.read_bytes())
    data[at + 4 : at + size] = bytes(size - 4)  # a frame that no other one needs
    path.write_bytes(data)
    info, report = probe(path), DecodeReport()
    annotate(info, tmp_path / "out.mp4", lambda index, time_s, planes: planes, report=report)
    assert info.packets_bad == report.packets_bad == 0
    assert probe(tmp_path / "out.mp4").frames == info.frames


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_with_exif_are_turned_and_unknown_side_data_is_passed_over(
    tmp_path: Path, orientation: int
) -> None:
    """A camera's JPEGs, muxed as they are; EXIF comes as a kind that PyAV has no name for."""
    path, tag = tmp_path / "x.mov", Image.Exif()
    tag[0x0112] = orientation
    picture = Image.new("RGB", (96, 64), (100, 90, 30))
    picture.paste((255, 255, 255), (0, 0, 32, 16))
    jpeg = io.BytesIO()
    picture.save(jpeg, "JPEG", exif=tag, quality=95, subsampling=0)
    with av.open(str(path), "w") as output:
        stream = output.add_stream("mjpeg", rate=24)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuvj444p"
        for number in range(24):
            packet = av.Packet(jpeg.getvalue())
            packet.stream, packet.time_base = stream, Fraction(1, 24)
            packet.pts = packet.dts = number
            packet.is_keyframe = True
            output.mux(packet)
    info = probe(path)
    assert info.frames == 24
    ((_, shown),) = iter_frames(info, [11])
    turned = {
        1: None, 2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }[orientation]  # fmt: skip
    upright = np.asarray(picture if turned is None else picture.transpose(turned))
    assert shown.shape == upright.shape
    assert np.abs(shown.astype(int) - upright).mean() < 3


def test_a_key_flag_is_believed_of_the_decoder_only(tmp_path: Path, ffmpeg: Ffmpeg) -> None:
    """Matroska flags every frame of H.263 as a key frame."""
    pictures = (stamp(number, 352, 288) for number in range(60))
    source = write_stamped(tmp_path / "x.avi", pictures, codec="h263p", gop=12, b_frames=0)
    path = tmp_path / "x.mkv"
    ffmpeg("-i", source, "-c", "copy", path)
    assert len(frame_table(str(path)).keys) > 50
    for wanted in ([9], [20, 21, 38], [59], list(range(60))):
        assert [read(p) for _, p in iter_frames(probe(path), wanted)] == wanted


@pytest.mark.parametrize("start", [0, 7 * 90_000, 90_000 + 1_800, -90_000])
def test_two_recordings_in_one_file_are_shown_one_after_the_other(
    tmp_path: Path, start: int
) -> None:
    """Whatever the second one's clock says: earlier, between the first one's frames, or later."""
    data = b""
    for part, offset in enumerate((20 * 90_000, 20 * 90_000 + start)):
        pictures = (stamp(100 * part + number, 160, 120) for number in range(50))
        ticks = [3600 * number for number in range(50)]
        path = write_stamped(
            tmp_path / f"{part}.ts", pictures, rate=25, ticks=ticks, start=offset,
            time_base=Fraction(1, 90_000), b_frames=0,
        )  # fmt: skip
        data += path.read_bytes()
    (tmp_path / "x.ts").write_bytes(data)
    info = probe(tmp_path / "x.ts")
    assert info.frames == 100
    shown = [read(p) for _, p in iter_frames(info, range(100))]
    assert shown == [*range(50), *range(100, 150)]
    assert [read(p) for _, p in iter_frames(info, [3, 49, 50, 88])] == [3, 49, 100, 138]
    assert (np.diff(info.times_s) > 0).all()
