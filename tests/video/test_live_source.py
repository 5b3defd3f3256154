"""Streams of every kind give their frames, each once, and every wait for them has a limit."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from remote_files import Page, WebServer
from stamped import stamp, write_stamped
from stream_sources import (
    LIMIT_S,
    Captured,
    Running,
    captured,
    fifo,
    free_port,
    http_answer,
    tcp_server,
)

FRAMES = 40
SOON_S = 1.5
"""Longest time that an end may take where nothing has to be waited for."""
FRAGMENTED = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
FORMATS = {
    "v.ts": {},
    "v.mkv": {},
    "v.y4m": {"codec": "wrapped_avframe", "container": "yuv4mpegpipe"},
    "v.flv": {},
    "v.nut": {},
}


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the same stamped pictures in several formats."""
    folder = tmp_path_factory.mktemp("videos")
    for name, how in FORMATS.items():
        write_stamped(folder / name, FRAMES, **how)  # type: ignore[arg-type]
    write_stamped(folder / "late.mp4", noisy(FRAMES), options={"qp": "0"})
    fragments = av.open(str(folder / "v.mp4"), "w", options=FRAGMENTED)
    with av.open(str(folder / "v.mkv")) as old, fragments as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(video=0):
            if packet.size:
                packet.stream = stream
                new.mux(packet)
    return folder


def noisy(count: int) -> Iterator[np.ndarray]:
    """Pictures that take much space: more than is read ahead."""
    random = np.random.default_rng(0)
    for number in range(count):
        picture = stamp(number)
        picture[130:] = random.integers(0, 255, (110, 320, 3), np.uint8)
        yield picture


def serve(web: WebServer, folder: Path) -> None:
    """Put the files of a folder on a web server that sends parts of them, too."""
    for path in folder.iterdir():
        web.pages[f"/{path.name}"] = Page(path.read_bytes(), {"Accept-Ranges": "bytes"})


@pytest.fixture
def ffmpeg_pushes() -> Iterator[Callable[..., None]]:
    """Runs ffmpeg beside the test, until its end."""
    program = shutil.which("ffmpeg")
    if program is None:
        pytest.skip("ffmpeg is not installed")
    running: list[subprocess.Popen[bytes]] = []

    def push(*words: object) -> None:
        line = [program, "-v", "error", "-nostdin", "-y", *map(str, words)]
        running.append(subprocess.Popen(line, stderr=subprocess.DEVNULL))

    yield push
    for process in running:
        process.kill()
        process.wait()


def check_all(stream: Captured, count: int = FRAMES) -> None:
    assert stream.error is None
    assert stream.numbers == list(range(count))
    assert [frame.number for frame in stream.frames] == list(range(count))
    np.testing.assert_allclose(stream.times_s, np.arange(count) / 30, atol=1.1e-3)
    assert all(stream.continues)
    assert stream.capture.packets_bad == 0


# Every kind of source.


@pytest.mark.parametrize("name", [*FORMATS, "v.mp4", "late.mp4"])
def test_a_file(videos: Path, name: str) -> None:
    check_all(captured(videos / name))


@pytest.mark.parametrize("name", [*FORMATS, "v.mp4"])
def test_a_named_pipe(videos: Path, tmp_path: Path, name: str) -> None:
    with fifo(tmp_path, (videos / name).read_bytes()) as path:
        check_all(captured(path))


READ_STDIN = """
import sys
from stream_sources import captured
stream = captured("-")
print(stream.error, *stream.numbers)
"""


@pytest.mark.parametrize("name", ["v.ts", "v.mp4"])
def test_standard_input(videos: Path, name: str) -> None:
    content = (videos / name).read_bytes()
    path = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        [sys.executable, "-c", READ_STDIN],
        input=content,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": path},
        timeout=60,
    )
    assert done.stdout.decode().split() == ["None", *map(str, range(FRAMES))], done.stderr


@pytest.mark.parametrize("name", ["v.ts", "v.mkv", "v.mp4"])
def test_a_growing_file(videos: Path, tmp_path: Path, name: str) -> None:
    content, path = (videos / name).read_bytes(), tmp_path / name
    half = len(content) * 3 // 4  # enough to know what it is
    path.write_bytes(content[:half])
    running = Running(path, follow=True, nothing_s=0.5)
    running.wait_for(3)
    first = len(running.captured.frames)
    assert first < FRAMES, "frames come while it grows"
    with path.open("ab", buffering=0) as file:
        for start in range(half, len(content), 5000):
            file.write(content[start : start + 5000])
            time.sleep(0.005)
    stream = running.end()
    check_all(stream)
    assert stream.seconds < 0.5 + 2 * SOON_S


@pytest.mark.parametrize("name", ["v.ts", "v.mkv", "v.mp4", "late.mp4"])
def test_a_file_on_a_web_server_is_read_once(web: WebServer, videos: Path, name: str) -> None:
    serve(web, videos)
    check_all(captured(f"{web.url}/{name}", reconnect_s=LIMIT_S))


def test_a_playlist_on_a_web_server(
    web: WebServer, videos: Path, tmp_path: Path, ffmpeg: Callable[..., bytes]
) -> None:
    """With sound in a file of its own, as many have."""
    for name, ending, words in (
        ("v", "ts", ("-i", videos / "v.mkv", "-c", "copy")),
        ("sound", "aac", ("-f", "lavfi", "-i", "sine=d=1", "-c:a", "aac")),
    ):
        cut = ("-f", "segment", "-segment_time", "0.5")
        ffmpeg(
            *words,
            *cut,
            "-segment_list",
            tmp_path / f"{name}.m3u8",
            tmp_path / f"{name}%d.{ending}",
        )
    (tmp_path / "all.m3u8").write_text(
        '#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="en",DEFAULT=YES,URI="sound.m3u8"\n'
        '#EXT-X-STREAM-INF:BANDWIDTH=100000,AUDIO="a"\nv.m3u8\n'
    )
    serve(web, tmp_path)
    for name in ("v.m3u8", "all.m3u8"):
        check_all(captured(f"{web.url}/{name}", reconnect_s=LIMIT_S))


def mpjpeg(count: int) -> bytes:
    """The body of a camera's answer: pictures one after the other."""
    parts = []
    codec = av.CodecContext.create("mjpeg", "w")
    codec.width, codec.height, codec.pix_fmt = 320, 240, "yuvj420p"
    codec.time_base = Fraction(1, 30)
    for number in range(count):
        frame = av.VideoFrame.from_ndarray(stamp(number), format="rgb24").reformat(
            format="yuvj420p", dst_color_range="JPEG"
        )
        frame.pts = number
        parts += [bytes(packet) for packet in codec.encode(frame)]
    parts += [bytes(packet) for packet in codec.encode(None)]
    return b"".join(
        b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n"
        % (len(part), part)
        for part in parts
    )


def test_pictures_of_a_camera_over_http() -> None:
    answer = http_answer(mpjpeg(FRAMES), "multipart/x-mixed-replace;boundary=frame")
    with tcp_server(answer, asks=True) as port:
        stream = captured(f"http://127.0.0.1:{port}/video")
    assert stream.numbers == list(range(FRAMES))
    assert all(after > before for before, after in pairwise(stream.times_s))
    assert all(stream.continues)


def test_tcp(videos: Path) -> None:
    with tcp_server((videos / "v.ts").read_bytes()) as port:
        check_all(captured(f"tcp://127.0.0.1:{port}"))


def test_udp(videos: Path) -> None:
    port = free_port(socket.SOCK_DGRAM)
    running = Running(f"udp://127.0.0.1:{port}", nothing_s=1.0)
    content = (videos / "v.ts").read_bytes()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        end = time.monotonic() + LIMIT_S
        # Whether the receiver listens already cannot be known: send until it does.
        after = 0
        while after < 2 and time.monotonic() < end:
            after += bool(running.captured.frames)
            for start in range(0, len(content), 1316):
                sender.sendto(content[start : start + 1316], ("127.0.0.1", port))
                time.sleep(0.0005)
    stream = running.end()
    assert stream.error is not None
    assert "nothing came within 1 s" in stream.error.cause
    assert set(stream.numbers) == set(range(FRAMES))
    assert all(after > before for before, after in pairwise(stream.times_s))


def test_rtsp(videos: Path, ffmpeg_pushes: Callable[..., None]) -> None:
    url = f"rtsp://127.0.0.1:{free_port()}/live"
    options = {"rtsp_flags": "listen", "listen_timeout": "10"}
    running = Running(url, nothing_s=10, options=options)
    time.sleep(0.2)  # until it listens
    ffmpeg_pushes(
        *("-re", "-i", videos / "v.mkv", "-c", "copy", "-f", "rtsp", "-rtsp_transport", "tcp", url)
    )
    stream = running.end()
    assert stream.numbers == list(range(FRAMES))
    # The time of the first one is a guess of FFmpeg.
    np.testing.assert_allclose(np.diff(stream.times_s[1:]), 1 / 30, atol=1.1e-3)
    assert all(stream.continues)


def test_a_camera() -> None:
    """Test pictures come from the same library as cameras do."""
    stream = captured("lavfi:testsrc2=s=64x48:r=20:d=1")
    assert stream.times_s == pytest.approx(np.arange(20) / 20)
    info = stream.capture.info
    assert info is not None
    assert (info.width, info.height, info.rate) == (64, 48, 20)


def test_options_reach_the_source(videos: Path) -> None:
    # Skips the first bytes of the file, up to a later key frame.
    skip = {"skip_initial_bytes": str((videos / "v.ts").stat().st_size // 188 // 2 * 188)}
    numbers = captured(videos / "v.ts", options=skip).numbers
    assert 0 < len(numbers) < FRAMES
    assert numbers[-1] == FRAMES - 1


def test_a_paced_file_takes_as_long_as_it_plays(videos: Path) -> None:
    stream = captured(videos / "v.ts", paced=True)
    check_all(stream)
    assert (FRAMES - 1) / 30 - 0.05 < stream.seconds < FRAMES / 30 + SOON_S
    due = np.array([frame.arrived_s for frame in stream.frames])
    np.testing.assert_allclose(due - due[0], stream.times_s, atol=1e-6)


def test_the_arrival_of_a_frame_is_that_of_its_own_packet(tmp_path: Path) -> None:
    """A frame that the decoder holds back, as earlier ones are shown before it, arrived before."""
    path = write_stamped(tmp_path / "v.mkv", 24, b_frames=3, options={"x264-params": "b-adapt=0"})
    order: list[int] = []

    def send(server: socket.socket) -> None:
        peer, _ = server.accept()
        target = peer.makefile("wb", buffering=0)
        with peer, target, av.open(str(path)) as old, av.open(target, "w", format="mpegts") as new:
            stream = new.add_stream_from_template(old.streams.video[0])
            for packet in old.demux(video=0):
                if packet.pts is not None:
                    order.append(round(float(packet.pts * packet.time_base) * 30))
                    packet.stream = stream
                    new.mux(packet)
                    time.sleep(0.03)

    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        thread = threading.Thread(target=send, args=(server,), daemon=True)
        thread.start()
        stream = captured(f"tcp://127.0.0.1:{server.getsockname()[1]}")
        thread.join(LIMIT_S)
    assert stream.numbers == list(range(24))
    arrived_s = [frame.arrived_s for frame in stream.frames]
    assert sorted(range(24), key=arrived_s.__getitem__) == order
    assert order != list(range(24)), "later frames come first"
    assert all(frame.arrived_s <= frame.decoded_s for frame in stream.frames)
    held_s = [frame.decoded_s - frame.arrived_s for frame in stream.frames]
    assert max(held_s) > 0.025, "frames that the decoder holds back"
