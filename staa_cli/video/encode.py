"""Encode frames with their times as an H.264 MP4 that common players support."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain, count
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

import av
import numpy as np
from av.codec.hwaccel import HWAccel
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
from av.video.stream import VideoStream

from staa_cli.errors import OutputError
from staa_cli.files import output_errors
from staa_cli.schema import Float32, UInt8
from staa_cli.video.encoders import STANDARD, X264, Encoder, Quality

CLOCK = Fraction(1, 90_000)
FINEST = 1_000_000
"""Ticks per second of the finest time base that is kept."""
LONGEST_STEP = 1 << 30
"""Ticks from frame to frame that an MP4 can store, with one bit of reserve for shifts."""
_MAX_SIDE = 16_384
"""Pixels per side that H.264 levels allow."""
_SAVE_MEMORY_PIXELS = 1 << 24
"""Above this, x264 holds one frame at a time: each takes at least 50 MB."""


@dataclass(frozen=True, slots=True)
class Color:
    """Color tags of a stream, as FFmpeg numbers them; the range is always limited."""

    matrix: int
    transfer: int
    primaries: int


BT709 = Color(int(Colorspace.ITU709), int(ColorTrc.BT709), int(ColorPrimaries.BT709))


@dataclass(frozen=True, slots=True)
class Shape:
    """Properties of a video that must be known before its first frame is written."""

    width: int
    height: int
    time_base: Fraction
    rate: Fraction
    """Mean frames per second; a hint for the encoder, which uses the frames' times."""
    variable_rate: bool
    color: Color = BT709
    aspect: Fraction = Fraction(1)
    rotation: int = 0


class Mp4Writer:
    """Writes tracks to an MP4; a context manager that removes the file on an exception.

    Args:
        path: of the MP4, with any ending.
        time_base: of the times of its video track.

    Raises:
        OutputError: the file cannot be written.
    """

    def __init__(self, path: Path, time_base: Fraction) -> None:
        self._path = path
        av.logging.set_level(None)
        with self.errors():
            self.container = av.open(
                f"file:{path.absolute()}",
                "w",
                format="mp4",
                options={
                    "movflags": "+faststart",
                    # A finer timescale, chosen by the muxer, could overflow at a long step.
                    "video_track_timescale": str(time_base.denominator),
                },
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._finish()
                return
        except BaseException:
            self._discard()
            raise
        self._discard()

    def encode(self, stream: Any, frame: Any) -> None:
        """Encode a frame of a stream of this file and write its packets; None flushes."""
        with self.errors():
            self.mux(stream.encode(frame))

    def mux(self, packets: Any) -> None:
        """Write encoded packets of any stream of this file."""
        with self.errors():
            self.container.mux(packets)

    @contextmanager
    def errors(self) -> Iterator[None]:
        """A context that turns FFmpeg's errors into `OutputError` for this file."""
        with output_errors(self._path):
            try:
                yield
            except OSError as error:
                raise OSError(error.errno, error.strerror) from error
            except FFmpegError as error:
                raise OutputError(f"cannot encode {self._path}: {error.strerror}") from error

    def _finish(self) -> None:
        with self.errors():
            self.container.close()

    def _discard(self) -> None:
        with suppress(FFmpegError, OSError):
            self.container.close()
        with suppress(OSError):
            self._path.unlink(missing_ok=True)


class VideoWriter(Mp4Writer):
    """Writes an MP4 with a video track in H.264.

    Args:
        path: of the MP4, with any ending.
        shape: properties of the video.
        encoders: the first that opens for this shape is used.
        quality: speed and quality of the encoding.
        gop: maximum number of frames between key frames.

    Raises:
        OutputError: the file cannot be written, or no encoder opens.
    """

    def __init__(
        self,
        path: Path,
        shape: Shape,
        *,
        encoders: Sequence[Encoder] = (X264,),
        quality: Quality = STANDARD,
        gop: int | None = None,
    ) -> None:
        self._durations: dict[int, int] = {}
        self._size = shape.width, shape.height
        self._time_base, self._empty = shape.time_base, True
        size = f"{shape.width}x{shape.height}"
        if max(self._size) > _MAX_SIDE:
            raise OutputError(
                f"{size} pixels are too many for H.264, which allows {_MAX_SIDE} per side",
                "use --no-annotated to skip the annotated video",
            )
        if shape.width * shape.height > _SAVE_MEMORY_PIXELS:
            quality = replace(quality, huge=True)
        for encoder in encoders:
            super().__init__(path, shape.time_base)
            try:
                self._stream = self._open(encoder, shape, gop, quality)
                return
            except (FFmpegError, NotImplementedError) as error:
                self._discard()
                reason = getattr(error, "strerror", None) or str(error)
                problem = OutputError(
                    f"{encoder.name} cannot encode {size} pixels: {reason.lower()}",
                    None if encoder is X264 else "use --encoder x264",
                )
                problem.__cause__ = error
        raise problem

    def _open(
        self, encoder: Encoder, shape: Shape, gop: int | None, quality: Quality
    ) -> VideoStream:
        """Add a stream whose encoder is open: hardware that cannot encode it fails here."""
        options = encoder.options(quality)
        if quality.max_rate is not None:
            bits = max(1000, round(quality.max_rate))
            options |= {"maxrate": str(bits), "bufsize": str(4 * bits)}
        stream: Any = self.container.add_stream(
            encoder.codec,
            rate=shape.rate,
            options=options,
            hwaccel=None if encoder.device is None else HWAccel(encoder.device),
        )
        set_up(stream, shape, gop, encoder.pixels)
        stream.codec_context.open()
        return cast(VideoStream, stream)

    def write(self, frame: VideoFrame, ticks: int, duration: int) -> None:
        """Write a yuv420p frame; its start and duration are in units of the shape's time base."""
        if (frame.width, frame.height) != self._size:
            raise ValueError(f"a picture of {frame.width}x{frame.height} for {self._size}")
        frame.pts, frame.time_base = ticks, self._time_base
        frame.pict_type = 0  # otherwise the encoder copies the source's key frames
        self._durations[ticks], self._empty = duration, False
        self._encode(frame)

    def _encode(self, frame: VideoFrame | None) -> None:
        with self.errors():
            packets = self._stream.encode(frame)
        for packet in packets:
            # The encoder guesses durations from the mean rate; the last one sets the file's length.
            if packet.pts in self._durations:
                packet.duration = self._durations.pop(packet.pts)
            self.mux(packet)

    def _finish(self) -> None:
        if self._empty:
            raise OutputError(f"no frame to write to {self._path}")
        self._encode(None)
        super()._finish()


def write_video(
    path: Path,
    frames: Iterable[UInt8],
    times_s: Sequence[float] | None = None,
    *,
    rate: float | Fraction = 25,
    rotation: int = 0,
    audio: tuple[Float32, int] | None = None,
    crf: float = 18,
    preset: str = "medium",
    gop: int | None = None,
    encoders: Sequence[Encoder] = (X264,),
) -> None:
    """Write RGB uint8 [H, W, 3] frames as an MP4; odd sides grow by one pixel.

    Args:
        path: of the MP4; removed on failure.
        frames: at least one, all of one size.
        times_s: start of each in seconds, increasing; by default from `rate`.
        rate: frames per second.
        rotation: display rotation in degrees counter-clockwise.
        audio: mono samples from -1 to 1, and the sample rate.
        crf: quality, lower is better.
        preset: of x264.
        gop: maximum number of frames between key frames.
        encoders: the first that opens for the frames' size is used.

    Raises:
        OutputError: the file cannot be written.
    """
    rate = Fraction(rate).limit_denominator(1001)
    time_base = 1 / rate if times_s is None else CLOCK
    pictures = iter(frames)
    first = next(pictures, None)
    if first is None:
        raise OutputError(f"no frame to write to {path}")
    height, width = (side + side % 2 for side in first.shape[:2])
    shape = Shape(width, height, time_base, rate, times_s is not None, rotation=rotation)
    ticks = count() if times_s is None else [round(t / CLOCK) for t in times_s]
    step = max(1, round(1 / (rate * time_base)))
    quality = Quality(preset, crf)
    with VideoWriter(path, shape, encoders=encoders, quality=quality, gop=gop) as writer:
        sound = _Samples(writer, *audio) if audio is not None else None
        for start, length, picture in _timed(ticks, chain([first], pictures), step):
            writer.write(_frame(picture), start, length)
            if sound is not None:
                sound.add_until(float((start + length) * time_base))
        if sound is not None:
            sound.finish()


def _timed(
    ticks: Iterable[int], pictures: Iterable[UInt8], length: int
) -> Iterator[tuple[int, int, UInt8]]:
    """Yield (start, length, picture); the last length is that of the one before."""
    pending = None
    for start, picture in zip(ticks, pictures, strict=False):
        if pending is not None:
            length = start - pending[0]
            yield pending[0], length, pending[1]
        pending = start, picture
    if pending is not None:
        yield pending[0], length, pending[1]


def _frame(picture: UInt8) -> VideoFrame:
    height, width = picture.shape[:2]
    even = np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24").reformat(
        format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
    )


class _Samples:
    """Writes mono samples to a file as AAC."""

    def __init__(self, writer: VideoWriter, samples: Float32, rate: int) -> None:
        self._writer, self._rate, self._done = writer, rate, 0
        self._samples = np.ascontiguousarray(samples, np.float32)
        with writer.errors():
            self._stream = writer.container.add_stream("aac", rate=rate, layout="mono")

    def add_until(self, time_s: float) -> None:
        """Write the samples up to a time."""
        end = min(len(self._samples), round(time_s * self._rate))
        if end > self._done:
            part = self._samples[None, self._done : end]
            frame = av.AudioFrame.from_ndarray(part, format="fltp", layout="mono")
            frame.sample_rate, frame.pts = self._rate, self._done
            frame.time_base = Fraction(1, self._rate)
            self._writer.encode(self._stream, frame)
            self._done = end

    def finish(self) -> None:
        """Flush the encoder."""
        self._writer.encode(self._stream, None)


def set_up(stream: VideoStream, shape: Shape, gop: int | None, pixels: str) -> None:
    """Set the properties of a video track before its encoder is opened.

    Args:
        stream: of the track.
        shape: of its frames.
        gop: maximum number of frames between key frames; None for that of the encoder.
        pixels: pixel format, as FFmpeg names it.
    """
    context = stream.codec_context
    context.width, context.height, context.pix_fmt = shape.width, shape.height, pixels
    context.time_base = shape.time_base
    context.sample_aspect_ratio = shape.aspect
    context.color_range = int(ColorRange.MPEG)
    context.colorspace = shape.color.matrix
    context.color_trc = shape.color.transfer
    context.color_primaries = shape.color.primaries
    if gop is not None:
        context.gop_size = gop
    if shape.variable_rate:
        # With B-frames, the duration written by the muxer ends before the last frame.
        context.max_b_frames = 0
    if shape.rotation:
        stream.set_display_rotation(shape.rotation)
