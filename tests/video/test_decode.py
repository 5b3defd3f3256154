from __future__ import annotations

import random
import resource
import struct
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from stamped import Picture, read, stamp, write_stamped

from staa_cli.errors import VideoError
from staa_cli.video.decode import iter_frames
from staa_cli.video.pixels import Orientation
from staa_cli.video.probe import probe
from staa_cli.video.table import DecodeReport, frame_table

Ffmpeg = Callable[..., bytes]


def numbers(path: Path, wanted: list[int]) -> list[tuple[int, int]]:
    return [(index, read(picture)) for index, picture in iter_frames(probe(path), wanted)]


KINDS: dict[str, dict[str, object]] = {
    "gop12.mp4": {"gop": 12, "b_frames": 3},
    "gop250.mp4": {"gop": 250, "b_frames": 3},
    "open.mkv": {"gop": 30, "b_frames": 3, "options": {"x264-params": "open-gop=1"}},
    "refresh.mp4": {"gop": 250, "b_frames": 0, "options": {"intra-refresh": "1"}},
    "plain.ts": {"gop": 250},
    "late.ts": {"gop": 12, "start": 300},
    "packets.avi": {"gop": 12, "b_frames": 2},
    "program.mpg": {"codec": "mpeg2video", "gop": 9},
    "mpeg4.avi": {"codec": "mpeg4", "b_frames": 0},
    "flash.flv": {"gop": 12},
    "raw.h264": {"container": "h264"},
    "small.webm": {"codec": "libvpx", "options": {"deadline": "realtime", "cpu-used": "8"}},
    "pieces.mp4": {"container": "mp4"},
}


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[pytest.mark.slow] if n.endswith("webm") else []) for n in KINDS],
)
def test_exactly_the_frames_asked_for(tmp_path: Path, name: str) -> None:
    path = write_stamped(tmp_path / name, 100, **KINDS[name])  # type: ignore[arg-type]
    for seed in range(4):
        wanted = random.Random(seed).sample(range(100), 7)
        assert numbers(path, wanted) == [(n, n) for n in sorted(wanted)]
    assert numbers(path, [99]) == [(99, 99)]


def test_every_single_frame_of_a_stream_without_an_index(tmp_path: Path) -> None:
    """A seek can land inside a packet, and what is left of it takes that packet's time."""
    path = write_stamped(tmp_path / "x.mpg", 60, codec="mpeg2video", gop=9)
    assert [numbers(path, [n]) for n in range(60)] == [[(n, n)] for n in range(60)]


def test_variable_rate(tmp_path: Path) -> None:
    ticks = np.cumsum(np.random.default_rng(0).integers(1, 400, 90)).tolist()
    path = write_stamped(tmp_path / "x.mp4", 90, ticks=ticks, time_base=Fraction(1, 1000))
    assert numbers(path, [80, 3, 44, 3]) == [(n, n) for n in (3, 44, 80)]


def test_edit_list(stamped: Path, ffmpeg: Ffmpeg) -> None:
    cut = stamped.with_name("edit.mp4")
    ffmpeg("-ss", 1.03, "-i", stamped, "-c", "copy", cut)
    shown = [number for _, number in numbers(cut, list(range(probe(cut).frames)))]
    assert shown == list(range(shown[0], 120))
    assert shown[0] in (30, 31)
    assert numbers(cut, [7, 40]) == [(7, shown[7]), (40, shown[40])]


def test_order_and_repeats_do_not_matter_and_bounds_do(stamped: Path) -> None:
    assert numbers(stamped, [90, 5, 90, 5, 0]) == [(n, n) for n in (0, 5, 90)]
    assert numbers(stamped, []) == []
    for beyond in (-1, 120):
        with pytest.raises(IndexError, match="120"):
            numbers(stamped, [0, beyond])


@pytest.mark.parametrize("path", ["stamped", "unfit"])
def test_report_counts_what_was_read(stamped: Path, tmp_path: Path, path: str) -> None:
    video = stamped if path == "stamped" else write_stamped(tmp_path / "x.avi", 60)
    report = DecodeReport()
    list(iter_frames(probe(video), [3, 50], report))
    assert report == DecodeReport(frames_decoded=2)


def test_seeking_decodes_little(tmp_path: Path) -> None:
    path = write_stamped(tmp_path / "x.mp4", 600, gop=12)
    info = probe(path)
    assert frame_table(info.path).fit
    count = 0

    def trace(frame: object, event: str, argument: object) -> None:
        nonlocal count
        name = getattr(getattr(frame, "f_code", None), "co_name", "")
        count += event == "call" and name == "_decoded"

    sys.setprofile(trace)
    try:
        list(iter_frames(info, [300]))
    finally:
        sys.setprofile(None)
    assert 0 < count < 40  # each entry of the generator is one decoded frame


@pytest.mark.parametrize("name", ["arm_wrestling.mp4", "pancake.mkv", "archery.avi"])
def test_clips_match_ffmpeg(clips: Path, ffmpeg: Ffmpeg, name: str) -> None:
    info = probe(clips / name)
    wanted = [0, 1, info.frames // 2, info.frames - 1]
    choice = "+".join(f"eq(n\\,{n})" for n in wanted)
    raw = ffmpeg(
        *("-i", clips / name, "-vf", f"select={choice}", "-fps_mode", "passthrough"),
        *("-sws_flags", "bilinear", "-pix_fmt", "rgb24", "-f", "rawvideo", "-"),
    )
    theirs = np.frombuffer(raw, np.uint8).reshape(4, info.height, info.width, 3)
    for (_, ours), other in zip(iter_frames(info, wanted), theirs, strict=True):
        assert np.abs(ours.astype(int) - other).max() <= 2


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_turned_and_mirrored_like_ffmpeg(
    tmp_path: Path, ffmpeg: Ffmpeg, turn: int, mirror: bool
) -> None:
    path = write_stamped(tmp_path / "x.mp4", 3, turn=turn, mirror=mirror)
    info = probe(path)
    (_, ours), *_ = iter_frames(info, [0])
    raw = ffmpeg("-i", path, "-frames:v", 1, "-pix_fmt", "rgb24", "-f", "rawvideo", "-")
    theirs = np.frombuffer(raw, np.uint8).reshape(info.height, info.width, 3)
    assert ours.shape == theirs.shape
    # ffmpeg turns before it makes RGB: chroma is laid out a little differently.
    assert np.abs(ours.astype(int) - theirs).mean() < 1
    assert info.mirrored == mirror
    assert (info.width, info.height) == ((240, 320) if turn % 180 else (320, 240))


@pytest.mark.parametrize(
    ("matrix", "turns", "mirrored"),
    [
        ([0] * 9, 0, False),
        ([2**31 - 1, 0, 0, 0, 2**31 - 1, 0, 0, 0, 2**30], 0, False),
        ([-(2**31), -(2**31), 0, -(2**31), -(2**31), 0, 0, 0, 0], 0, False),
        ([46341, 46340, 0, -46340, 46341, 0, 0, 0, 2**30], 0, False),
        ([-46341, 46340, 0, -46340, -46341, 0, 0, 0, 2**30], 2, False),
        ([-65536, 0, 0, 0, 65536, 0, 0, 0, 2**30], 0, True),
    ],
)
def test_strange_matrices(matrix: list[int], turns: int, mirrored: bool) -> None:
    assert Orientation.of_matrix(matrix) == Orientation(turns % 4, mirrored)


@pytest.mark.parametrize(
    ("codec", "pixels"),
    [
        ("ffv1", "gray"),
        ("ffv1", "yuv444p10le"),
        ("ffv1", "yuva420p"),
        ("ffv1", "bgr0"),
        ("libx265", "yuv420p10le"),
        ("prores_ks", "yuv422p10le"),
        ("qtrle", "argb"),
        ("libx264", "yuvj420p"),
    ],
)
def test_pixel_formats(tmp_path: Path, codec: str, pixels: str) -> None:
    options = {"x265-params": "log-level=none"} if codec == "libx265" else None
    path = tmp_path / ("x.mkv" if codec == "ffv1" else "x.mov")
    write_stamped(path, 9, codec=codec, pixels=pixels, options=options)
    picture = dict(iter_frames(probe(path), [5]))[5]
    assert read(picture) == 5
    color = picture[10, 10].astype(int)
    expected = np.full(3, 82) if pixels == "gray" else np.array([200, 30, 30])
    assert np.abs(color - expected).max() <= 8
    assert np.abs(picture[200, 200].astype(int) - 96).max() <= 4


def test_odd_size(clips: Path) -> None:
    assert [p.shape for _, p in iter_frames(probe(clips / "bear_vp9_odd.webm"), [0, 29])] == [
        (121, 161, 3)
    ] * 2


def test_hdr_looks_like_its_scene(clips: Path, tmp_path: Path) -> None:
    info = probe(clips / "solar_hdr10_av1_portrait.mp4")
    picture = dict(iter_frames(info, [80]))[80].astype(float)
    sky, roof = picture[:400].mean(), picture[700:1200].mean()
    # Untreated, PQ codes give a gray sky (130) over a gray roof (100).
    assert 170 < sky < 240
    assert 60 < roof < 140


@pytest.mark.parametrize(("transfer", "code"), [(16, 0.5807), (18, 0.75)])
def test_hdr_white_and_grey_axis(tmp_path: Path, transfer: int, code: float) -> None:
    """Diffuse white (203 nits, ITU-R BT.2408) is a light neutral, black is black."""
    path = tmp_path / "x.mkv"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 32, "yuv420p10le"
        context = stream.codec_context
        context.color_trc, context.color_primaries, context.colorspace = transfer, 9, 9
        context.color_range = 1
        frame = av.VideoFrame(64, 32, "yuv420p10le")
        for plane, value in zip(frame.planes, (64 + 876 * code, 512, 512), strict=True):
            values = np.full((plane.height, plane.line_size // 2), round(value), np.uint16)
            values[:, : plane.width // 2] = 64 if value != 512 else 512
            plane.update(values.tobytes())
        frame.pts, frame.color_trc, frame.color_primaries = 0, transfer, 9
        frame.colorspace, frame.color_range = 9, 1
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    info = probe(path)
    assert info.transfer == {16: "pq", 18: "hlg"}[transfer]
    (_, picture), *_ = iter_frames(info, [0])
    assert picture[:, :28].max() <= 1
    assert 190 < picture[:, 36:].min() <= picture[:, 36:].max() < 225
    assert np.ptp(picture[16, 50].astype(int)) <= 2


def test_damage_stays_where_it_is(tmp_path: Path) -> None:
    """Bits flipped in the middle: all is read, what stands before and after is untouched."""
    noise = np.random.default_rng(0).integers(0, 90, (240, 320, 3), np.uint8)
    pictures: list[Picture] = [np.maximum(stamp(n), np.roll(noise, 5 * n, 1)) for n in range(150)]
    path = write_stamped(tmp_path / "x.mp4", pictures, gop=10, options={"sc_threshold": "0"})
    clean = dict(iter_frames(probe(path), range(150)))
    data = bytearray(path.read_bytes())
    chance = random.Random(1)
    for _ in range(200):
        data[chance.randrange(len(data) * 4 // 10, len(data) * 6 // 10)] ^= 1 << chance.randrange(8)
    path.write_bytes(data)
    info, report = probe(path), DecodeReport()
    got = dict(iter_frames(info, range(info.frames), report))
    assert sorted(got) == list(range(150))
    assert report.packets_bad > 0
    assert report.frames_decoded + len(report.missing) == 150
    for index in report.missing:
        assert np.array_equal(got[index], got[index - 1])
    sound = [n for n in range(150) if np.array_equal(got[n], clean[n])]
    assert set(range(40)) | set(range(110, 150)) <= set(sound)
    assert all(np.array_equal(p, clean[n]) for n, p in iter_frames(info, [5, 20, 120, 149]))


def test_cut_file_stands_in_for_its_broken_end(tmp_path: Path, ffmpeg: Ffmpeg) -> None:
    whole, fast = write_stamped(tmp_path / "whole.mp4", 120), tmp_path / "fast.mp4"
    ffmpeg("-i", whole, "-c", "copy", "-movflags", "+faststart", fast)
    data = fast.read_bytes()
    fast.write_bytes(data[: len(data) * 6 // 10])
    info, report = probe(fast), DecodeReport()
    last = [read(p) for _, p in iter_frames(info, range(info.frames - 4, info.frames), report)]
    assert report.truncated
    assert len(last) == 4
    assert info.frames - 5 <= last[-1] < info.frames


def test_size_change_keeps_one_size(tmp_path: Path) -> None:
    small = [stamp(n, 160, 120) for n in range(10)]
    one = write_stamped(tmp_path / "one.h264", 10, container="h264")
    two = write_stamped(tmp_path / "two.h264", small, container="h264")
    both = tmp_path / "both.h264"
    both.write_bytes(one.read_bytes() + two.read_bytes())
    got = list(iter_frames(probe(both), [3, 15]))
    assert [p.shape for _, p in got] == [(240, 320, 3)] * 2
    assert [read(p) for _, p in got] == [3, 5]


def test_file_that_changes_is_refused(tmp_path: Path) -> None:
    path = write_stamped(tmp_path / "x.mp4", 20)
    info = probe(path)
    write_stamped(path, 10)
    with pytest.raises(VideoError, match="changed"):
        list(iter_frames(info, [0]))
    path.unlink()
    with pytest.raises(VideoError, match="disappeared"):
        list(iter_frames(info, [0]))


def test_threads_do_not_disturb_each_other(stamped: Path) -> None:
    info = probe(stamped)
    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(numbers, stamped, [seed, 60 + seed]) for seed in range(8)]
    assert [job.result() for job in jobs] == [[(s, s), (60 + s, 60 + s)] for s in range(8)]
    assert info.frames == 120


def test_absurd_frame_count_in_the_index(stamped: Path, tmp_path: Path) -> None:
    data = bytearray(stamped.read_bytes())
    at = data.find(b"stsz") + 8
    data[at : at + 8] = struct.pack(">II", 1, 2_000_000_000)
    path = tmp_path / "x.mp4"
    path.write_bytes(data)
    with pytest.raises(VideoError):
        probe(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 4 * 2**20


@pytest.mark.slow
def test_memory_does_not_grow_with_length(tmp_path: Path) -> None:
    path = write_stamped(tmp_path / "x.mp4", (stamp(n, 640, 480) for n in range(1500)), gop=250)
    info = probe(path)

    def most(indices: range) -> int:
        for _ in iter_frames(info, indices):
            pass
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    short = most(range(50))
    assert most(range(1500)) - short < 40 * 1024  # kB; the frames are 1.4 GB
