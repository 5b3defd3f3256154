"""Reads the metadata of a video file."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import ColorTrc
from av.video.stream import VideoStream

from staa_cli.files import sha256_of
from staa_cli.schema import VideoInfo
from staa_cli.video.container import check_file, fraction, open_video, sound_of
from staa_cli.video.pixels import Orientation, has_unknown_color
from staa_cli.video.table import FrameTable, first_frame, frame_table


def probe(path: str | Path) -> VideoInfo:
    """Probe the video at a path: reads all packets and decodes the first frames.

    If the packets do not determine the frames (AVI, raw streams), the whole file is decoded once.

    Raises:
        VideoError: not a readable file, not a video, or no frame decodes.
    """
    file = check_file(path)
    table = frame_table(str(file))
    frame = first_frame(str(file))
    with open_video(str(file)) as (container, stream):
        return _info(str(path), file, table, container, stream, frame)


def _info(
    path: str,
    file: Path,
    table: FrameTable,
    container: InputContainer,
    stream: VideoStream,
    frame: VideoFrame,
) -> VideoInfo:
    upright = Orientation.of_frame(frame)
    width, height = upright.size(frame.width, frame.height)
    times_s = table.times_s
    duration_s = float(times_s[-1] + table.last * table.time_base)
    return VideoInfo(
        path=path,
        sha256=sha256_of(file),
        size_bytes=file.stat().st_size,
        container=container.format.name.partition(",")[0],
        codec=stream.codec.canonical_name,
        pixel_format=frame.format.name,
        width=width,
        height=height,
        rotation=90 * upright.turns,
        mirrored=upright.mirrored,
        sample_aspect_ratio=upright.size(*_aspect(stream)),
        transfer=transfer_of(frame),
        interlaced=frame.interlaced_frame,
        start_s=float(table.ticks[0] * table.time_base),
        duration_s=duration_s,
        rate=len(times_s) / duration_s,
        variable_rate=_varies(table),
        times_s=times_s,
        audio=_audio(container),
        frames_declared=stream.frames,
        packets_bad=table.packets_bad,
        truncated=table.truncated,
        times_repaired=table.repaired,
        color_guessed=has_unknown_color(frame),
    )


def _aspect(stream: VideoStream) -> tuple[int, int]:
    ratio = fraction(stream.sample_aspect_ratio) or Fraction(1)
    return (ratio.numerator, ratio.denominator) if ratio > 0 else (1, 1)


def transfer_of(frame: VideoFrame) -> Literal["sdr", "pq", "hlg"]:
    """The transfer function of a decoded frame."""
    if frame.color_trc == ColorTrc.SMPTE2084:
        return "pq"
    return "hlg" if frame.color_trc == ColorTrc.ARIB_STD_B67 else "sdr"


def _audio(container: InputContainer) -> str | None:
    stream = sound_of(container)
    if stream is None:
        return None
    return stream.codec.canonical_name if stream.codec_context is not None else "unknown"


def _varies(table: FrameTable) -> bool:
    """Whether gaps differ by more than the rounding of milliseconds or of the time base."""
    gaps = np.diff(table.ticks)
    rounding = max(2, min(0.0011 / table.time_base, 0.1 * gaps.mean())) if len(gaps) else 0
    return len(gaps) > 1 and bool(np.ptp(gaps) > rounding)
