"""Write an annotated MP4 of a video, with the video's times and sound."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from staa_cli.errors import VideoError
from staa_cli.schema import UInt8, VideoInfo
from staa_cli.video.audio import Sound, sound_handling
from staa_cli.video.container import open_video, packets, sound_of
from staa_cli.video.decode import RequestedFrames, all_frames, file_of, seek_point, table_of
from staa_cli.video.encode import (
    BT709,
    CLOCK,
    FINEST,
    LONGEST_STEP,
    Color,
    Mp4Writer,
    Shape,
    VideoWriter,
)
from staa_cli.video.encoders import STANDARD, X264, Encoder, Quality
from staa_cli.video.frame_source import SeekableSource, VideoFile
from staa_cli.video.pixels import Converter, YuvPlanes, frame_of, kept_matrix, use_supported_matrix
from staa_cli.video.table import DecodeReport, FrameTable, first_frame

Draw = Callable[[int, float, YuvPlanes], YuvPlanes]


def annotate(
    video: VideoInfo | SeekableSource,
    destination: Path,
    draw: Draw,
    *,
    size: tuple[int, int] | None = None,
    scaled_to: tuple[int, int] | None = None,
    audio: bool = True,
    encoders: Sequence[Encoder] = (X264,),
    quality: Quality = STANDARD,
    frames: range | None = None,
    on_frame: Callable[[int], None] | None = None,
    watched: Collection[int] = (),
    on_picture: Callable[[int, UInt8], object] = lambda index, picture: None,
    report: DecodeReport | None = None,
) -> None:
    """Draw on every frame of a video and write an H.264 MP4 to `destination`.

    Times, pixel aspect ratio, color, and sound are the source's; the first frame is at zero. For a
    part of a video, the sound is cut as well, and few frames before the part are decoded. A frame
    that does not decode is left out: the previous one is shown longer. Sound that neither fits into
    an MP4 nor decodes is left out, too; the report names it.

    Args:
        video: a probed file, or a source; a source that is not a file has no sound.
        destination: path of the MP4; removed on failure.
        draw: maps (position, seconds, planes [H, W]) to planes of `size`.
        size: (width, height) of drawn frames, even; by default that of the frames before drawing.
        scaled_to: (width, height) of frames before drawing, even; by default the video's, rounded
            up to even.
        audio: keep the sound track.
        encoders: the first that opens for the size is used.
        quality: speed and quality of the encoding.
        frames: positions of the frames to write; None for all.
        on_frame: called with the position of every written frame.
        watched: positions among `frames` for which `on_picture` is called.
        on_picture: called before drawing with (position, upright sRGB uint8 [H, W, 3]), in
            ascending order, with substitutes as in `iter_frames`.
        report: filled in while decoding.

    Raises:
        VideoError: no frame decodes.
        OutputError: the file cannot be written.
    """
    report = report if report is not None else DecodeReport()
    encoding: dict[str, Any] = {"encoders": encoders, "quality": quality}
    if isinstance(video, SeekableSource) and not isinstance(video, VideoFile):

        def pass_watched(index: int, picture: UInt8) -> None:
            if index in watched:
                on_picture(index, picture)

        _annotate_source(
            video,
            destination,
            draw,
            size,
            scaled_to,
            frames,
            on_frame,
            pass_watched,
            report,
            encoding,
        )
        return
    info = video if isinstance(video, VideoInfo) else video.info
    scaled = _scaled(info, scaled_to)
    table, convert = table_of(info), Converter(scaled)
    requested, rgb = RequestedFrames(watched), Converter(info).rgb
    report.truncated = table.truncated
    part = range(info.frames) if frames is None else frames
    time_base, starts = _starts(table, part)
    key = seek_point(file_of(info), table, part.start)
    shape = _shape(scaled, size, time_base, color_of(first_frame(file_of(info)), info.transfer))
    with (
        open_video(file_of(info), sound=audio) as (container, stream),
        VideoWriter(destination, shape, **encoding) as writer,
    ):
        sound = sound_track(info, container, writer, table, part, report) if audio else None
        written = set()
        if key is not None:
            container.seek(key.seek, stream=stream)
        video_packets = split_packets(container, stream, sound)
        for index, frame in all_frames(table, video_packets, report):
            if index >= part.stop:
                break
            for position, picture in requested.take(index, frame):
                on_picture(position, rgb(picture))
            if index < part.start:
                report.packets_bad = 0  # leading frames after a seek refer to skipped ones
                continue
            planes = draw(index, float(info.times_s[index]), convert.planes(frame))
            start, stop = starts[index - part.start : index - part.start + 2]
            writer.write(frame_of(planes), start, stop - start)
            written.add(index)
            if on_frame is not None:
                on_frame(index)
            if index == part.stop - 1 and part.stop < info.frames:
                break
        if sound is not None:
            while not sound.ended and next(video_packets, None) is not None:
                pass
            sound.finish()
            report.sound_packets_bad = sound.packets_bad
        if not written:
            raise VideoError("no frame can be decoded")
        for position, picture in requested.take_rest():
            on_picture(position, rgb(picture))
    report.frames_decoded += len(written)
    report.missing.extend(sorted(set(part) - written))


def _annotate_source(
    source: SeekableSource,
    destination: Path,
    draw: Draw,
    size: tuple[int, int] | None,
    scaled_to: tuple[int, int] | None,
    frames: range | None,
    on_frame: Callable[[int], None] | None,
    on_picture: Callable[[int, UInt8], object],
    report: DecodeReport,
    encoding: Mapping[str, Any],
) -> None:
    """Annotate a source that is not a file; its frames are upright sRGB already."""
    info = replace(source.info, rotation=0, mirrored=False, transfer="sdr")
    info = _scaled(info, scaled_to)
    convert, part = Converter(info), range(info.frames) if frames is None else frames
    time_base, starts = _starts(_table_of_times(info), part)
    with VideoWriter(destination, _shape(info, size, time_base, BT709), **encoding) as writer:
        for index, picture in source.read(part, report):
            on_picture(index, picture)
            frame = VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            planes = draw(index, float(info.times_s[index]), convert.planes(frame))
            start, stop = starts[index - part.start : index - part.start + 2]
            writer.write(frame_of(planes), start, stop - start)
            if on_frame is not None:
                on_frame(index)


def _scaled(info: VideoInfo, size: tuple[int, int] | None) -> VideoInfo:
    return info if size is None else replace(info, width=size[0], height=size[1])


def _table_of_times(info: VideoInfo) -> FrameTable:
    """The frame table of a source that is not a file, in microseconds."""
    ticks = np.rint(np.append(info.times_s, info.duration_s) * FINEST).astype(np.int64)
    last = max(1, int(ticks[-1] - ticks[-2]))
    return FrameTable(ticks[:-1], (), Fraction(1, FINEST), last, fit=True)


def _starts(table: FrameTable, part: range) -> tuple[Fraction, list[int]]:
    """The output's time base, and in it the start of N frames and the end of the last: [N + 1]."""
    ticks = np.append(table.ticks, table.ticks[-1] + table.last)[part.start : part.stop + 1]
    ends: list[int] = (ticks - ticks[0]).tolist()
    clock = table.time_base if table.time_base.denominator <= FINEST else CLOCK
    longest_s = max(after - before for before, after in pairwise(ends)) * table.time_base
    if longest_s * clock.denominator > LONGEST_STEP:  # a recording that paused for hours
        clock = Fraction(1, int(LONGEST_STEP / longest_s))
    if clock == table.time_base:
        return clock, ends
    scale, starts = table.time_base / clock, [0]
    for end in ends[1:]:
        starts.append(max(round(end * scale), starts[-1] + 1))
    return clock, starts


def _shape(
    info: VideoInfo, size: tuple[int, int] | None, time_base: Fraction, color: Color
) -> Shape:
    width, height = size or (info.width + info.width % 2, info.height + info.height % 2)
    return Shape(
        width,
        height,
        time_base,
        rate=Fraction(info.rate).limit_denominator(1001) or Fraction(1, 1001),
        variable_rate=info.variable_rate,
        color=color,
        aspect=Fraction(*info.sample_aspect_ratio),
    )


def color_of(frame: VideoFrame, transfer: str) -> Color:
    """Color of the planes that `Converter.planes` makes of a decoded frame with that transfer."""
    if transfer != "sdr":
        return BT709
    use_supported_matrix(frame)
    return Color(kept_matrix(frame) or BT709.matrix, frame.color_trc, frame.color_primaries)


def sound_track(
    info: VideoInfo,
    container: InputContainer,
    writer: Mp4Writer,
    table: FrameTable,
    part: range,
    report: DecodeReport,
) -> Sound | None:
    """The sound of a part of a video, to be written next to its frames; None if there is none.

    Sound that neither fits into an MP4 nor decodes is left out; the report names it.
    """
    source = sound_of(container)
    if source is None:
        return None
    handling = sound_handling(file_of(info))
    if handling == "left out":
        report.sound_left_out = info.audio
        return None
    start_s = int(table.ticks[part.start]) * table.time_base
    to_end = part.stop == len(table.ticks)
    length_s = None if to_end else int(table.ticks[part.stop]) * table.time_base - start_s
    shifts_s = [shift * table.time_base for shift in table.shifts]
    return Sound(source, handling == "copied", writer, start_s, shifts_s, length_s)


def split_packets(
    container: InputContainer, stream: VideoStream, sound: Sound | None
) -> Iterator[Packet[Any]]:
    """The video packets in file order; sound packets are passed to `sound`."""
    if sound is None:
        yield from packets(container, stream)
        return
    for packet in packets(container, stream, sound.source):
        # Compare streams, not indices: the empty packets at the end all have the first one's index.
        if packet.stream is sound.source:
            sound.add(packet)
        else:
            yield packet
