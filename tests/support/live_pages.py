"""A live page that is served in a test, fed with stamped frames, and viewers without a browser."""

from __future__ import annotations

import http.client
import json
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event, Thread
from types import SimpleNamespace
from typing import Any, NamedTuple

import av
import numpy as np
from stamped import Picture, stamp
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from staa_cli.config.settings import RenderSettings
from staa_cli.errors import InputError
from staa_cli.live.delay import Delays
from staa_cli.live.frames import LiveFrame
from staa_cli.live.handover import Crew
from staa_cli.live.overlay import Overlay
from staa_cli.live.run import Drawn
from staa_cli.live.server.access import Access, Place
from staa_cli.live.server.sink import PageSink
from staa_cli.schema import VideoInfo
from staa_cli.video.live_source import Connection
from staa_cli.video.stream_address import StreamAddress

SAMPLE = Path(__file__).parents[2] / "sample_videos" / "hop.mp4"
HEADER = struct.Struct("<BBxxIdd")


class FakeStream:
    """What a page needs of a running stream."""

    def __init__(self) -> None:
        self.crew, self.delays = Crew(Event()), Delays()
        self.capture = SimpleNamespace(info=None)
        self.kept_s: list[float] = []
        self.sinks: list[PageSink] = []

    def summary(self) -> dict[str, Any]:
        counts = dict.fromkeys(
            ("frames", "frames_dropped", "windows", "windows_dropped", "windows_per_second"), 0
        )
        delay = {stage: dict(row) for stage, row in self.delays.summary().items()}
        sinks = [sink.summary() for sink in self.sinks]
        return {**counts, "seconds": 1.0, "delay": delay, "sinks": sinks}

    def moments(self, seconds: float) -> Any:
        self.kept_s.append(seconds)
        return f"the last {seconds:g} s"


@dataclass
class Served:
    """A page that is served."""

    sink: PageSink
    stream: FakeStream
    access: Access

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.access.port}"

    def show(
        self, number: int, picture: Picture | None = None, aspect: tuple[int, int] = (1, 1)
    ) -> None:
        """A frame that arrives now; `aspect` is that of its pixels."""
        picture = stamp(number) if picture is None else picture
        now, frame = time.monotonic(), av.VideoFrame.from_ndarray(picture, format="rgb24")
        info = replace(info_of(picture), sample_aspect_ratio=aspect)
        plain, _ = Overlay(info).draw(LiveFrame(number, number / 30, frame, now, now), None)
        live = LiveFrame(number, number / 30, frame, now, now)
        self.sink.show(Drawn(live, info, plain, plain, None), wait=False)

    @contextmanager
    def shown(self, *, rate: float = 60, picture: Picture | None = None) -> Iterator[None]:
        """Frames come while the block runs."""
        ended = Event()

        def feed() -> None:
            number = 0
            while not ended.wait(1 / rate):
                self.show(number, picture)
                number += 1

        thread = Thread(target=feed)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def ask(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> tuple[int, dict[str, str], str]:
        """Status, headers, and body of an answer; keywords are headers, with _ for -."""
        connection = http.client.HTTPConnection("127.0.0.1", self.access.port, timeout=10)
        try:
            connection.putrequest(method, path, skip_host=True)
            content = b"" if body is None else json.dumps(body).encode()
            sent = {"host": self.host, "content_length": str(len(content))} | headers
            for name, value in sent.items():
                connection.putheader(name.replace("_", "-"), value)
            connection.endheaders(content)
            answer = connection.getresponse()
            fields = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, fields, answer.read().decode()
        finally:
            connection.close()

    @contextmanager
    def watching(self, *, origin: str | None = None, **hello: Any) -> Iterator[ClientConnection]:
        """A viewer that has said hello."""
        with connect(
            f"ws://{self.host}/ws",
            origin=Origin(origin or f"http://{self.host}"),
            max_size=None,
            proxy=None,
        ) as viewer:
            viewer.send(json.dumps({"h264": True} | hello))
            yield viewer


@contextmanager
def serving(keep: Any = None, place: str = "0", token: str | None = None) -> Iterator[Served]:
    """A page that is served within the block."""
    access, stream = Access(Place.parse(place), token), FakeStream()
    sink = PageSink(access, RenderSettings(), keep)
    stream.sinks.append(sink)
    sink.start(stream)  # type: ignore[arg-type]
    try:
        yield Served(sink, stream, access)
    finally:
        sink.finish()
        stream.crew.join(10)
        stream.crew.stopped.set()
        assert stream.crew.busy == []
        if stream.crew.error is not None:
            raise stream.crew.error


class Seen(NamedTuple):
    """A picture that a viewer got."""

    is_jpeg: bool
    is_key: bool
    number: int
    time_s: float
    arrived_ms: float
    content: bytes


def pictures(viewer: ClientConnection, count: int, seconds: float = 10) -> list[Seen]:
    """The next pictures that a viewer gets."""
    found: list[Seen] = []
    end = time.monotonic() + seconds
    while len(found) < count:
        message = viewer.recv(timeout=end - time.monotonic())
        if isinstance(message, bytes):
            form, key, number, time_s, arrived_ms = HEADER.unpack_from(message)
            content = message[HEADER.size :]
            found.append(Seen(form == 1, key == 1, number, time_s, arrived_ms, content))
    return found


def message(viewer: ClientConnection, kind: str, seconds: float = 10) -> dict[str, Any]:
    """The next message of a kind."""
    end = time.monotonic() + seconds
    while True:
        said = viewer.recv(timeout=end - time.monotonic())
        if isinstance(said, str) and json.loads(said)["kind"] == kind:
            return dict(json.loads(said))


def decoded(found: list[Seen]) -> list[Picture]:
    """Pictures [H, W, 3] of H.264, by FFmpeg."""
    decoder: Any = av.CodecContext.create("h264", "r")
    frames = [frame for one in found for frame in decoder.decode(av.Packet(one.content))]
    frames += decoder.decode(None)
    return [frame.to_ndarray(format="rgb24") for frame in frames]


def noise(seed: int = 0) -> Picture:
    """A picture that takes much to encode."""
    return np.random.default_rng(seed).integers(0, 256, (480, 640, 3), np.uint8)


def info_of(picture: Picture) -> VideoInfo:
    """Metadata of a stream of such pictures."""
    with Connection(StreamAddress.parse(str(SAMPLE)), 5.0) as connection:
        info = connection.info(next(iter(connection.frames())).picture)
    return replace(info, width=picture.shape[1], height=picture.shape[0])


def refuses(moments: Any) -> Path:
    """A `keep` with nothing to keep."""
    raise InputError("nothing was explained in these seconds")
