"""Write decoded frames without any loss, so that they decode to the same pixels."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from av.codec.codec import Codec
from av.video.frame import VideoFrame

from staa_cli.errors import OutputError
from staa_cli.schema import VideoInfo
from staa_cli.video.container import fraction
from staa_cli.video.encode import CLOCK, FINEST, Mp4Writer

_OPTIONS = {"libx264": {"preset": "ultrafast", "qp": "0", "threads": "1"}, "ffv1": {"level": "3"}}
"""Encoders without loss; the first is smaller by far, but takes neither odd sizes nor RGB, and its
gray is decoded as color."""
_RGB = ("rgb24", "bgr24", "gbrp", "rgba", "bgra", "rgb0", "pal8")
"""Formats whose samples are kept as `bgr0`."""


def write_lossless(
    destination: Path, pictures: Sequence[VideoFrame], times_s: Sequence[float], info: VideoInfo
) -> None:
    """Write frames as an MP4 with the times that they have in a stream, from the first.

    Args:
        destination: path of the MP4; removed on failure.
        pictures: decoded frames, at least one, of one size and format.
        times_s: of each, increasing.
        info: metadata of the stream, whose orientation is kept.

    Raises:
        OutputError: it cannot be written, or the size or the format of the frames changes.
    """
    first = pictures[0]
    base = fraction(first.time_base) or CLOCK
    time_base = base if base.denominator <= FINEST else CLOCK
    codec, pixels = _codec(first)
    with Mp4Writer(destination, time_base) as writer, writer.errors():
        stream: Any = writer.container.add_stream(
            codec,
            rate=Fraction(info.rate).limit_denominator(1001),
            options=_OPTIONS[codec],
        )
        context = stream.codec_context
        context.width, context.height, context.pix_fmt = first.width, first.height, pixels
        context.time_base = time_base
        context.sample_aspect_ratio = _stored_aspect(info)
        context.color_range = int(first.color_range)
        context.colorspace = int(first.colorspace)
        context.color_trc = int(first.color_trc)
        context.color_primaries = int(first.color_primaries)
        if info.rotation or info.mirrored:
            stream.set_display_rotation(info.rotation, hflip=info.mirrored)
        last = -1
        for picture, time_s in zip(pictures, times_s, strict=True):
            if (picture.width, picture.height) != (first.width, first.height):
                raise OutputError("the size of the pictures changes in these seconds")
            if picture.format.name != first.format.name:
                raise OutputError("the pixel format of the pictures changes in these seconds")
            frame = picture if picture.format.name == pixels else picture.reformat(format=pixels)
            ticks = max(last + 1, round((time_s - times_s[0]) / time_base))
            before = frame.pts, frame.time_base, frame.pict_type
            frame.pts, frame.time_base, frame.pict_type, last = ticks, time_base, 0, ticks
            try:
                writer.encode(stream, frame)
            finally:  # other threads read the same frames
                frame.pts, frame.time_base, frame.pict_type = before
        writer.encode(stream, None)


def _codec(picture: VideoFrame) -> tuple[str, str]:
    """An encoder, and the pixel format in which it keeps a frame as it is."""
    name = picture.format.name
    pixels = "bgr0" if name in _RGB else name
    suits_x264 = not (picture.width % 2 or picture.height % 2 or pixels.startswith("gray"))
    for codec in _OPTIONS:
        formats = {kept.name for kept in Codec(codec, "w").video_formats or ()}
        if pixels in formats and (suits_x264 or codec != "libx264"):
            return codec, pixels
    raise OutputError(f"frames in the pixel format {pixels} cannot be kept without loss")


def _stored_aspect(info: VideoInfo) -> Fraction:
    """Shape of a pixel before it is turned upright."""
    aspect = Fraction(*info.sample_aspect_ratio)
    return 1 / aspect if info.rotation % 180 else aspect
