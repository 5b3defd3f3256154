"""Videos whose frames contain their number, written with PyAV only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
BITS = 12


def stamp(number: int, width: int = 320, height: int = 240) -> Picture:
    """A gray picture with the bits of `number` as black and white boxes, and a red corner."""
    picture = np.full((height, width, 3), 96, np.uint8)
    box = width // (BITS + 1)
    for bit in range(BITS):
        left = box // 2 + bit * box
        picture[height // 4 : height // 2, left : left + box - 2] = 235 if number >> bit & 1 else 16
    picture[: height // 8, : width // 8] = (200, 30, 30)
    return picture


def read(picture: Picture) -> int:
    """The number in a picture of `stamp`."""
    height, width = picture.shape[:2]
    box = width // (BITS + 1)
    row = picture[height * 3 // 8]
    return sum(int(row[box // 2 + bit * box + box // 2].mean() > 125) << bit for bit in range(BITS))


def write_stamped(
    path: Path,
    frames: int | Iterable[Picture] = 120,
    *,
    rate: int = 30,
    gop: int = 12,
    b_frames: int = 2,
    ticks: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    container: str | None = None,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    turn: int = 0,
    mirror: bool = False,
    start: int = 0,
    options: dict[str, str] | None = None,
) -> Path:
    """Write a video with PyAV only, independently of the code under test."""
    pictures = map(stamp, range(frames)) if isinstance(frames, int) else iter(frames)
    first = next(pictures)
    height, width = first.shape[:2]
    with av.open(str(path), "w", format=container) as output:
        fast = {"preset": "superfast"} if codec == "libx264" else {}
        stream: Any = output.add_stream(codec, rate=rate, options={**fast, **(options or {})})
        stream.width, stream.height, stream.pix_fmt = width, height, pixels
        context = stream.codec_context
        context.gop_size, context.max_b_frames = gop, b_frames
        if time_base is not None:
            context.time_base = time_base
        if turn or mirror:
            stream.set_display_rotation(turn, hflip=mirror)
        for n, picture in enumerate(chain([first], pictures)):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = start + (ticks[n] if ticks is not None else n)
            frame.time_base = time_base or Fraction(1, rate)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def with_silence(path: Path, source: Path, seconds: int = 3, rate: int = 48_000) -> Path:
    """The packets of a video at their times, next to silence that begins at zero."""
    with av.open(str(source)) as video, av.open(str(path), "w") as output:
        track = output.add_stream_from_template(video.streams.video[0])
        sound: Any = output.add_stream("aac", rate=rate, layout="mono")
        for packet in video.demux(video=0):
            if packet.size:
                packet.stream = track
                output.mux(packet)
        for start in range(0, seconds * rate, 1024):
            samples = np.zeros((1, 1024), np.float32)
            frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
            output.mux(sound.encode(frame))
        output.mux(sound.encode(None))
    return path
