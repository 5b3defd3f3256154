"""Encode frames of a stream as they come, to what can be read while it is being written."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import av
from av.error import FFmpegError
from av.video.frame import PictureType

from staa_cli.errors import OutputError, UsageError
from staa_cli.files import output_errors
from staa_cli.paths import as_text
from staa_cli.video.encode import CLOCK, Shape, set_up
from staa_cli.video.pixels import YuvPlanes, frame_of

STDOUT = "-"
_COMPLETE = {"omit_video_pes_length": "0"}
"""A receiver knows where a frame ends without waiting for the next one."""
_FILES = {
    # Fragments, each with its own index: a player reads them while the file grows, or is cut off.
    ".mp4": ("mp4", {"movflags": "frag_keyframe+empty_moov+default_base_moof"}),
    ".mkv": ("matroska", {"cluster_time_limit": "1000"}),
    ".ts": ("mpegts", _COMPLETE),
}
_KEY_FRAME_S = 1.0
"""Time between key frames: a viewer that joins waits for one."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where an encoded stream goes.

    Args:
        name: a path, ``-`` for stdout, or the address of a receiver: ``udp://HOST:PORT``.
        format: FFmpeg's name of the container.
        options: of the container.
    """

    name: str
    format: str
    options: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, text: str) -> Target:
        """The target that a text names.

        Raises:
            UsageError: a protocol or an ending that is not supported.
        """
        if text == STDOUT:
            return cls(text, *_of(".ts"))
        if text.startswith("udp://"):
            # A datagram takes seven packets of MPEG-TS.
            try:
                has_port = bool(urlsplit(text).port)
            except ValueError:
                has_port = False
            if not has_port:
                raise UsageError(f"--output: {text!r} has no port", "udp://HOST:PORT")
            joint = "&" if "?" in text else "?"
            sized = text if "pkt_size=" in text else f"{text}{joint}pkt_size=1316"
            return cls(sized, *_of(".ts"))
        ending = Path(text).suffix.lower()
        if "://" in text or ending not in _FILES:
            raise UsageError(
                f"--output: cannot write a stream to {text!r}",
                "give a file that ends with .mp4, .mkv, or .ts, - for MPEG-TS on stdout, or "
                "udp://HOST:PORT",
            )
        return cls(text, *_of(ending))

    @property
    def shown(self) -> str:
        """The target for people."""
        if self.name == STDOUT:
            return "standard output"
        return as_text(self.name.partition("?")[0] if "://" in self.name else self.name)

    @property
    def is_file(self) -> bool:
        """Whether it is a file, which can become full."""
        return self.name != STDOUT and "://" not in self.name


def _of(ending: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    """The container of files with an ending, and its options."""
    container, options = _FILES[ending]
    return container, tuple(options.items())


class LiveWriter:
    """Writes a stream in H.264, each frame at once.

    Args:
        target: where it goes.
        shape: of its frames; the rate is a hint.
        preset: of x264.
        crf: quality of x264, lower is better.

    Raises:
        OutputError: it cannot be written.
        BrokenPipeError: nobody reads stdout any more.
    """

    def __init__(self, target: Target, shape: Shape, *, preset: str, crf: int) -> None:
        self._target, self._last = target, -1
        self._key_due_s = 0.0
        """Time from which the next frame is a key frame."""
        av.logging.set_level(None)
        self._stdout = _Stdout() if target.name == STDOUT else None
        with self._errors():
            self._container = _open(target, self._stdout)
            stream: Any = self._container.add_stream(
                "libx264",
                rate=shape.rate,
                options={
                    "preset": preset,
                    "crf": str(crf),
                    "tune": "zerolatency",
                    # Threads would hold frames back, and compete with the model.
                    "threads": "1",
                },
            )
            set_up(stream, replace(shape, time_base=CLOCK), None, "yuv420p")
            stream.codec_context.open()
            self._container.start_encoding()
        self._stream = stream

    def write(self, planes: YuvPlanes, time_s: float) -> None:
        """Encode and write a frame that is shown at a time of the stream."""
        frame = frame_of(planes)
        ticks = max(self._last + 1, round(time_s / CLOCK))
        frame.pts, frame.time_base, self._last = ticks, CLOCK, ticks
        if time_s >= self._key_due_s:
            frame.pict_type = PictureType.I
            self._key_due_s = time_s + _KEY_FRAME_S
        with self._errors():
            self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Write what the encoder still holds, and close the target."""
        with self._errors():
            self._container.mux(self._stream.encode(None))
            self._container.close()

    def abandon(self) -> None:
        """Close without writing more."""
        with suppress(FFmpegError, OSError):
            self._container.close()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        where = self._target.shown
        try:
            with output_errors(where):
                yield
        except (OutputError, FFmpegError) as error:
            problem = self._stdout.problem if self._stdout is not None else None
            if isinstance(problem, BrokenPipeError):
                raise problem from None  # its reader went away
            if isinstance(error, OutputError):
                raise
            cause = (problem or error).strerror
            raise OutputError(f"cannot write to {where}: {cause}") from error


def _open(target: Target, stdout: _Stdout | None) -> Any:
    options = {"flush_packets": "1", **dict(target.options)}
    if stdout is not None:
        return av.open(stdout, "w", format=target.format, options=options)
    name = target.name if "://" in target.name else f"file:{Path(target.name).absolute()}"
    return av.open(name, "w", format=target.format, options=options)


class _Stdout:
    """Standard output as a file of FFmpeg: unbuffered."""

    def __init__(self) -> None:
        self.problem: OSError | None = None
        """Why writing failed, which FFmpeg does not pass on."""

    def write(self, data: bytes) -> int:
        """Write all of the data."""
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(sys.stdout.fileno(), rest) :]
        except OSError as error:
            self.problem = error
            raise
        return len(data)
