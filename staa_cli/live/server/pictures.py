"""Frames of a stream as messages for browsers: H.264 for all viewers, or single pictures."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import av
from av.error import FFmpegError
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType, VideoFrame

from staa_cli.errors import UnavailableError
from staa_cli.live.run import Drawn
from staa_cli.video.annotate import color_of
from staa_cli.video.encode import CLOCK, Shape, set_up
from staa_cli.video.pixels import frame_of

Form = Literal["h264", "jpeg"]
"""How a viewer gets pictures: `jpeg` where its browser cannot decode H.264 frame by frame."""
FORMS: tuple[Form, ...] = ("h264", "jpeg")
_KEY_FRAME_S = 1.0
"""Longest time between key frames: a viewer that lost frames goes on with the next."""
_LONGEST_SIDE: dict[Form, int] = {"h264": 1920, "jpeg": 1280}
"""Pixels; larger frames are scaled down, as encoding them would take longer than they last."""
_QUALITY = 85
"""Of JPEG."""
HEADER = struct.Struct("<BBxxIdd")
"""In front of a picture: its form, whether it is a key frame, number, seconds in the stream, and
milliseconds since 1970 when it arrived."""


@dataclass(frozen=True, slots=True)
class Picture:
    """An encoded frame."""

    form: Form
    is_key: bool
    number: int
    message: bytes


class Encoders:
    """Encodes the frames of one stream, without holding any back.

    Args:
        wall_s: what makes a time of `time.monotonic` one of `time.time`.
    """

    def __init__(self, wall_s: float) -> None:
        self._wall_s = wall_s
        self._context: VideoCodecContext | None = None
        self._last, self._key_s = -1, 0.0

    def encode(self, drawn: Drawn, form: Form, *, key: bool) -> Picture:
        """A frame without heat in a form.

        Args:
            drawn: the frame.
            form: of the picture.
            key: whether it must be a key frame; some are in any case.

        Raises:
            UnavailableError: this FFmpeg has no encoder for H.264.
        """
        frame = drawn.frame
        content, is_key = self._h264(drawn, key) if form == "h264" else (_jpeg(drawn), True)
        arrived_ms = 1000 * (frame.arrived_s + self._wall_s)
        header = HEADER.pack(FORMS.index(form), is_key, frame.number, frame.time_s, arrived_ms)
        return Picture(form, is_key, frame.number, header + content)

    def _h264(self, drawn: Drawn, key: bool) -> tuple[bytes, bool]:
        frame, time_s, context = _scaled(drawn, "h264"), drawn.frame.time_s, self._context
        if context is None or (context.width, context.height) != (frame.width, frame.height):
            self._context = context = _opened(drawn, frame)
            self._last, key = -1, True
        ticks = max(self._last + 1, round(time_s / CLOCK))
        frame.pts, frame.time_base, self._last = ticks, CLOCK, ticks
        if key or not 0 <= time_s - self._key_s < _KEY_FRAME_S:
            frame.pict_type = PictureType.I
            self._key_s = time_s
        packets = context.encode(frame)
        return b"".join(map(bytes, packets)), any(packet.is_keyframe for packet in packets)


def _scaled(drawn: Drawn, form: Form) -> VideoFrame:
    """The frame without heat; its sides are even."""
    frame = frame_of(drawn.plain)
    across, down = drawn.info.sample_aspect_ratio
    # H.264 says in which shape pixels are shown, single pictures have square ones.
    wide = frame.width * (across / down if form == "jpeg" else 1)
    scale = min(1.0, _LONGEST_SIDE[form] / max(wide, frame.height))
    width, height = (max(2, 2 * round(scale * side / 2)) for side in (wide, frame.height))
    same = (width, height) == (frame.width, frame.height)
    return frame if same else frame.reformat(width, height)


def _opened(drawn: Drawn, frame: VideoFrame) -> VideoCodecContext:
    """An encoder for frames like this one."""
    shape = Shape(
        frame.width,
        frame.height,
        CLOCK,
        rate=Fraction(drawn.info.rate).limit_denominator(1001),
        variable_rate=True,
        color=color_of(drawn.frame.picture, drawn.info.transfer),
        aspect=Fraction(*drawn.info.sample_aspect_ratio),
    )
    av.logging.set_level(None)
    try:
        context = av.CodecContext.create("libx264", "w")
        # Key frames come by time, not by number; each can be a viewer's first. Decoders give out
        # frames of this profile without waiting for later ones.
        context.options = {
            "preset": "superfast",
            "tune": "zerolatency",
            "profile": "baseline",
            "crf": "23",
            "forced-idr": "1",
            "threads": "1",
        }
        set_up(_Track(context), shape, 1 << 20, "yuv420p")  # type: ignore[arg-type]
        context.framerate = shape.rate
        context.open()
    except (FFmpegError, ValueError) as error:
        raise UnavailableError("--serve: this FFmpeg does not encode H.264") from error
    return context


@dataclass(frozen=True, slots=True)
class _Track:
    """An encoder without a file, for `set_up`."""

    codec_context: Any


def _jpeg(drawn: Drawn) -> bytes:
    content = io.BytesIO()
    picture: Any = _scaled(drawn, "jpeg")
    picture.colorspace = color_of(drawn.frame.picture, drawn.info.transfer).matrix
    picture.to_image().save(content, "JPEG", quality=_QUALITY)
    return content.getvalue()
