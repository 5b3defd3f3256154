from __future__ import annotations

import struct
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from stamped import read, stamp, write_stamped

from staa_cli.errors import OutputError, VideoError
from staa_cli.video.annotate import annotate
from staa_cli.video.decode import iter_frames
from staa_cli.video.encode import write_video
from staa_cli.video.encoders import Quality
from staa_cli.video.pixels import YuvPlanes
from staa_cli.video.probe import probe
from staa_cli.video.table import DecodeReport

Ffmpeg = Callable[..., bytes]


def same(index: int, time_s: float, planes: YuvPlanes) -> YuvPlanes:
    return planes


def top_boxes(path: Path) -> list[bytes]:
    data, at, names = path.read_bytes(), 0, []
    while at < len(data):
        size, name = struct.unpack(">I4s", data[at : at + 8])
        names.append(name)
        at += size or len(data)
    return names


@pytest.mark.parametrize(
    "name",
    [
        "archery.avi",
        "pancake.mkv",
        "bear_vp9_odd.webm",
        pytest.param("dog_rot180_vfr.mp4", marks=pytest.mark.slow),
        pytest.param("selfie_hevc_rot90_vfr.mp4", marks=pytest.mark.slow),
        pytest.param("solar_hdr10_av1_portrait.mp4", marks=pytest.mark.slow),
        pytest.param("concert_1080p50_pcm.mov", marks=pytest.mark.slow),
        pytest.param("person_walkby_long.mp4", marks=pytest.mark.slow),
        pytest.param("bunny_vp8_vorbis.webm", marks=pytest.mark.slow),
    ],
)
def test_clips_keep_their_times_shape_and_look(clips: Path, tmp_path: Path, name: str) -> None:
    source, path = probe(clips / name), tmp_path / "x.part"
    annotate(source, path, same, quality=Quality(crf=14))
    copy = probe(path)
    assert copy.times_s == pytest.approx(source.times_s, abs=1e-6)
    assert copy.duration_s == pytest.approx(source.duration_s, abs=0.0015)
    assert (copy.codec, copy.pixel_format, copy.rotation, copy.mirrored) == (
        *("h264", "yuv420p", 0),
        False,
    )
    assert (copy.width - source.width, copy.height - source.height) == (
        source.width % 2,
        source.height % 2,
    )
    assert copy.sample_aspect_ratio == source.sample_aspect_ratio
    assert (copy.audio is None) == (source.audio is None)
    middle = source.frames // 2
    (_, before), (_, after) = *iter_frames(source, [middle]), *iter_frames(copy, [middle])
    difference = after[: source.height, : source.width].astype(float) - before
    assert abs(difference.mean()) < 1.5
    assert np.abs(difference).mean() < 4
    assert top_boxes(path).index(b"moov") < top_boxes(path).index(b"mdat")


@pytest.mark.parametrize("ticks", [[0, 40, 80, 500, 510, 1200, 1201, 3000], [0, 3000], [0]])
def test_variable_rate_and_stated_duration(tmp_path: Path, ticks: list[int]) -> None:
    source = probe(
        write_stamped(tmp_path / "in.mkv", len(ticks), ticks=ticks, time_base=Fraction(1, 1000))
    )
    annotate(source, tmp_path / "out.mp4", same)
    copy = probe(tmp_path / "out.mp4")
    assert copy.times_s == pytest.approx(np.array(ticks) / 1000, abs=1e-9)
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.duration == pytest.approx(source.duration_s * 1e6, abs=1500)


def test_a_camera_that_slept_for_hours(tmp_path: Path) -> None:
    """MP4 counts the ticks between two frames in 32 bits: 6.6 hours of MPEG's clock."""
    ticks = [3600 * n + (90_000 * 25_200 if n > 15 else 0) for n in range(30)]
    clock = Fraction(1, 90_000)
    path = write_stamped(
        tmp_path / "x.ts", 30, rate=25, b_frames=0, ticks=ticks, time_base=clock, gop=5
    )
    annotate(probe(path), tmp_path / "out.mp4", same)
    copy = probe(tmp_path / "out.mp4")
    assert copy.times_s == pytest.approx(np.array(ticks) / 90_000, abs=1e-4)
    assert [read(p) for _, p in iter_frames(copy, [0, 15, 16, 29])] == [0, 15, 16, 29]


def test_a_picture_beyond_the_format_is_told(tmp_path: Path) -> None:
    tall = np.zeros((16_456, 96, 3), np.uint8)
    with pytest.raises(OutputError, match="96x16456 pixels are too many") as caught:
        write_video(tmp_path / "out.mp4", [tall])
    assert caught.value.hint
    assert [*tmp_path.iterdir()] == []


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not tell how much was taken")
def test_a_huge_picture_takes_memory_for_a_few(tmp_path: Path) -> None:
    """Alone, x264 would hold some 30 of them to look ahead."""
    pictures = (np.zeros((8192, 8192, 3), np.uint8) for _ in range(12))
    path = write_stamped(tmp_path / "x.mov", pictures, codec="mjpeg", pixels="yuvj420p", b_frames=0)
    code = (
        "import sys; from pathlib import Path; from staa_cli.memory import peak_memory_bytes;"
        "from staa_cli.video.annotate import annotate;from staa_cli.video.probe import probe;"
        "annotate(probe(sys.argv[1]), Path(sys.argv[2]), lambda n, t, planes: planes);"
        "print(peak_memory_bytes())"
    )
    line = [sys.executable, "-c", code, str(path), str(tmp_path / "out.mp4")]
    peak = subprocess.run(line, capture_output=True, check=True, text=True).stdout
    assert int(peak) < 2e9
    assert probe(tmp_path / "out.mp4").frames == 12


def test_every_frame_is_drawn_on_in_order(stamped: Path, tmp_path: Path) -> None:
    source, calls, done = probe(stamped), [], list[int]()

    def mark(index: int, time_s: float, planes: YuvPlanes) -> YuvPlanes:
        calls.append((index, time_s))
        y = planes.y.copy()
        y[200:, : 2 * index] = 235
        return YuvPlanes(y, planes.u, planes.v)

    report = DecodeReport()
    annotate(source, tmp_path / "out.mp4", mark, on_frame=done.append, report=report)
    assert [index for index, _ in calls] == done == list(range(120))
    assert [time for _, time in calls] == pytest.approx(source.times_s)
    assert report == DecodeReport(frames_decoded=120)
    for index, picture in iter_frames(probe(tmp_path / "out.mp4"), [0, 61, 119]):
        assert read(picture) == index
        assert (picture[220] > 150).all(axis=1).sum() == pytest.approx(2 * index, abs=6)


def test_drawing_in_place_does_not_reach_the_decoder(stamped: Path, tmp_path: Path) -> None:
    """Frames that others are predicted from must not see what was painted on them."""

    def ruin(index: int, time_s: float, planes: YuvPlanes) -> YuvPlanes:
        kept = YuvPlanes(planes.y.copy(), planes.u.copy(), planes.v.copy())
        for plane in (planes.y, planes.u, planes.v):
            plane[:] = 0
        return kept

    annotate(probe(stamped), tmp_path / "out.mp4", ruin)
    copy = probe(tmp_path / "out.mp4")
    assert [read(p) for _, p in iter_frames(copy, [1, 50, 118])] == [1, 50, 118]


def test_other_size(stamped: Path, tmp_path: Path) -> None:
    def beside(index: int, time_s: float, planes: YuvPlanes) -> YuvPlanes:
        y, u, v = (np.hstack([p, p]) for p in (planes.y, planes.u, planes.v))
        return YuvPlanes(y, u, v)

    annotate(probe(stamped), tmp_path / "out.mp4", beside, size=(640, 240))
    copy = probe(tmp_path / "out.mp4")
    assert (copy.width, copy.height, copy.frames) == (640, 240, 120)
    assert read(dict(iter_frames(copy, [77]))[77][:, 320:]) == 77


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_odd_sizes_and_turns(tmp_path: Path, turn: int) -> None:
    pictures = [stamp(n, 321, 241) for n in range(5)]
    path = write_stamped(
        tmp_path / "in.mp4", pictures, turn=turn, codec="libx264", pixels="yuv444p"
    )
    source = probe(path)
    annotate(source, tmp_path / "out.mp4", same, quality=Quality(crf=10))
    (_, before), (_, after) = (
        *iter_frames(source, [4]),
        *iter_frames(probe(tmp_path / "out.mp4"), [4]),
    )
    assert after.shape == ((322, 242, 3) if turn % 180 else (242, 322, 3))
    inner = after[: before.shape[0], : before.shape[1]]
    assert np.abs(inner.astype(int) - before).mean() < 3
    assert np.abs(after[-1].astype(int) - after[-2]).mean() < 3


@pytest.mark.parametrize(
    ("pixels", "matrix"), [("yuv420p", "bt601"), ("gray", "bt709"), ("bgr0", "bt709")]
)
def test_color_survives(tmp_path: Path, pixels: str, matrix: str) -> None:
    source = probe(write_stamped(tmp_path / "in.mkv", 3, codec="ffv1", pixels=pixels))
    said = set()

    def note(index: int, time_s: float, planes: YuvPlanes) -> YuvPlanes:
        said.add(planes.matrix)
        return planes

    annotate(source, tmp_path / "out.mp4", note, quality=Quality(crf=8))
    assert said == {matrix}
    (_, before), (_, after) = (
        *iter_frames(source, [1]),
        *iter_frames(probe(tmp_path / "out.mp4"), [1]),
    )
    assert np.abs(after[10, 10].astype(int) - before[10, 10]).max() <= 5
    assert np.abs(after.astype(int) - before).mean() < 2


def test_hdr_becomes_tagged_sdr(clips: Path, tmp_path: Path, ffmpeg: Ffmpeg) -> None:
    source = clips / "solar_hdr10_av1_portrait.mp4"
    ffmpeg("-i", source, "-c", "copy", "-an", "-frames:v", 4, tmp_path / "in.mp4")
    annotate(probe(tmp_path / "in.mp4"), tmp_path / "out.mp4", same)
    with av.open(str(tmp_path / "out.mp4")) as container:
        context = container.streams.video[0].codec_context
        tags = (context.colorspace, context.color_trc, context.color_primaries, context.color_range)
    assert tags == (1, 1, 1, 1)


class Stop(BaseException):
    pass


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, Stop])
@pytest.mark.parametrize("at", [0, 50])
def test_failure_leaves_nothing(
    with_sound: Path, tmp_path: Path, error: type[BaseException], at: int
) -> None:
    def fail(index: int, time_s: float, planes: YuvPlanes) -> YuvPlanes:
        if index == at:
            raise error
        return planes

    with pytest.raises(error):
        annotate(probe(with_sound), tmp_path / "out.mp4", fail)
    assert [p.name for p in tmp_path.iterdir()] == []


def test_full_disk(with_sound: Path, tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    target = tmp_path / "out.part"
    target.symlink_to("/dev/full")
    with pytest.raises(OutputError, match="no space left") as caught:
        annotate(probe(with_sound), target, same)
    assert caught.value.hint
    assert [p.name for p in tmp_path.iterdir()] == []


def test_places_that_cannot_be_written(stamped: Path, tmp_path: Path) -> None:
    for target in (tmp_path / "missing" / "out.mp4", tmp_path):
        with pytest.raises(OutputError, match="cannot write"):
            annotate(probe(stamped), target, same)
    assert [p.name for p in tmp_path.iterdir()] == []


def test_wrong_picture_size_from_draw(stamped: Path, tmp_path: Path) -> None:
    def shrink(index: int, time_s: float, planes: YuvPlanes) -> YuvPlanes:
        return YuvPlanes(planes.y[:-2], planes.u[:-1], planes.v[:-1])

    with pytest.raises(ValueError, match="320x238"):
        annotate(probe(stamped), tmp_path / "out.mp4", shrink)


def test_file_that_went_away(tmp_path: Path) -> None:
    path = write_stamped(tmp_path / "in.mp4", 20)
    source = probe(path)
    path.unlink()
    with pytest.raises(VideoError):
        annotate(source, tmp_path / "out.mp4", same)
    assert [p.name for p in tmp_path.iterdir()] == []


def test_name_with_a_colon(stamped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    annotate(probe(stamped), Path("a:b %d.part"), same)
    assert [p.name for p in tmp_path.iterdir()] == ["a:b %d.part"]


def test_written_videos_read_back(tmp_path: Path) -> None:
    samples = np.sin(np.arange(16_000) * 0.2).astype(np.float32)
    path = tmp_path / "x.mp4"
    write_video(path, (stamp(n) for n in range(60)), rate=30, audio=(samples, 8000), gop=10)
    info = probe(path)
    assert (info.frames, info.audio, info.variable_rate) == (60, "aac", False)
    assert info.duration_s == pytest.approx(2.0)
    assert [read(p) for _, p in iter_frames(info, [0, 31, 59])] == [0, 31, 59]
    (_, picture), *_ = iter_frames(info, [0])
    assert np.abs(picture[10, 10].astype(int) - (200, 30, 30)).max() <= 6


def test_written_times_and_rotation(tmp_path: Path) -> None:
    times_s = [0, 0.04, 0.5, 0.51, 3]
    path = tmp_path / "x.mp4"
    write_video(path, [stamp(n, 321, 240) for n in range(5)], times_s, rotation=90)
    info = probe(path)
    assert info.times_s == pytest.approx(times_s, abs=1e-9)
    assert (info.rotation, info.width, info.height) == (90, 240, 322)
    assert info.variable_rate
    (_, upright), *_ = iter_frames(info, [4])
    assert read(np.rot90(upright, -1)) == 4


def test_writing_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no frame"):
        write_video(tmp_path / "x.mp4", [])
    assert [p.name for p in tmp_path.iterdir()] == []


@pytest.mark.slow
def test_memory_does_not_grow_with_length(tmp_path: Path) -> None:
    import resource

    def most(frames: int) -> int:
        path = write_stamped(tmp_path / "in.mp4", (stamp(n, 640, 480) for n in range(frames)))
        annotate(probe(path), tmp_path / "out.mp4", same, quality=Quality("ultrafast"))
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    short = most(150)
    assert most(1200) - short < 60 * 1024  # kB; the planes are 550 MB
