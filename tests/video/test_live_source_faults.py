"""Sources that fail or wait: one line each, in time, and nothing is read that was not named."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import traceback
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from remote_files import Page, WebServer
from stamped import stamp, write_stamped
from stream_sources import Running, captured, fifo, free_port, http_answer, tcp_server

from staa_cli.errors import VideoError
from staa_cli.video.pixels import Converter

LIMIT_S = 0.6
"""Of waiting for a frame, in these tests."""
SOON_S = 1.5
"""Longest time that an end may take beyond that."""
FRAMES = 40


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """MPEG-TS with a key frame every 12 frames."""
    return write_stamped(tmp_path_factory.mktemp("ts") / "v.ts", FRAMES).read_bytes()


def sound(path: Path, seconds: int, video_s: float = 0.0) -> Path:
    """A file with sound, and with stamped pictures in its first seconds."""
    with av.open(str(path), "w") as output:
        pictures: Any = None
        if video_s:
            pictures = output.add_stream("libx264", rate=30, options={"preset": "superfast"})
            pictures.width, pictures.height, pictures.pix_fmt = 320, 240, "yuv420p"
            pictures.codec_context.max_b_frames = 0
        tone: Any = output.add_stream("aac", rate=48_000, layout="mono")
        if video_s:
            for number in range(round(30 * video_s)):
                frame = av.VideoFrame.from_ndarray(stamp(number), format="rgb24")
                frame.pts, frame.time_base = number, Fraction(1, 30)
                output.mux(pictures.encode(frame))
            output.mux(pictures.encode(None))
        for start in range(0, seconds * 48_000, 1024):
            samples = np.random.default_rng(start).normal(0, 0.1, (1, 1024)).astype(np.float32)
            block = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
            block.sample_rate, block.pts, block.time_base = 48_000, start, Fraction(1, 48_000)
            output.mux(tone.encode(block))
        output.mux(tone.encode(None))
    return path


def error_of(source: str | Path, **how: Any) -> tuple[VideoError, float]:
    """The error of a source, and the seconds until it."""
    result = captured(source, nothing_s=LIMIT_S, **how)
    assert result.error is not None, f"{len(result.frames)} frames"
    assert "\n" not in result.error.cause
    return result.error, result.seconds


# Waiting.


@pytest.mark.parametrize("protocol", ["rtsp", "http", "https", "tcp", "rtmp"])
def test_a_server_that_accepts_and_sends_nothing(protocol: str) -> None:
    with tcp_server(holds=True) as port:
        error, seconds = error_of(f"{protocol}://127.0.0.1:{port}/live")
    assert error.cause == f"nothing came within {LIMIT_S} s"
    assert "--timeout" in (error.hint or "")
    assert LIMIT_S <= seconds < LIMIT_S + SOON_S


def test_a_port_to_which_nobody_sends() -> None:
    error, seconds = error_of(f"udp://127.0.0.1:{free_port()}")
    assert "nothing came" in error.cause
    assert seconds < LIMIT_S + SOON_S


@pytest.mark.parametrize("protocol", ["rtsp", "http", "tcp", "rtmp"])
def test_a_server_that_is_not_there(protocol: str) -> None:
    error, seconds = error_of(f"{protocol}://user:hunter2@127.0.0.1:{free_port()}/live")
    assert error.cause == "cannot be opened: connection refused"
    assert seconds < SOON_S
    assert "hunter2" not in "".join(traceback.format_exception(error))


@pytest.mark.parametrize("protocol", ["rtsp", "http", "tcp"])
def test_a_server_that_nobody_knows(protocol: str) -> None:
    error, seconds = error_of(f"{protocol}://not..known:99/live")
    assert "cannot be opened" in error.cause
    assert "name of the server" in (error.hint or "")
    assert seconds < SOON_S


def test_a_page_that_is_not_there(web: WebServer) -> None:
    error, _ = error_of(f"{web.url}/none.ts")
    assert "404" in error.cause


def test_a_named_pipe_to_which_nobody_writes(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    error, seconds = error_of(tmp_path / "pipe")
    assert "nothing came" in error.cause
    assert seconds < LIMIT_S + SOON_S


def test_a_pipe_that_is_closed_at_once(tmp_path: Path) -> None:
    with fifo(tmp_path) as path:
        error, seconds = error_of(path)
    assert error.cause == "nothing was sent"
    assert seconds < SOON_S


def test_half_a_packet_and_then_nothing(tmp_path: Path, stream: bytes) -> None:
    half = stream[: len(stream) * 3 // 4 + 77]
    with fifo(tmp_path, half, holds=True) as path, tcp_server(half, holds=True) as port:
        for source in (path, f"tcp://127.0.0.1:{port}"):
            result = captured(source, nothing_s=LIMIT_S)
            assert result.error is not None
            assert "nothing came" in result.error.cause
            assert FRAMES // 2 < len(result.frames) < FRAMES
            assert result.seconds < LIMIT_S + SOON_S


def test_a_stream_whose_picture_stops_while_its_sound_goes_on(tmp_path: Path) -> None:
    content = sound(tmp_path / "v.ts", 20, video_s=1.5).read_bytes()
    parts = [content[at : at + 1880] for at in range(0, len(content), 1880)]
    with fifo(tmp_path, *parts, pause_s=0.01) as path:
        result = captured(path, nothing_s=LIMIT_S)
    assert result.error is not None
    assert "nothing came" in result.error.cause
    # The last ones end with the next picture, which does not come.
    assert result.numbers in [list(range(count)) for count in (43, 44, 45)]
    assert result.seconds < len(parts) * 0.01


def test_sound_only(tmp_path: Path) -> None:
    path = sound(tmp_path / "a.ts", 3)
    error, _ = error_of(path)
    assert "no video" in error.cause
    with tcp_server(path.read_bytes(), holds=True) as port:
        error, seconds = error_of(f"tcp://127.0.0.1:{port}")
    assert "no video" in error.cause or "nothing came" in error.cause
    assert seconds < LIMIT_S + SOON_S


# Damage.


def test_half_a_file(tmp_path: Path, stream: bytes) -> None:
    (tmp_path / "v.ts").write_bytes(stream[: len(stream) // 2 + 77])
    result = captured(tmp_path / "v.ts")
    assert result.error is None
    assert result.numbers == list(range(len(result.frames)))
    assert len(result.frames) > FRAMES // 3


def test_a_file_on_a_web_server_whose_connection_breaks(stream: bytes) -> None:
    answer = http_answer(stream[: len(stream) // 2], length=len(stream))
    with tcp_server(answer, asks=True) as port:
        result = captured(f"http://127.0.0.1:{port}/v.ts", reconnect_s=20)
    assert result.error is not None, "it is not begun again"
    assert "reading failed" in result.error.cause
    assert result.capture.connections == 1
    assert len(result.frames) > FRAMES // 3


@pytest.mark.parametrize("replaces", [False, True])
@pytest.mark.parametrize("name", ["v.ts", "v.mkv"])
def test_garbage_in_the_middle(tmp_path: Path, name: str, *, replaces: bool) -> None:
    content = write_stamped(tmp_path / name, 120, gop=6, b_frames=0).read_bytes()
    half, garbage = len(content) // 2, np.random.default_rng(1).bytes(5000)
    damaged = content[:half] + garbage + content[half + replaces * len(garbage) :]
    with fifo(tmp_path, damaged) as path:
        result = captured(path)
    assert result.error is None
    assert result.numbers[0] == 0
    assert result.numbers[-1] == 119, "it goes on"
    assert len(result.frames) > 60
    assert all(after > before for before, after in pairwise(result.times_s))


def test_a_size_and_a_rate_that_change(tmp_path: Path) -> None:
    parts = [
        write_stamped(tmp_path / "a.ts", 20, b_frames=0),
        write_stamped(
            tmp_path / "b.ts", (stamp(n, 160, 128) for n in range(20, 40)), rate=10, b_frames=0
        ),
    ]
    with fifo(tmp_path, *(part.read_bytes() for part in parts)) as path:
        result = captured(path)
    assert result.error is None
    assert result.numbers == list(range(40))
    assert {(frame.picture.width, frame.picture.height) for frame in result.frames} == {
        (320, 240),
        (160, 128),
    }
    info = result.capture.info
    assert info is not None
    convert = Converter(info)
    assert {convert.planes(frame.picture).y.shape for frame in result.frames} == {(240, 320)}
    gaps = np.diff(result.times_s)
    np.testing.assert_allclose(gaps[:19], 1 / 30)
    np.testing.assert_allclose(gaps[21:], 1 / 10)
    assert result.continues.count(False) <= 1


def test_a_header_without_a_frame(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "v.mkv"), "w") as output:
        video: Any = output.add_stream("libx264", rate=30)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        video.codec_context.open()
        output.start_encoding()
    error, seconds = error_of(tmp_path / "v.mkv")
    assert error.cause == "it ended before its first frame"
    assert seconds < SOON_S


@pytest.mark.parametrize(
    "content",
    [
        b"hello" * 500,
        b"\0" * 5000,
        b"<html>" * 99,
        b"\x89PNG\r\n\x1a\n" * 99,
        np.random.default_rng(0).bytes(5000),
    ],
)
def test_what_is_no_video(tmp_path: Path, web: WebServer, content: bytes) -> None:
    (tmp_path / "v.ts").write_bytes(content)
    web.pages["/v.ts"] = Page(content)
    for source in (tmp_path / "v.ts", f"{web.url}/v.ts"):
        error, seconds = error_of(source)
        assert error.cause in ("not a readable video", "no video stream")
        assert seconds < LIMIT_S + SOON_S
    with fifo(tmp_path, content) as path:
        error, _ = error_of(path)
        assert error.cause in ("not a readable video", "no video stream")
        assert error.hint is None


def test_an_mp4_whose_index_comes_last_through_a_pipe(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    pictures = (random.integers(0, 255, (240, 320, 3), np.uint8) for _ in range(20))
    content = write_stamped(tmp_path / "v.mp4", pictures, options={"qp": "0"}).read_bytes()
    with fifo(tmp_path, content) as path:
        error, seconds = error_of(path)
    assert error.cause == "not a video that can be read from a pipe"
    assert "MPEG-TS, Matroska, or a fragmented MP4" in (error.hint or "")
    assert seconds < SOON_S


# What was not named is not read.


@pytest.fixture
def private(tmp_path: Path, stream: bytes) -> Path:
    """A video that is on this machine."""
    (tmp_path / "private.ts").write_bytes(stream)
    return tmp_path / "private.ts"


@pytest.mark.parametrize(
    "form",
    [
        *("{}", "file:{}", "file://{}", "concat:{}", "subfile,,start,0,end,0,,:{}"),
        *("crypto+file:{}", "async:{}", "cache:{}", "data:video/mp2t;base64,AAAA"),
    ],
)
def test_a_playlist_of_a_server_reads_no_local_file(
    web: WebServer, private: Path, form: str
) -> None:
    lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:2", "#EXTINF:2,", form.format(private)]
    web.pages["/v.m3u8"] = Page("\n".join([*lines, "#EXT-X-ENDLIST", ""]).encode())
    key = f'#EXT-X-KEY:METHOD=AES-128,URI="{form.format(private)}"'
    lines[2:] = [key, "#EXTINF:2,", "v.ts"]
    web.pages["/key.m3u8"] = Page("\n".join([*lines, "#EXT-X-ENDLIST", ""]).encode())
    web.pages["/v.ts"] = Page(private.read_bytes())
    for name in ("v", "key"):
        result = captured(f"{web.url}/{name}.m3u8", nothing_s=2)
        assert result.frames == []
        assert result.error is not None
        assert str(private) not in result.error.cause


@pytest.mark.parametrize("form", ["file://{}", "{}", "concat:{}"])
def test_a_server_that_sends_elsewhere_reads_no_local_file(
    web: WebServer, private: Path, form: str
) -> None:
    web.pages["/v.ts"] = Page(redirects_to=form.format(private))
    result = captured(f"{web.url}/v.ts", nothing_s=2)
    assert result.frames == []
    assert result.error is not None


@pytest.mark.parametrize(
    "content",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{0}\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile {0}\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
    ],
)
def test_a_local_playlist_is_not_followed(tmp_path: Path, private: Path, content: str) -> None:
    text = content.format(private.name).encode()
    (tmp_path / "v.m3u8").write_bytes(text)
    error, _ = error_of(tmp_path / "v.m3u8")
    assert error.cause == "not a readable video"
    with fifo(tmp_path, text) as path:
        error, _ = error_of(path)


# Coming back, and the end.


def test_a_source_that_was_lost_and_comes_back(stream: bytes) -> None:
    with tcp_server(stream, holds=True) as port:
        running = Running(f"tcp://user:hunter2@127.0.0.1:{port}", reconnect_s=20)
        running.wait_for(FRAMES // 2)
    running.wait_for_message("it ended")
    first = len(running.captured.frames)
    time.sleep(0.2)
    with tcp_server(stream, holds=True, port=port):
        running.wait_for(first + FRAMES // 2)
        running.wait_for_message("again")
    running.captured.capture.stopped.set()
    result = running.end()
    assert result.error is None
    assert result.messages == [
        f"tcp://127.0.0.1:{port}: it ended; trying again for 20 s",
        f"tcp://127.0.0.1:{port}: frames come again",
    ]
    assert [frame.number for frame in result.frames] == list(range(len(result.frames)))
    assert all(after > before for before, after in pairwise(result.times_s))
    assert result.numbers[first] == 0
    breaks = [number for number, follows in enumerate(result.continues) if not follows]
    assert breaks == [first]


def test_a_source_that_stays_away(stream: bytes) -> None:
    with tcp_server(stream, holds=True) as port:
        running = Running(f"tcp://127.0.0.1:{port}", reconnect_s=1.2)
        running.wait_for(FRAMES // 2)
    lost_s = time.monotonic()
    result = running.end()
    assert result.error is not None
    assert result.error.cause == "it ended, and did not come back within 1.2 s"
    assert len(result.messages) == 1
    assert 1.0 < time.monotonic() - lost_s < 1.2 + SOON_S


def test_a_source_that_ends_is_not_asked_again_without_a_time_for_it(stream: bytes) -> None:
    with tcp_server(stream) as port:
        result = captured(f"tcp://127.0.0.1:{port}", reconnect_s=0.0)
    assert result.error is None
    assert result.messages == []
    assert result.seconds < SOON_S


@pytest.mark.slow
def test_a_playlist_that_stands_still_is_not_shown_again(
    web: WebServer, tmp_path: Path, stream: bytes
) -> None:
    """As of a server whose encoder has died, and is started again."""
    ticks = [3000 * (n + 10) for n in range(FRAMES, 2 * FRAMES)]
    later = (stamp(number) for number in range(FRAMES, 2 * FRAMES))
    write_stamped(tmp_path / "b.ts", later, ticks=ticks, time_base=Fraction(1, 90_000))
    web.pages["/a.ts"], web.pages["/b.ts"] = Page(stream), Page((tmp_path / "b.ts").read_bytes())
    lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:1", "#EXT-X-MEDIA-SEQUENCE:0", "#EXTINF:1,", "a.ts"]
    web.pages["/v.m3u8"] = Page("\n".join([*lines, ""]).encode())
    running = Running(f"{web.url}/v.m3u8", nothing_s=LIMIT_S, reconnect_s=4)
    running.wait_for_message("trying again")
    while running.captured.capture.connections < 2:
        time.sleep(0.01)
    web.pages["/v.m3u8"] = Page("\n".join([*lines, "#EXTINF:1,", "b.ts", ""]).encode())
    running.wait_for_message("come again")
    result = running.end()
    assert result.error is not None
    assert "did not come back" in result.error.cause or "nothing came" in result.error.cause
    assert result.numbers == list(range(2 * FRAMES))
    words = [message.split("; ")[-1].rpartition(": ")[2] for message in result.messages]
    assert words == ["trying again for 4 s", "frames come again", "trying again for 4 s"]


def test_it_stops_while_it_waits(tmp_path: Path, stream: bytes) -> None:
    """Wherever the waiting is ours."""
    (tmp_path / "grows.ts").write_bytes(stream)
    slow = write_stamped(
        tmp_path / "slow.mkv", 3, ticks=[0, 20_000, 40_000], time_base=Fraction(1, 1000)
    )
    with fifo(tmp_path, stream, holds=True) as path, tcp_server(stream, holds=True) as port:
        others = [
            Running(path),
            Running(tmp_path / "grows.ts", follow=True),
            Running(slow, paced=True),
        ]
        away = Running(f"tcp://127.0.0.1:{port}", reconnect_s=60)
        away.wait_for(FRAMES // 2)
        for running in others:
            running.wait_for(1)
        time.sleep(0.1)
        assert max(running.stop() for running in others) < 1
    away.wait_for_message("it ended")
    assert away.stop() < 1
    (tmp_path / "pipe").unlink()
    os.mkfifo(tmp_path / "pipe")
    nobody = Running(tmp_path / "pipe")
    time.sleep(0.2)
    assert nobody.stop() < 1
    assert all(running.captured.error is None for running in (*others, away, nobody))


END = """
import threading, time
from stream_sources import Running
from staa_cli.video.stream_address import StreamAddress
running = Running("{0}", nothing_s=600)
{1}
running.captured.capture.stopped.set()
print("ends", flush=True)
"""


@pytest.mark.parametrize("protocol", ["rtsp", "http", "tcp"])
def test_a_process_ends_while_ffmpeg_waits_for_a_server(protocol: str) -> None:
    """Reading from a network is interrupted by its time limit only, but its thread keeps nobody."""
    paths = os.pathsep.join(filter(None, sys.path))
    with tcp_server(holds=True) as port:
        code = END.format(f"{protocol}://127.0.0.1:{port}/live", "time.sleep(0.3)")
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            env={**os.environ, "PYTHONPATH": paths},
            timeout=30,
        )
    assert (done.returncode, done.stdout) == (0, b"ends\n"), done.stderr
