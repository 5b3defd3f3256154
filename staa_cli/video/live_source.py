"""Read a stream frame by frame, with the moment at which each frame arrived.

Every wait has a limit: a source that sends nothing ends with an error. Frames are decoded with one
thread, as decoders that work on several frames at once hold each back. A frame's arrival is that of
its own packet, also if the decoder gives it out after later ones.
"""

from __future__ import annotations

import os
import select
import stat
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from threading import Event
from typing import Any, NamedTuple

import av
import numpy as np
from av.container import InputContainer
from av.error import ArgumentError, EOFError, ExitError, FFmpegError, InvalidDataError
from av.packet import Packet
from av.stream import Discard
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from staa_cli.errors import VideoError
from staa_cli.schema import VideoInfo
from staa_cli.video.container import FORMATS, LENIENT, fraction, shown_stream
from staa_cli.video.pixels import Orientation, has_unknown_color
from staa_cli.video.probe import transfer_of
from staa_cli.video.stream_address import STDIN, StreamAddress

_POLL_S = 0.02
"""Interval at which a growing file is checked."""
_SIZE_OF_OTHERS = ("hls", "mpjpeg")
"""Containers whose size is not that of the video: that of a playlist, or one that is made up."""
_REORDERED = 64
"""Packets whose arrival is remembered: more than any decoder holds back."""
_SOON = {"analyzeduration": "1000000"}
"""Of what comes at its own rate: microseconds that are read ahead to know the streams."""
_NETWORK = {
    "protocol_whitelist": "rtsp,rtsps,rtmp,rtp,udp,tcp,tls,http,https,httpproxy,crypto",
    # A playlist may have its sound and subtitles in files of their own.
    "format_whitelist": f"{FORMATS},hls,mpjpeg,rtsp,sdp,rtp,rtp_mpegts,aac,mp3,ac3,eac3,webvtt",
    # Over UDP, which firewalls block and which loses packets, RTSP only on request.
    "rtsp_transport": "tcp",
    # A playlist that is late is no end; waiting for it has a limit of its own.
    "max_reload": "1000000",
    **_SOON,
}
_HELD_BACK = ("mpegts", "rtp_mpegts", "h264", "hevc")
"""Formats in which a packet ends where the next one begins: FFmpeg gives it out one frame after it
has come, when it gives out that of the frame before."""
_LOCAL = {"protocol_whitelist": "file,pipe", "format_whitelist": f"{FORMATS},mpjpeg"}


_PLANAR = {
    **dict.fromkeys(("yuyv422", "uyvy422", "yvyu422", "nv16"), "yuv422p"),
    **dict.fromkeys(("nv12", "nv21"), "yuv420p"),
}
"""Formats of cameras, and the format with the same samples that files have. FFmpeg converts the two
to RGB in different ways, and what is kept of a stream is to give the same numbers."""


class Arrived(NamedTuple):
    """A decoded frame."""

    picture: VideoFrame
    arrived_s: float
    """When its packet arrived, by `time.monotonic`."""
    decoded_s: float
    """When it was decoded."""


class Connection:
    """An open stream; a context manager.

    Args:
        address: where it comes from.
        timeout_s: longest time to wait for the first frame, and for each later one.
        options: of FFmpeg, such as the ``video_size`` of a camera.
        stopped: set from another thread to end waiting for a pipe or a growing file.

    Raises:
        VideoError: it cannot be opened, or has no video.
    """

    def __init__(
        self,
        address: StreamAddress,
        timeout_s: float,
        options: Mapping[str, str] | None = None,
        stopped: Event | None = None,
    ) -> None:
        self._address, self._timeout_s = address, timeout_s
        self._reader: _Reader | None = None
        self.packets_bad = 0
        """Packets that did not decode."""
        self._is_open = self._has_frames = False
        av.logging.set_level(None)
        self._since_s = time.monotonic()
        try:
            self._container = self._open(dict(options or {}), stopped or Event())
        except (FFmpegError, OSError) as error:
            self._close_reader()
            raise self._reason(error) from None  # its text has the address, with credentials
        self._is_open = True
        try:
            path = address.name if address.kind == "file" else None
            self._stream = _only_shown(self._container, path)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the source."""
        with suppress(FFmpegError, OSError):
            self._container.close()
        self._close_reader()

    @property
    def is_finite(self) -> bool:
        """Whether it has an end of its own, as a file on a web server."""
        has_size = self._container.size > 0 and self._container.format.name not in _SIZE_OF_OTHERS
        return has_size or (self._container.duration or 0) > 0

    @property
    def repeats(self) -> bool:
        """Whether a new connection begins with frames that have come before, as a playlist does."""
        return self._container.format.name == "hls"

    @property
    def time_base_s(self) -> float:
        """Seconds per tick of the frames' timestamps."""
        return float(fraction(self._stream.time_base) or 1 / 90_000)

    @property
    def frame_s(self) -> float:
        """Usual time from frame to frame, as far as the stream says."""
        context = self._stream.codec_context
        # As in files: the demuxer of a raw stream invents an average rate.
        rate = fraction(context.framerate) or fraction(self._stream.average_rate)
        return float(1 / rate) if rate and 1 <= rate <= 1000 else 0.04

    def frames(self) -> Iterator[Arrived]:
        """Frames in display order, until the stream ends.

        Packets that do not decode are counted and left out.

        Raises:
            VideoError: nothing came within the time limit, or reading failed.
        """
        arrivals: dict[int, float] = {}
        self._wait_from_now()
        held_back = self._container.format.name in _HELD_BACK
        before_s = self._since_s
        for packet in self._packets():
            now = time.monotonic()
            arrived_s, before_s = before_s if held_back else now, now
            if packet.pts is not None:
                arrivals[packet.pts] = arrived_s
                while len(arrivals) > _REORDERED:
                    del arrivals[next(iter(arrivals))]
            try:
                pictures = packet.decode()
            except FFmpegError:
                self.packets_bad += 1
                pictures = []
            decoded_s = time.monotonic()
            for picture in pictures:
                if picture.width and picture.height:
                    own_s = arrivals.get(picture.pts, now) if picture.pts is not None else now
                    if picture.format.name in _PLANAR:
                        picture = picture.reformat(format=_PLANAR[picture.format.name])
                    self._has_frames = True
                    yield Arrived(picture, own_s, decoded_s)
                    self._wait_from_now()
            if packet.size and now - self._since_s >= self._timeout_s:
                raise self._nothing_came()

    def _packets(self) -> Iterator[Packet[Any]]:
        """Packets as they come."""
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
            except (FFmpegError, OSError) as error:
                raise self._reason(error) from None
            if packet is None:
                return
            yield packet

    def _wait_from_now(self) -> None:
        """Begin to wait for the next frame."""
        self._since_s = time.monotonic()
        if self._reader is not None:
            self._reader.since_s = self._since_s

    def info(self, picture: VideoFrame) -> VideoInfo:
        """What is known of the stream when its first frame has come; it has no times yet."""
        upright = Orientation.of_frame(picture)
        width, height = upright.size(picture.width, picture.height)
        ratio = fraction(self._stream.sample_aspect_ratio)
        aspect = (ratio.numerator, ratio.denominator) if ratio and ratio > 0 else (1, 1)
        return VideoInfo(
            path=self._address.shown,
            sha256="",
            size_bytes=0,
            container=self._container.format.name.partition(",")[0],
            codec=self._stream.codec.canonical_name,
            pixel_format=picture.format.name,
            width=width,
            height=height,
            rotation=90 * upright.turns,
            mirrored=upright.mirrored,
            sample_aspect_ratio=upright.size(*aspect),
            transfer=transfer_of(picture),
            interlaced=picture.interlaced_frame,
            start_s=0.0,
            duration_s=0.0,
            rate=1 / self.frame_s,
            variable_rate=True,
            times_s=np.empty(0),
            audio=None,
            frames_declared=0,
            color_guessed=has_unknown_color(picture),
        )

    def _open(self, options: dict[str, str], stopped: Event) -> InputContainer:
        address, timeout = self._address, self._timeout_s
        common: dict[str, Any] = {"timeout": timeout, **LENIENT}
        match address.kind:
            case "network":
                name: Any = address.name
                common["options"] = _NETWORK | options
            case "device":
                name = address.name
                common |= {"format": address.format, "options": options}
            case "file":
                name = f"file:{address.name}"
                common["options"] = _LOCAL | options
            case _:
                reads = _Growing if address.kind == "growing" else _Pipe
                name = self._reader = reads(address.name, timeout, stopped)
                common = {"options": _LOCAL | _SOON | options, **LENIENT}
        container: InputContainer = av.open(name, **common)
        return container

    def _close_reader(self) -> None:
        if self._reader is not None:
            self._reader.close()

    def _reason(self, error: BaseException) -> VideoError:
        """An error of FFmpeg, or of the operating system, in words."""
        # Some protocols report their time limit as damaged data.
        waited_s = time.monotonic() - self._since_s
        if isinstance(error, ExitError | TimeoutError) or waited_s >= self._timeout_s:
            return self._nothing_came()
        cause = (getattr(error, "strerror", None) or str(error)).lower()
        # A container that is not allowed is an invalid argument, as is an option of a camera.
        invalid = (InvalidDataError, ArgumentError)[: 1 + (self._address.kind != "device")]
        damaged = isinstance(error, invalid) and not self._has_frames
        if damaged and self._reader is not None and not self._reader.received:
            return VideoError("nothing was sent")
        if damaged and self._reader is not None and self._reader.head.endswith(b"ftyp"):
            return VideoError(
                "not a video that can be read from a pipe",
                "an MP4 has its index at the end: send MPEG-TS, Matroska, or a fragmented MP4",
            )
        if damaged:
            return VideoError("not a readable video")
        if isinstance(error, EOFError):
            return VideoError("it ended before its first frame")
        if self._is_open:
            return VideoError(f"reading failed: {cause}")
        # FFmpeg's words for a server that is not known.
        is_vague = self._address.kind == "network" and cause == "input/output error"
        hint = "is this the name of the server?" if is_vague else None
        return VideoError(f"cannot be opened: {cause}", hint)

    def _nothing_came(self) -> VideoError:
        return VideoError(
            f"nothing came within {self._timeout_s:g} s", "--timeout SECONDS waits longer"
        )


class _Reader:
    """A file for FFmpeg that cannot be seeked, and whose reads wait for a limited time."""

    def __init__(self, name: str, timeout_s: float, stopped: Event) -> None:
        self._timeout_s, self._stopped = timeout_s, stopped
        self.received = 0
        """Bytes so far."""
        self.head = b""
        """The first bytes."""
        self.since_s = time.monotonic()
        """Since when the next frame is waited for."""
        self._descriptor = self._opened(name)

    def read(self, size: int) -> bytes:
        """What has come, at most `size` bytes, at least one; none at the end.

        Raises:
            TimeoutError: nothing came.
        """
        while not self._stopped.is_set():
            if time.monotonic() - self.since_s > self._timeout_s:
                return self._nothing_came()
            if self._ready():
                data = os.read(self._descriptor, size)
                self.head = self.head or data[:8]
                self.received += len(data)
                return data
        return b""

    def close(self) -> None:
        """Close what was opened."""
        if self._descriptor > 0:
            with suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = -1

    def _opened(self, name: str) -> int:
        """The file descriptor to read from."""
        return os.open(name, os.O_RDONLY | getattr(os, "O_BINARY", 0))

    def _ready(self) -> bool:
        """Wait a moment for something to read."""
        return True

    def _nothing_came(self) -> bytes:
        raise TimeoutError


class _Pipe(_Reader):
    """Standard input, or a named pipe."""

    def _opened(self, name: str) -> int:
        if name == STDIN:
            # Not through sys.stdin, which waits until its buffer is full.
            return sys.stdin.fileno()
        # Opening a pipe to which nobody writes would wait forever.
        return os.open(name, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))

    def _ready(self) -> bool:
        if os.name == "nt" or stat.S_ISREG(os.fstat(self._descriptor).st_mode):
            return True
        ready, _, _ = select.select([self._descriptor], [], [], 0.1)
        return bool(ready)


class _Growing(_Reader):
    """A file that is still being written: it ends when nothing has been added for a while."""

    def _ready(self) -> bool:
        here = os.lseek(self._descriptor, 0, os.SEEK_CUR)
        if os.fstat(self._descriptor).st_size > here:
            return True
        self._stopped.wait(_POLL_S)
        return False

    def _nothing_came(self) -> bytes:
        return b""


def _only_shown(container: InputContainer, path: str | None) -> VideoStream:
    """The video stream that a player shows; no packets of others come."""
    best = shown_stream(container, path)
    best.codec_context.thread_count = 1
    best.codec_context.thread_type = "SLICE"
    for other in container.streams:
        if other is not best:
            other.discard = Discard.all
    return best
