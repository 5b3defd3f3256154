"""What a user may name as the source of a stream."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from staa_cli.errors import StaaError, UsageError, VideoError
from staa_cli.video.stream_address import DEVICES, PROTOCOLS, StreamAddress

SECRETS = ("hunter2", "tlJwpbo6", "s3cr3t")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_url(protocol: str) -> None:
    address = StreamAddress.parse(f"{protocol.upper()}://Camera.local:99/Live/1?channel=2")
    assert address.kind == "network"
    assert address.name == f"{protocol}://Camera.local:99/Live/1?channel=2"
    assert address.reconnects
    assert not address.waits


@pytest.mark.parametrize("text", ["udp://:5000", "udp://@:5000", "rtp://@239.0.0.1:1"])
def test_a_url_of_a_receiver(text: str) -> None:
    assert StreamAddress.parse(text).name == text


@pytest.mark.parametrize("device", DEVICES)
def test_a_camera(device: str) -> None:
    address = StreamAddress.parse(f"{device}:Front camera:1 (USB)")
    assert (address.kind, address.format) == ("device", device)
    assert (address.name, address.shown) == (
        "Front camera:1 (USB)",
        f"{device}:Front camera:1 (USB)",
    )
    assert address.reconnects == (device != "lavfi")


def test_stdin() -> None:
    address = StreamAddress.parse("-")
    assert (address.kind, address.name, address.shown) == ("pipe", "-", "standard input")
    assert not address.waits
    assert not address.reconnects


@pytest.mark.parametrize("name", ["v.mp4", "rtsp", "v4l2", "a:b.mp4", "-", "http:x", "C:x.mp4"])
def test_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(b"x")
    address = StreamAddress.parse(f"./{name}")
    assert (address.kind, address.name) == ("file", str(tmp_path / name))
    assert address.waits
    assert not address.reconnects
    growing = StreamAddress.parse(f"./{name}", follow=True)
    assert (growing.kind, growing.name) == ("growing", address.name)
    assert not growing.waits


def test_a_named_pipe_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    address = StreamAddress.parse(str(tmp_path / "pipe"))
    assert (address.kind, address.name) == ("pipe", str(tmp_path / "pipe"))


@pytest.mark.parametrize(
    ("text", "cause", "hint"),
    [
        ("rtps://camera/1", "does not read streams from rtps://", "rtsp"),
        ("file:///etc/passwd", "a file is given by its path", "leave out file:"),
        ("file:v.mp4", "a file is given by its path", "leave out file:"),
        ("concat://a.ts", "does not read streams from concat://", "v4l2"),
        ("hls+http://a/b.m3u8", "does not read streams from hls[+]http://", "http"),
        ("s3://bucket/v.mp4", "does not read streams from s3://", "rtsp://"),
        ("srt://a:1", "does not read streams from srt://", "rt"),
        ("rtsp://", "has no server", ""),
        ("http:///", "has no server", ""),
        ("rtsp://user:hunter2@/live", "has no server", ""),
        ("udp://@:", "has no server", ""),
        ("tcp://user:hunter2@camera/1", "tcp://camera/1 has no port", "tcp://HOST:PORT"),
        ("udp://239.0.0.1", "has no port", "udp://HOST:PORT"),
    ],
)
def test_what_is_not_a_source(text: str, cause: str, hint: str) -> None:
    with pytest.raises(UsageError, match=cause) as raised:
        StreamAddress.parse(text)
    assert hint in (raised.value.hint or "")
    assert not any(secret in str(raised.value) for secret in SECRETS)


@pytest.mark.parametrize(
    "text", ["", "none.mp4", "concat:a.ts|b.ts", "subfile,,start,0,end,9,,:a", "data:x", "pipe:0"]
)
def test_other_words_are_names_of_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(VideoError, match=r"no such file|a folder"):
        StreamAddress.parse(text)


@pytest.mark.parametrize("text", ["-", "rtsp://a/b", "lavfi:testsrc"])
def test_only_a_file_grows(text: str) -> None:
    with pytest.raises(UsageError, match="--follow") as raised:
        StreamAddress.parse(text, follow=True)
    assert raised.value.hint == "leave it out"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rtsp://admin:hunter2@cam:554/live", "rtsp://cam:554/live"),
        ("rtsp://admin:hunter2@s3cr3t@cam/live", "rtsp://cam/live"),
        ("rtsp://admin:hunter2/s3cr3t@cam/live", "rtsp://cam/live"),
        ("rtsp://admin:hunter2?s3cr3t@cam/live", "rtsp://cam/live"),
        ("rtsp://admin:hunter2#s3cr3t@cam/live", "rtsp://cam/live"),
        ("http://cam/video.cgi?usr=a&pwd=hunter2", "http://cam/video.cgi"),
        ("https://cam/live.m3u8?token=hunter2", "https://cam/live.m3u8"),
        ("http://cam/video.cgi?channel=1", "http://cam/video.cgi?channel=1"),
        # Of many cheap cameras.
        ("rtsp://cam/user=admin&password=tlJwpbo6&channel=1&stream=0.sdp", "rtsp://cam/"),
        ("rtsp://cam/user=admin_password=tlJwpbo6_channel=1.sdp?real_stream", "rtsp://cam/"),
    ],
)
def test_credentials_are_not_shown(text: str, shown: str) -> None:
    address = StreamAddress.parse(text)
    assert address.name == text
    assert address.shown == shown
    assert not any(secret in repr(address) for secret in SECRETS)


def test_an_error_of_a_file_names_no_other_one(tmp_path: Path) -> None:
    (tmp_path / "empty.ts").touch()
    with pytest.raises(StaaError, match="empty"):
        StreamAddress.parse(str(tmp_path / "empty.ts"))
