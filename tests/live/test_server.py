"""The live page's server: who gets in, what viewers get, and that none of them can stop it."""

from __future__ import annotations

import base64
import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from live_pages import Served, decoded, message, noise, pictures, refuses, serving
from live_streams import run_stream
from PIL import Image
from stamped import read, stamp
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

from staa_cli.errors import UnavailableError, UsageError
from staa_cli.live.server import app, sink, viewers
from staa_cli.live.server.access import Access, Place, given_token
from staa_cli.models.load import load_model

TOKEN = "a-token-that-nobody-guesses"


def origin(served: Served) -> str:
    return f"http://{served.host}"


# Where, and to whom.


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("8000", ("127.0.0.1", 8000)),
        (":8000", ("127.0.0.1", 8000)),
        ("0.0.0.0:0", ("0.0.0.0", 0)),
        ("[::1]:80", ("::1", 80)),
    ],
)
def test_places(text: str, place: tuple[str, int]) -> None:
    assert Place.parse(text) == Place(*place)


@pytest.mark.parametrize("text", ["", "x", "1.5", "-1", "65536", "host:", "::1:80", "٣"])
def test_what_is_no_place(text: str) -> None:
    with pytest.raises(UsageError, match="expected PORT or HOST:PORT"):
        Place.parse(text)


def test_a_port_that_is_in_use_or_a_host_of_another_machine() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(UnavailableError, match="in use"):
            Access(Place("127.0.0.1", other.getsockname()[1]))
    with pytest.raises(UsageError, match="no address of this machine"):
        Access(Place("192.0.2.1", 0))


def test_only_others_than_this_machine_need_a_token_by_default() -> None:
    with closing(Access(Place("127.0.0.1", 0))) as local:
        assert local.token is None
        assert local.url == f"http://127.0.0.1:{local.port}/"
    with closing(Access(Place("0.0.0.0", 0))) as one, closing(Access(Place("0.0.0.0", 0))) as other:
        assert one.token is not None
        assert len(one.token) >= 43  # 256 bits
        assert one.url.endswith(f":{one.port}/#token={one.token}")
        assert one.token != other.token


def test_a_token_of_a_file_or_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    assert given_token(file, {"STAA_STREAM_TOKEN": "another"}) == TOKEN
    assert given_token(None, {"STAA_STREAM_TOKEN": TOKEN}) == TOKEN
    assert given_token(None, {"STAA_STREAM_TOKEN": ""}) is None
    for bad in ("short", "with blanks in the middle of it", "ünïcödé-ünïcödé-ünïcödé"):
        with pytest.raises(UsageError, match="at least 16"):
            given_token(None, {"STAA_STREAM_TOKEN": bad})
    with pytest.raises(UsageError, match="cannot read"):
        given_token(tmp_path / "absent", {})


HOSTS = ["evil.example", "127.0.0.1.evil.example", "localhost", "127.0.0.1:1", "", "a@127.0.0.1"]


@pytest.mark.parametrize("host", HOSTS)
def test_a_foreign_host_learns_nothing(host: str) -> None:
    with serving(refuses) as served:
        for method, path in (("GET", "/"), ("GET", "/state.json"), ("POST", "/keep")):
            status, _, body = served.ask(method, path, host=host, origin=f"http://{host}")
            assert status in (400, 403)  # h11 itself refuses what is no host
            assert "html" not in body
        status, _, _ = served.ask("GET", "/", host=f"localhost:{served.access.port}")
        assert status == 200


def test_hosts_of_a_server_for_all() -> None:
    with closing(Access(Place("0.0.0.0", 0))) as access:
        pass
    for host in ("10.0.0.7:8000", "[2001:db8::1]", "localhost:1"):
        assert access.knows_host(host)
    for host in ("evil.example", "10.0.0.7.evil.example:8000", "[::1", "10.0.0.7:x", "10.0.0.7/x"):
        assert not access.knows_host(host)


@pytest.mark.parametrize("foreign", ["http://evil.example", "null", "http://127.0.0.1:1", "x://"])
def test_only_its_own_page_may_connect_or_keep(foreign: str) -> None:
    with serving(refuses) as served:
        with (
            pytest.raises(InvalidStatus, match="403"),
            served.watching(origin=foreign),
        ):
            pass
        body = {"seconds": 1}
        assert served.ask("POST", "/keep", body, origin=foreign)[0] == 403
        assert served.ask("POST", "/keep", body)[0] == 403
        with (
            pytest.raises(InvalidStatus, match="403"),
            connect(f"ws://{served.host}/ws", proxy=None),
        ):
            pass


def test_without_the_token_there_is_a_page_but_no_stream() -> None:
    with serving(refuses, token=TOKEN) as served:
        status, _, body = served.ask("GET", "/")
        assert status == 200
        assert TOKEN not in body
        for wrong in ({}, {"authorization": "Bearer x"}, {"authorization": f"Basic {TOKEN}"}):
            assert served.ask("GET", "/state.json", **wrong)[0] == 401
            keeps = served.ask("POST", "/keep", {"seconds": 1}, origin=origin(served), **wrong)
            assert keeps[0] == 401
        for wrong_hello in ({}, {"token": "x"}, {"token": 7}, {"token": TOKEN + "x"}):
            with served.watching(**wrong_hello) as viewer, served.shown():
                with pytest.raises(ConnectionClosed) as closed:
                    viewer.recv(timeout=10)
                assert closed.value.rcvd.code == 1008
        right = {"authorization": f"Bearer {TOKEN}"}
        assert served.ask("GET", "/state.json", **right)[0] == 200
        with served.watching(token=TOKEN) as viewer, served.shown():
            assert pictures(viewer, 1)


def test_who_says_nothing_is_sent_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "_HELLO_S", 0.2)
    with (
        serving(token=TOKEN) as served,
        connect(f"ws://{served.host}/ws", origin=Origin(origin(served)), proxy=None) as viewer,
        pytest.raises(ConnectionClosed),
    ):
        viewer.recv(timeout=10)


def test_connections_that_ask_for_nothing_do_not_keep_others_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sink, "_SILENT_S", 0.3)
    with serving(token=TOKEN) as served, ExitStack() as stack:
        port = served.access.port
        silent = [
            stack.enter_context(closing(socket.create_connection(("127.0.0.1", port), 10)))
            for _ in range(300)
        ]
        for connection in silent:
            connection.settimeout(10)
            assert connection.recv(1) == b""  # closed by the server
        with served.watching(token=TOKEN) as viewer, served.shown():
            time.sleep(0.8)  # one that watches stays
            assert pictures(viewer, 1)


# Requests.


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/", 200),
        ("HEAD", "/", 200),
        ("POST", "/", 405),
        ("PUT", "/state.json", 405),
        ("DELETE", "/", 405),
        ("BREW", "/", 405),
        ("GET", "/keep", 405),
        ("GET", "/ws", 404),
        ("GET", "/nothing", 404),
        ("GET", "/../../etc/passwd", 404),
        ("GET", "/%2e%2e/%2e%2e/etc/passwd", 404),
        ("GET", "//", 404),
    ],
)
def test_paths_and_methods(method: str, path: str, expected: int) -> None:
    with serving(refuses) as served:
        status, headers, body = served.ask(method, path, origin=origin(served))
        assert status == expected
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"
        assert "server" not in headers
        if expected != 200:
            assert headers["content-type"].startswith("text/plain")
            assert len(body) < 100


def test_the_page_allows_only_what_is_its_own() -> None:
    with serving() as served:
        _, headers, body = served.ask("GET", "/")
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        policy = body.partition('Content-Security-Policy" content="')[2].partition('"')[0]
        allowed = dict(part.split(" ", 1) for part in policy.split("; "))
        assert allowed["default-src"] == "'none'"
        assert allowed["connect-src"] == "'self'"
        assert allowed["script-src"].startswith("'sha256-")
        assert len(body) < 100_000
        assert "keep the last" not in body
        assert served.ask("POST", "/keep", {"seconds": 1}, origin=origin(served))[0] == 404


def test_the_state_is_that_of_the_stream() -> None:
    with serving() as served:
        served.stream.delays.add("capture to overlay", 0.25)
        status, headers, body = served.ask("GET", "/state.json")
        assert (status, headers["content-type"]) == (200, "application/json")
        assert json.loads(body)["delay"]["capture to overlay"]["p50"] == pytest.approx(
            0.25, rel=0.012
        )


def test_keeping() -> None:
    kept: list[str] = []

    def keep(moments: str) -> Path:
        kept.append(moments)
        return Path("out") / "a<b>"

    with serving(keep) as served:
        own = {"origin": origin(served)}
        bodies: list[Any] = [None, [], {}, "x" * 20_000]
        bodies += [{"seconds": wrong} for wrong in ("1", -1, True, [4])]
        for bad in bodies:
            assert served.ask("POST", "/keep", bad, **own)[0] == 400
        assert served.ask("POST", "/keep", {"seconds": 1e308}, **own)[0] == 400
        assert kept == []
        status, _, body = served.ask("POST", "/keep", {"seconds": 4}, **own)
        assert (status, json.loads(body)) == (200, {"folder": str(Path("out") / "a<b>")})
        assert kept == ["the last 4 s"]
        status, _, body = served.ask("POST", "/keep", {"seconds": 4}, **own)
        assert (status, kept) == (429, ["the last 4 s"])
        assert "try again" in json.loads(body)["error"]


def test_what_cannot_be_kept_is_an_error_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "_KEEP_PAUSE_S", 0.0)
    with serving(refuses) as served:
        status, _, body = served.ask("POST", "/keep", {"seconds": 99}, origin=origin(served))
        assert status == 409
        assert json.loads(body)["error"] == "nothing was explained in these seconds"
        assert served.stream.kept_s == [10.0]  # no more than is there


# Pictures.


def test_a_viewer_gets_the_frames_from_a_key_frame_on() -> None:
    with serving() as served, served.watching() as viewer, served.shown():
        before = 1000 * time.time()
        found = pictures(viewer, 40)
    assert found[0].is_key
    assert sum(one.is_key for one in found) in (1, 2)  # one each second
    assert [one.number for one in found] == list(range(found[0].number, found[0].number + 40))
    assert [read(picture) for picture in decoded(found)] == [one.number for one in found]
    for one in found:
        assert one.time_s == pytest.approx(one.number / 30)
        assert before - 1000 < one.arrived_ms < 1000 * time.time()


def test_a_viewer_that_joins_does_not_wait_for_the_next_second() -> None:
    with serving() as served, served.watching() as first, served.shown(rate=30):
        pictures(first, 5)
        with served.watching() as second:
            found = pictures(second, 3)
        assert found[0].is_key
        assert [read(picture) for picture in decoded(found)] == [one.number for one in found]
        seen = pictures(first, 12)
    (key,) = [one for one in seen if one.number == found[0].number]
    assert key.is_key  # the same picture, encoded once
    assert key.content == found[0].content


def test_a_browser_without_a_decoder_gets_single_pictures() -> None:
    with serving() as served, served.watching(h264=False) as viewer, served.shown():
        found = pictures(viewer, 5)
    for one in found:
        picture = np.asarray(Image.open(BytesIO(one.content)).convert("RGB"))
        assert one.is_jpeg
        assert read(picture) == one.number
        np.testing.assert_allclose(picture[5, 5], (200, 30, 30), atol=25)  # the red corner


@pytest.mark.parametrize("h264", [True, False])
def test_large_pictures_are_scaled_down(h264: bool) -> None:
    picture = stamp(5, 2600, 1300)
    with (
        serving() as served,
        served.watching(h264=h264) as viewer,
        served.shown(rate=5, picture=picture),
    ):
        found = pictures(viewer, 1)
    (shown,) = decoded(found) if h264 else [np.asarray(Image.open(BytesIO(found[0].content)))]
    assert shown.shape == ((960, 1920, 3) if h264 else (640, 1280, 3))
    assert read(shown) == 5


def test_single_pictures_have_square_pixels() -> None:
    with serving() as served, served.watching(h264=False) as viewer:
        while not served.sink.summary()["viewers"]:
            time.sleep(0.01)
        served.show(9, aspect=(3, 2))
        (one,) = pictures(viewer, 1)
    assert Image.open(BytesIO(one.content)).size == (480, 240)


def test_nothing_is_encoded_while_nobody_watches() -> None:
    with serving() as served:
        for number in range(5):
            served.show(number)
        with served.watching() as viewer, served.shown():
            first = pictures(viewer, 1)
            viewer.send(json.dumps({"watching": False}))
            viewer.send(json.dumps({"ping": 7}))
            assert message(viewer, "pong")["ping"] == 7
            time.sleep(0.1)  # what was under way
            encoded = served.sink.summary()["frames_encoded"]
            time.sleep(0.3)
            assert served.sink.summary()["frames_encoded"] == encoded
            viewer.send(json.dumps({"watching": True}))
            later = [one for one in pictures(viewer, encoded + 5) if one.number > first[0].number]
            assert any(one.is_key for one in later)
        deadline = time.monotonic() + 5
        while served.sink.summary()["viewers"] and time.monotonic() < deadline:
            time.sleep(0.01)
        assert served.sink.summary()["viewers"] == 0


def test_what_viewers_report_is_measured_and_what_they_invent_is_not() -> None:
    with serving() as served, served.watching() as viewer, served.shown():
        (one,) = pictures(viewer, 1)
        at = one.arrived_ms
        lies: list[Any] = [
            [10**9, at, at],
            [one.number, at + 1e9, at + 1e9],
            [one.number],
            "x",
            None,
        ]
        viewer.send(json.dumps({"shown": lies}))
        (two,) = pictures(viewer, 1)
        at = two.arrived_ms
        viewer.send(json.dumps({"shown": [[two.number, at + 200, at + 250], [two.number, at, at]]}))
        viewer.send(json.dumps({"ping": 1}))
        message(viewer, "pong")
        told = served.stream.delays.summary()
    assert told["capture to shown"]["count"] == told["send"]["count"] == 1
    assert told["capture to shown"]["p50"] == pytest.approx(0.25, rel=0.03)
    assert told["decode and show"]["p50"] == pytest.approx(0.05, rel=0.03)


@pytest.mark.parametrize(
    "sent", ["not json", "[1]", "{}", b"\x00\xff", "[" * 9000, '{"shown": 1}', '{"ping": NaN}']
)
def test_a_strange_message_changes_nothing(sent: str | bytes) -> None:
    with serving() as served, served.watching() as viewer, served.shown():
        viewer.send(sent)
        viewer.send(json.dumps({"ping": 1}))
        assert message(viewer, "pong")["ping"] == 1
        assert pictures(viewer, 3)


def test_a_long_message_ends_the_connection() -> None:
    with serving() as served, served.watching() as viewer, served.shown():
        viewer.send("x" * (app.LONGEST_MESSAGE + 1))
        with pytest.raises(ConnectionClosed):
            pictures(viewer, 1000)
        with served.watching() as other:
            assert pictures(other, 1)


def test_a_window_comes_with_its_map_also_for_those_who_join_later(sample_videos: Path) -> None:
    latest = run_stream(sample_videos / "hop.mp4", load_model("tiny-events")).latest[-1]
    with serving() as served:
        served.sink.explained(latest)
        with served.watching() as viewer:
            window = message(viewer, "window")
    recent, prediction = latest.recent, latest.explained.prediction
    assert (window["label"], window["class_index"]) == (prediction.label, prediction.target)
    assert [row["label"] for row in window["top_k"]] == [row[1] for row in prediction.top(5)]
    assert window["box"] == pytest.approx(recent.maps.box, abs=1e-5)
    values = recent.maps.values
    top = np.quantile(values, 0.99, axis=(1, 2)).max()  # the scale of the last seconds
    expected = np.clip(values[-1] / top, 0, 1) * 255
    levels = np.frombuffer(base64.b64decode(window["levels"]), np.uint8)
    np.testing.assert_allclose(levels.reshape(window["grid"]), expected, atol=0.51)
    scores = np.array(window["curve"]["values"], float)
    np.testing.assert_allclose(scores, recent.frames.weighted_score, rtol=1e-4)


# Many viewers, and bad ones.


def test_twenty_viewers_share_an_encoder() -> None:
    with serving() as served, served.shown(rate=30):

        def watch(_: int) -> list[int]:
            with served.watching() as viewer:
                return [one.number for one in pictures(viewer, 30, seconds=30)]

        with ThreadPoolExecutor(20) as pool:
            seen = list(pool.map(watch, range(20)))
        summary = served.sink.summary()
    for numbers in seen:
        assert numbers == list(range(numbers[0], numbers[0] + 30))
    assert summary["viewers_most"] == 20
    assert summary["pictures_left_out"] < 20 * 30  # those before each one's first key frame
    assert summary["frames_encoded"] < 20 * 30 / 2


def test_there_is_a_limit_to_viewers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(viewers, "MOST", 1)
    with serving() as served, served.watching() as first, served.shown():
        pictures(first, 1)
        with served.watching() as second, pytest.raises(ConnectionClosed) as closed:
            second.recv(timeout=10)
        assert closed.value.rcvd.code == 1013


def test_a_viewer_that_stops_reading_is_disconnected_and_disturbs_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(viewers, "STUCK_S", 0.5)
    with serving() as served, served.shown(rate=30, picture=noise()), socket.socket() as stuck:
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stuck.connect(("127.0.0.1", served.access.port))
        join(stuck, served)
        start = time.monotonic()
        with served.watching() as other:
            latest, slowest = 0.0, 0.0
            while not served.sink.summary()["viewers_stuck"]:
                (one,) = pictures(other, 1)
                latest = max(latest, time.time() - one.arrived_ms / 1000)
                slowest = max(slowest, time.monotonic() - start)
                assert slowest < 8, "it is still connected"
            assert latest < 1.0
            assert pictures(other, 10)
        stuck.settimeout(5)
        rest = 0
        while part := stuck.recv(1 << 16):  # what the system still had, and then the end
            rest += len(part)
        assert rest < 1 << 21


def join(viewer: socket.socket, served: Served) -> None:
    """The handshake of a WebSocket, and a first message."""
    viewer.sendall(
        f"GET /ws HTTP/1.1\r\nHost: {served.host}\r\nOrigin: {origin(served)}\r\n"
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
    )
    assert b" 101 " in viewer.recv(1 << 12)
    text = b'{"h264": true}'
    viewer.sendall(bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text)


def test_at_the_end_pages_are_told_and_the_port_is_free() -> None:
    with serving() as served:
        with served.watching() as viewer, served.shown():
            pictures(viewer, 3)
            start = time.monotonic()
            served.sink.finish()
            assert "delay" in message(viewer, "ended")
            with pytest.raises(ConnectionClosed) as closed:
                viewer.recv(timeout=10)
            assert closed.value.rcvd.code == 1001
        served.stream.crew.join(10)
        assert served.stream.crew.busy == []
        assert time.monotonic() - start < 5
    Access(Place("127.0.0.1", served.access.port)).close()


def test_a_stream_that_fails_ends_its_page(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as served, served.watching() as viewer:
        served.stream.crew.stopped.set()
        assert message(viewer, "ended")
