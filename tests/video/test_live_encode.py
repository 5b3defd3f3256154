"""What is written of a stream can be read at any moment, with the stream's times and colors."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from stamped import read, stamp
from stream_sources import LIMIT_S, Running, free_port

from staa_cli.errors import OutputError, UsageError
from staa_cli.video.encode import BT709, CLOCK, Color, Shape
from staa_cli.video.frame_source import VideoFile
from staa_cli.video.live_encode import LiveWriter, Target
from staa_cli.video.pixels import YuvPlanes, plane_array

NAMES = ("v.mp4", "v.mkv", "v.ts")
SHAPE = Shape(320, 240, CLOCK, Fraction(30), variable_rate=True)
BT601 = Color(matrix=6, transfer=6, primaries=6)


def planes(number: int, color: Color = BT709) -> YuvPlanes:
    """A stamped picture as it is drawn."""
    matrix = "ITU709" if color == BT709 else "ITU601"
    frame = av.VideoFrame.from_ndarray(stamp(number), format="rgb24").reformat(
        format="yuv420p", dst_colorspace=matrix, dst_color_range="MPEG"
    )
    y, u, v = map(plane_array, frame.planes)
    return YuvPlanes(y, u, v, "bt709" if color == BT709 else "bt601")


def writer(name: str | Path, shape: Shape = SHAPE) -> LiveWriter:
    return LiveWriter(Target.parse(str(name)), shape, preset="ultrafast", crf=18)


def pictures(path: Path) -> tuple[list[int], list[float]]:
    """Numbers and times of the frames that can be read so far, according to PyAV."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    numbers = [read(np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)) for frame in frames]
    return numbers, [float(frame.pts * frame.time_base) for frame in frames]


def frames_by_ffprobe(path: Path) -> int:
    program = shutil.which("ffprobe")
    if program is None:
        pytest.skip("ffprobe is not installed")
    line = [program, "-v", "quiet", "-of", "json", "-count_frames", "-show_streams", str(path)]
    done = subprocess.run(line, capture_output=True, check=True, timeout=60)
    return int(json.loads(done.stdout)["streams"][0]["nb_read_frames"])


@pytest.mark.parametrize("name", NAMES)
def test_times_and_pictures(tmp_path: Path, name: str) -> None:
    times_s = [0.0, 0.04, 0.1, 0.101, 0.5, 1.7, 1.75, 3.0]
    live = writer(tmp_path / name)
    for number, time_s in enumerate(times_s):
        live.write(planes(number), time_s)
    live.close()
    info = VideoFile(tmp_path / name).info
    rounding = 0.0006 if name == "v.mkv" else 1 / 90_000  # Matroska counts milliseconds
    np.testing.assert_allclose(info.times_s, times_s, atol=rounding)
    assert pictures(tmp_path / name)[0] == list(range(len(times_s)))
    assert frames_by_ffprobe(tmp_path / name) == len(times_s)


@pytest.mark.parametrize("name", NAMES)
def test_it_can_be_read_while_it_grows(tmp_path: Path, name: str) -> None:
    live, path = writer(tmp_path / name), tmp_path / name
    for number in range(150):
        live.write(planes(number), number / 30)
        if number in (75, 149):
            numbers, times_s = pictures(path)
            assert numbers == list(range(len(numbers)))
            # What has not come yet is less than the time between key frames, and a cluster.
            assert len(numbers) > number - 45
            np.testing.assert_allclose(np.diff(times_s), 1 / 30, atol=1.1e-3)
    # As after the process was killed: nothing is written any more.
    shutil.copy(path, tmp_path / f"killed-{name}")
    live.close()
    killed = tmp_path / f"killed-{name}"
    count = len(pictures(killed)[0])
    assert count > 105
    assert frames_by_ffprobe(killed) == count
    assert VideoFile(killed).info.frames == count
    assert pictures(path)[0] == list(range(150))
    with av.open(str(path)) as container:
        keys = [p.pts * p.time_base for p in container.demux(video=0) if p.is_keyframe]
    np.testing.assert_allclose(np.diff(np.array(keys, float)), 1, atol=0.002)


@pytest.mark.parametrize("name", NAMES)
def test_a_slow_source_appears_in_time(tmp_path: Path, name: str) -> None:
    """Also where the stated rate is far from the real one: a key frame comes each second."""
    live, path = writer(tmp_path / name), tmp_path / name
    for number in range(10):
        live.write(planes(number), float(number))
    assert len(pictures(path)[0]) >= 7
    live.close()
    with av.open(str(path)) as container:
        assert sum(packet.is_keyframe for packet in container.demux(video=0)) >= 8


def test_a_growing_file_can_be_followed(tmp_path: Path) -> None:
    live, path = writer(tmp_path / "v.ts"), tmp_path / "v.ts"
    for number in range(40):
        live.write(planes(number), number / 30)
    running = Running(path, follow=True, nothing_s=1.0)
    running.wait_for(20)
    for number in range(40, 60):
        live.write(planes(number), number / 30)
    running.wait_for(50)
    live.close()
    stream = running.end()
    assert stream.error is None
    assert stream.numbers == list(range(60))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("color", [BT709, BT601])
def test_colors(tmp_path: Path, name: str, color: Color) -> None:
    live = writer(tmp_path / name, Shape(320, 240, CLOCK, Fraction(30), True, color))
    live.write(planes(3, color), 0.0)
    live.close()
    with av.open(str(tmp_path / name)) as container:
        frame = next(container.decode(video=0))
    assert frame.colorspace == color.matrix
    assert frame.color_trc == color.transfer
    assert frame.color_primaries == color.primaries
    ((_, picture),) = VideoFile(tmp_path / name).read([0])
    corner = picture[5:20, 5:30].reshape(-1, 3).mean(axis=0)
    np.testing.assert_allclose(corner, (200, 30, 30), atol=6)


def test_the_shape_of_pixels(tmp_path: Path) -> None:
    for name in NAMES:
        live = writer(
            tmp_path / name, Shape(320, 240, CLOCK, Fraction(30), True, aspect=Fraction(4, 3))
        )
        live.write(planes(0), 0.0)
        live.close()
        assert VideoFile(tmp_path / name).info.sample_aspect_ratio == (4, 3)


def test_udp(tmp_path: Path) -> None:
    port = free_port(socket.SOCK_DGRAM)
    running = Running(f"udp://127.0.0.1:{port}", nothing_s=1)
    live = writer(f"udp://127.0.0.1:{port}")
    end = time.monotonic() + LIMIT_S
    number = 0
    while len(running.captured.frames) < 20 and time.monotonic() < end:
        live.write(planes(number), number / 30)
        number += 1
        time.sleep(0.01)
    live.close()
    running.captured.capture.stopped.set()
    numbers = running.end().numbers
    assert len(numbers) >= 20
    assert numbers == sorted(set(numbers))


STDOUT = """
import sys, time
sys.path[:0] = {paths!r}
from test_live_encode import planes, writer
live = writer("-")
try:
    for number in range(300):
        live.write(planes(number), number / 30)
    live.close()
except BrokenPipeError:
    print("broken", file=sys.stderr, flush=True)
    live.abandon()
"""


def run_stdout(**how: Any) -> subprocess.Popen[bytes]:
    code = STDOUT.format(paths=[str(Path(__file__).parent), *filter(None, sys.path)])
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, **how)


def test_standard_output(tmp_path: Path) -> None:
    with run_stdout() as process:
        assert process.stdout is not None
        (tmp_path / "v.ts").write_bytes(process.stdout.read())
    assert process.returncode == 0
    assert pictures(tmp_path / "v.ts")[0] == list(range(300))


def test_standard_output_that_nobody_reads_any_more() -> None:
    with run_stdout(stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(1000)
        process.stdout.close()
        assert process.stderr.read().startswith(b"broken\n")
    assert process.returncode == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("ending", ["mp4", "mkv", "ts"])
def test_a_full_disk(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"v.{ending}"
    path.symlink_to("/dev/full")

    def fill() -> None:
        live = writer(path)
        try:
            for number in range(200):
                live.write(planes(number), number / 30)
        finally:
            live.abandon()

    with pytest.raises(OutputError, match="no space left") as raised:
        fill()
    assert str(path) in raised.value.cause
    assert raised.value.hint


def test_a_receiver_that_is_not_there_is_named_as_it_was_given() -> None:
    with pytest.raises(OutputError, match=r"cannot write udp://nowhere\.invalid:1234: "):
        writer("udp://nowhere.invalid:1234")


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot write"):
        writer(tmp_path / "none" / "v.mp4")


@pytest.mark.parametrize(
    ("text", "form", "is_file"),
    [
        ("-", "mpegts", False),
        ("a.mp4", "mp4", True),
        ("A B:c%03d.MKV", "matroska", True),
        ("x/y.ts", "mpegts", True),
        ("udp://127.0.0.1:5000", "mpegts", False),
        ("udp://127.0.0.1:5000?ttl=2", "mpegts", False),
    ],
)
def test_targets(text: str, form: str, *, is_file: bool) -> None:
    target = Target.parse(text)
    assert (target.format, target.is_file) == (form, is_file)
    assert ("pkt_size=1316" in target.name) == text.startswith("udp")


@pytest.mark.parametrize(
    "text", ["a.avi", "a", "", "tcp://a:1", "rtmp://a/b", "file://a.mp4", "a.gif"]
)
def test_what_is_no_target(text: str) -> None:
    with pytest.raises(UsageError, match="--output") as raised:
        Target.parse(text)
    assert "udp://HOST:PORT" in (raised.value.hint or "")


def test_a_name_with_special_characters_is_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a%03d.mkv", "pipe:1.ts", "-x:y.mp4", "concat:z.ts"):
        live = writer(name)
        live.write(planes(1), 0.0)
        live.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "-x:y.mp4",
        "a%03d.mkv",
        "concat:z.ts",
        "pipe:1.ts",
    ]
