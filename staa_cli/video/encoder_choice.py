"""Choose an encoder: that of the graphics hardware only after it has encoded a test correctly."""

from __future__ import annotations

import functools
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np
from av.error import FFmpegError

from staa_cli.errors import OutputError, UnavailableError, UsageError
from staa_cli.schema import UInt8
from staa_cli.video.encode import Shape, VideoWriter
from staa_cli.video.encoders import HARDWARE, X264, Encoder
from staa_cli.video.pixels import YuvPlanes, frame_of, plane_array

_WIDTH, _HEIGHT, _FRAMES = 320, 240, 8
_RATE = Fraction(25)
_MOST_OFF = 6.0
"""Mean error of the test's luma that still counts as correct; a lost or foreign frame has 40."""


def encoders_for(name: str, *, repeatable: bool = False) -> tuple[Encoder, ...]:
    """The encoders for a video, in the order in which they are to be tried.

    Args:
        name: a value of the setting `render.encoder`.
        repeatable: equal frames have to give equal bytes, which only x264 guarantees.

    Raises:
        UsageError: encoders of hardware are not repeatable.
        UnavailableError: the named encoder does not work on this machine.
    """
    if name == "x264" or (name == "auto" and repeatable):
        return (X264,)
    if name == "auto":
        # x264 follows, as hardware does not encode all sizes, nor many videos at the same time.
        first = next((encoder for encoder in HARDWARE if problem_of(encoder) is None), None)
        return (X264,) if first is None else (first, X264)
    if repeatable:
        raise UsageError(
            f"the encoder {name} does not give equal bytes, which --reproducible promises",
            "use --encoder x264",
        )
    encoder = next(encoder for encoder in HARDWARE if encoder.name == name)
    if (problem := problem_of(encoder)) is not None:
        others = [each.name for each in HARDWARE if problem_of(each) is None]
        raise UnavailableError(
            f"the encoder {name} is not available: {problem}",
            f"available: {', '.join(['auto', 'x264', *others])}",
        )
    return (encoder,)


@functools.cache
def problem_of(encoder: Encoder) -> str | None:
    """Why an encoder does not work on this machine; None if it encoded a test correctly.

    The test is made once per process. It compares the decoded frames with the original ones, and
    their times.
    """
    try:
        decoder = av.Codec(encoder.codec, "w").canonical_name
    except ValueError:
        return f"this build of FFmpeg lacks {encoder.codec}"
    frames = [_picture(n) for n in range(_FRAMES)]
    try:
        with TemporaryDirectory() as folder:
            decoded = _written_and_read(Path(folder) / "test.mp4", encoder, frames)
    except (FFmpegError, OutputError, OSError) as error:
        cause = error.__cause__ or error
        reason = getattr(cause, "strerror", None) or str(cause)
        return f"a test of {encoder.codec} failed ({reason.lower()}): no such hardware, or driver"
    same = len(decoded) == len(frames) and all(
        np.abs(after.astype(float) - before).mean() < _MOST_OFF
        for before, after in zip(frames, decoded, strict=True)
    )
    return None if same else f"{encoder.codec} encoded a test wrongly to {decoder}"


def _picture(number: int) -> UInt8:
    """Luma [H, W] of a frame of the test: a gradient that moves a third of the picture a frame."""
    column = np.arange(_WIDTH) + number * (_WIDTH // 3)
    row = np.linspace(16, 235, _WIDTH)[column % _WIDTH]
    return np.broadcast_to(row, (_HEIGHT, _WIDTH)).astype(np.uint8)


def _written_and_read(path: Path, encoder: Encoder, pictures: list[UInt8]) -> list[UInt8]:
    """The luma of the frames of a file that an encoder wrote, if their times are those written."""
    shape = Shape(_WIDTH, _HEIGHT, 1 / _RATE, _RATE, variable_rate=False)
    with VideoWriter(path, shape, encoders=(encoder,)) as writer:
        for number, picture in enumerate(pictures):
            gray = np.full((_HEIGHT // 2, _WIDTH // 2), 128, np.uint8)
            writer.write(frame_of(YuvPlanes(picture, gray, gray)), number, 1)
    with av.open(str(path)) as container:
        decoded = {
            round((frame.time or 0) * _RATE): plane_array(frame.planes[0]).copy()
            for frame in container.decode(video=0)
        }
    return [decoded[number] for number in range(len(pictures)) if number in decoded]
