"""Sources of streams on this machine, and what `Capture` makes of them."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from stamped import read

from staa_cli.errors import VideoError
from staa_cli.live.capture import Capture, Waits
from staa_cli.live.frames import LiveFrame
from staa_cli.video.pixels import Converter
from staa_cli.video.stream_address import StreamAddress

LIMIT_S = 20.0
"""Of any wait of a test; reached only if it fails."""


@dataclass
class Captured:
    """What came of a source."""

    capture: Capture
    frames: list[LiveFrame] = field(default_factory=list)
    continues: list[bool] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    error: VideoError | None = None
    seconds: float = 0.0
    """How long it took."""

    @property
    def numbers(self) -> list[int]:
        """Of the stamped pictures."""
        assert self.capture.info is not None
        convert = Converter(self.capture.info)
        return [read(convert.rgb(frame.picture)) for frame in self.frames]

    @property
    def times_s(self) -> list[float]:
        return [frame.time_s for frame in self.frames]


class Running:
    """A source that is read in a thread."""

    def __init__(
        self,
        source: str | Path,
        *,
        follow: bool = False,
        paced: bool = False,
        nothing_s: float = LIMIT_S,
        reconnect_s: float = 0.0,
        options: Mapping[str, str] | None = None,
        on_frame: Callable[[LiveFrame], None] = lambda frame: None,
    ) -> None:
        address = StreamAddress.parse(str(source), follow=follow)
        messages: list[str] = []
        waits = Waits(nothing_s, reconnect_s)
        capture = Capture(
            address, waits, dict(options or {}), paced=paced, on_message=messages.append
        )
        self.captured = Captured(capture, messages=messages)
        self._on_frame, self._changed = on_frame, threading.Condition()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        captured, start = self.captured, time.monotonic()
        try:
            for frame, continues in captured.capture.frames():
                with self._changed:
                    captured.frames.append(frame)
                    captured.continues.append(continues)
                    self._changed.notify_all()
                self._on_frame(frame)
        except VideoError as error:
            captured.error = error
        captured.seconds = time.monotonic() - start

    def wait_for(self, frames: int) -> None:
        """Wait until so many frames have come."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.captured.frames) >= frames, LIMIT_S)

    def wait_for_message(self, word: str) -> None:
        """Wait for a message with a word."""
        end = time.monotonic() + LIMIT_S
        while not any(word in message for message in self.captured.messages):
            assert time.monotonic() < end, self.captured.messages
            time.sleep(0.01)

    def stop(self) -> float:
        """Stop it; returns how long that takes, in seconds."""
        start = time.monotonic()
        self.captured.capture.stopped.set()
        self.end()
        return time.monotonic() - start

    def end(self) -> Captured:
        """Wait for the end."""
        self._thread.join(LIMIT_S)
        assert not self._thread.is_alive()
        return self.captured


def captured(source: str | Path, **how: object) -> Captured:
    """Read a source to its end."""
    return Running(source, **how).end()  # type: ignore[arg-type]


@contextmanager
def fifo(folder: Path, *parts: bytes, holds: bool = False, pause_s: float = 0.0) -> Iterator[Path]:
    """A named pipe into which a thread writes.

    Args:
        folder: that gets it.
        parts: what is written.
        holds: do not close it then.
        pause_s: after each part.
    """
    path = folder / "pipe"
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    done = threading.Event()

    def write() -> None:
        with suppress(BrokenPipeError), path.open("wb", buffering=0) as file:
            for part in parts:
                file.write(part)
                done.wait(pause_s)
            if holds:
                done.wait(LIMIT_S)

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    try:
        yield path
    finally:
        done.set()
        with suppress(OSError):  # a writer whose reader never came
            os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
        thread.join(LIMIT_S)


@contextmanager
def tcp_server(
    content: bytes = b"", *, holds: bool = False, asks: bool = False, port: int = 0
) -> Iterator[int]:
    """The port of a server that sends bytes to all who connect.

    Args:
        content: what is sent.
        holds: leave connections open.
        asks: read a request before.
        port: to listen at; 0 for a free one.
    """
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", port))
        server.listen()
        peers: list[socket.socket] = []

        def serve() -> None:
            while True:
                try:
                    peer, _ = server.accept()
                except OSError:
                    return
                peers.append(peer)
                threading.Thread(target=send, args=(peer,), daemon=True).start()

        def send(peer: socket.socket) -> None:
            with suppress(OSError):
                if asks:
                    peer.recv(1 << 16)
                peer.sendall(content)
                if not holds:
                    peer.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield int(server.getsockname()[1])
        finally:
            with suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)
            server.close()
            thread.join(LIMIT_S)
            for peer in peers:
                with suppress(OSError):
                    peer.shutdown(socket.SHUT_RDWR)
                peer.close()


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port of this machine at which nobody listens."""
    with socket.socket(socket.AF_INET, kind) as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def http_answer(content: bytes, kind: str = "video/mp2t", *, length: int | None = None) -> bytes:
    """The answer of a web server, as bytes, by default without a length."""
    lines = ["HTTP/1.0 200 OK", f"Content-Type: {kind}"]
    lines += [] if length is None else [f"Content-Length: {length}"]
    return "\r\n".join([*lines, "", ""]).encode() + content
