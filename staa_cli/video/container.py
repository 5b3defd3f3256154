"""Opens a file as a container with its video stream, or reports why it cannot be opened."""

from __future__ import annotations

import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Discard, Disposition, Stream
from av.video.stream import VideoStream

from staa_cli.errors import VideoError

# Demuxers that read their own file and nothing else: no playlists, scripts, stills, or devices.
FORMATS = (
    "mov,matroska,avi,mpegts,mpeg,mpegvideo,flv,live_flv,asf,ogg,nut,mxf,dv,rm,wtv,ivf,gif,apng,"
    "h261,h263,h264,hevc,vvc,m4v,av1,obu,vc1,mjpeg,yuv4mpegpipe"
)
_SAFE = {"protocol_whitelist": "file", "format_whitelist": FORMATS}
# Accept tags in a legacy encoding; since PyAV 19 they are never an error.
LENIENT: dict[str, Any] = (
    {"metadata_errors": "replace"} if int(av.__version__.partition(".")[0]) < 19 else {}
)
_MAX_PIXELS = 100_000_000

_NOT_FOLLOWED = "a playlist or script that refers to other files, which are not followed"
_NO_VIDEOS: tuple[tuple[bytes, str, str | None], ...] = (
    (b"version https://git-lfs", "a Git LFS pointer, not the video", "fetch it with: git lfs pull"),
    (b"#EXTM3U", _NOT_FOLLOWED, "give the video file itself"),
    (b"ffconcat", _NOT_FOLLOWED, "give the video file itself"),
    (b"v=0", _NOT_FOLLOWED, "give the video file itself"),
    (b"<", "a web page or other text, not a video", None),
    (b"\x89PNG", "a still picture, not a video", None),
    (b"\xff\xd8\xff", "a still picture, not a video", None),
    (b"PK\x03\x04", "a ZIP archive, not a video", "unpack it first"),
)


def fraction(value: Any) -> Fraction | None:
    """A rational from any version of PyAV as a `Fraction`; None if not set (None or 0/1)."""
    return Fraction(value.numerator, value.denominator) if value else None


def check_file(path: str | Path) -> Path:
    """Check that a path is a readable, non-empty file; returns the absolute path.

    Raises:
        VideoError: it is missing, empty, a folder, a pipe, a device, or not readable.
    """
    try:
        status = Path(path).stat()  # before opening, as a pipe without a writer blocks forever
        if not stat.S_ISREG(status.st_mode):
            kind = "a folder" if stat.S_ISDIR(status.st_mode) else "a pipe, socket, or device"
            raise VideoError(f"{kind}, not a video file")
        if not status.st_size:
            raise VideoError("the file is empty")
        with Path(path).open("rb"):
            return Path(path).absolute()
    except FileNotFoundError as error:
        raise VideoError("no such file") from error
    except PermissionError as error:
        raise VideoError("no permission to read it") from error
    except (OSError, ValueError) as error:
        cause = getattr(error, "strerror", None) or str(error)
        raise VideoError(f"cannot be read: {cause.lower()}") from error


@contextmanager
def open_video(path: str, *, sound: bool = False) -> Iterator[tuple[InputContainer, VideoStream]]:
    """A context with the open container and the video stream that a player shows.

    Args:
        path: absolute, from `check_file`.
        sound: also read the sound track; all other streams are discarded.

    Raises:
        VideoError: it does not open, has no decodable video stream, or reading it fails.
    """
    # Another library may have routed FFmpeg's log to Python, which deadlocks with threads.
    av.logging.set_level(None)
    with video_errors(), _open(path) as container:
        stream = shown_stream(container, path)
        if stream.codec_context.name == stream.codec.canonical_name:
            # FFmpeg's native decoders lose errors with slice threads.
            stream.codec_context.thread_count = 1
        sound_track = sound_of(container) if sound else None
        for other in container.streams:
            if other not in (stream, sound_track):
                other.discard = Discard.all
        yield container, stream


def sound_of(container: InputContainer) -> AudioStream | None:
    """The sound track that a player would choose: the default one, else the first."""
    return max(container.streams.audio, key=_is_default, default=None)


def _is_default(stream: Stream) -> bool:
    return bool(stream.disposition & Disposition.default)


def packets(container: InputContainer, *streams: Any) -> Iterator[Packet[Any]]:
    """Yield packets of streams in file order, then an empty one per stream to flush its decoder.

    A read error ends the file.
    """
    try:
        yield from container.demux(*streams)
    except FFmpegError:
        for stream in streams:
            flush: Packet[Any] = Packet()
            flush.stream = stream
            yield flush


@contextmanager
def video_errors() -> Iterator[None]:
    """A context that turns FFmpeg's input errors into `VideoError`."""
    try:
        yield
    except FFmpegError as error:
        raise VideoError(f"cannot be read: {(error.strerror or str(error)).lower()}") from error
    except MemoryError as error:
        raise VideoError("too large for this machine's memory") from error


def _open(path: str) -> InputContainer:
    try:
        container: InputContainer = av.open(f"file:{path}", options=dict(_SAFE), **LENIENT)
        return container
    except FFmpegError as error:
        raise _reason(path) from error


def _reason(path: str) -> VideoError:
    try:
        with Path(path).open("rb") as file:
            head = file.read(64)
    except OSError:
        return VideoError("the file disappeared while it was read")
    for start, cause, hint in _NO_VIDEOS:
        if head.lstrip().startswith(start):
            return VideoError(cause, hint)
    if head[4:8] == b"ftyp":
        return VideoError(
            "cut short or damaged: its index (moov) cannot be read",
            "copy or download the file again",
        )
    return VideoError("not a readable video, or too badly damaged")


def shown_stream(container: InputContainer, path: str | None = None) -> VideoStream:
    """The video stream that a player shows: the default one, or that with the most frames.

    Args:
        container: that is open.
        path: of its file, whose packets are counted if it does not say how many frames there are;
            without one, as for a live source, it is then the largest.

    Raises:
        VideoError: there is none, it cannot be decoded, or its frames are too large.
    """
    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    decodable = [stream for stream in streams if stream.codec_context is not None]
    if decodable:
        best = [s for s in decodable if _is_default(s)] or decodable
        if len(best) > 1:
            ranks = [stream.frames for stream in best]
            if not all(ranks):  # the container does not store counts
                ranks = _ranks(best, path)
            best = [best[ranks.index(max(ranks))]]
        check_size(best[0])
        return best[0]
    if streams:
        raise VideoError("its video codec is not supported here")
    raise VideoError(
        "no video stream, only sound" if container.streams.audio else "no video stream"
    )


def _ranks(streams: Sequence[VideoStream], path: str | None) -> list[int]:
    if path is None:
        return [s.codec_context.width * s.codec_context.height for s in streams]
    counts = _count_packets(path, signature(path))
    return [counts.get(stream.index, 0) for stream in streams]


@lru_cache(maxsize=16)
def _count_packets(path: str, _signature: tuple[int, int, int]) -> Counter[int]:
    """Number of packets per video stream index; reads the whole file."""
    with _open(path) as container:
        video_packets = packets(container, *container.streams.video)
        return Counter(packet.stream_index for packet in video_packets if packet.size)


def check_size(stream: VideoStream) -> None:
    """Check that frames of a stream are not too large.

    Raises:
        VideoError: they are.
    """
    width, height = stream.codec_context.width, stream.codec_context.height
    if width * height > _MAX_PIXELS:
        raise VideoError(f"frames of {width}x{height} pixels are larger than staa supports")


def signature(path: str) -> tuple[int, int, int]:
    """Changes when the file does: inode, size in bytes, modification time in ns."""
    status = Path(path).stat()
    return status.st_ino, status.st_size, status.st_mtime_ns
