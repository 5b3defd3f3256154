"""A video and a way to draw on it in, an annotated MP4 with its times and its sound out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
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
from staa_cli.video.audio import Sound, way_of_sound
from staa_cli.video.container import open_video, packets, sound_of
from staa_cli.video.decode import Wanted, all_frames, file_of, seek_point, table_of
from staa_cli.video.encode import BT709, CLOCK, LONGEST_STEP, Color, Shape, VideoWriter
from staa_cli.video.frame_source import SeekableSource, VideoFile
from staa_cli.video.pixels import Converter, YuvPlanes, frame_of, kept_matrix, make_computable
from staa_cli.video.table import DecodeReport, FrameTable, first_frame

Draw = Callable[[int, float, YuvPlanes], YuvPlanes]
_FINEST = 1_000_000


def annotate(
    video: VideoInfo | SeekableSource,
    destination: Path,
    draw: Draw,
    *,
    size: tuple[int, int] | None = None,
    audio: bool = True,
    preset: str = "veryfast",
    crf: float = 23,
    repeatable: bool = False,
    frames: range | None = None,
    on_frame: Callable[[int], None] | None = None,
    watched: Collection[int] = (),
    on_picture: Callable[[int, UInt8], object] = lambda index, picture: None,
    report: DecodeReport | None = None,
) -> None:
    """A video in, an H.264 MP4 at `destination` out with every frame drawn on.

    Times, pixel shape, color, and sound are the source's; the first frame is at zero. Of a part of
    a video, the sound is cut as well, and little is decoded that stands before it. A frame that
    does not decode is left out: the one before stays until the next. So is sound that neither fits
    into an MP4 nor decodes; the report names it.

    Args:
        video: a probed file, or a source; one that is no file has pictures alone, and no sound.
        destination: written to as it is, and removed on failure.
        draw: takes (position, seconds, planes [H, W]) and gives planes of `size`.
        size: (width, height) that `draw` gives, even; the video's own, made even, by default.
        audio: keep the sound track.
        preset: of x264.
        crf: quality of x264, lower is better.
        repeatable: equal pictures become equal bytes; the file grows a little.
        frames: positions of the frames that are wanted, all of them where None.
        on_frame: called with the position of every frame that is done.
        watched: positions among `frames` of pictures that somebody else wants.
        on_picture: called with those, before anything is drawn on them: (position, upright sRGB
            uint8 [H, W, 3]), rising, with stand-ins as `iter_frames` has them.
        report: filled in with what decoding met.

    Raises:
        VideoError: nothing decodes any more.
        OutputError: the file cannot be written.
    """
    report = report if report is not None else DecodeReport()
    if isinstance(video, SeekableSource) and not isinstance(video, VideoFile):
        coding: dict[str, Any] = {"preset": preset, "crf": crf, "repeatable": repeatable}

        def shown(index: int, picture: UInt8) -> None:
            if index in watched:
                on_picture(index, picture)

        _annotate_pictures(video, destination, draw, size, frames, on_frame, shown, report, coding)
        return
    info = video if isinstance(video, VideoInfo) else video.info
    table, convert = table_of(info), Converter(info)
    wanted, rgb = Wanted(watched), Converter(info).rgb
    report.truncated = table.truncated
    part = range(info.frames) if frames is None else frames
    time_base, starts = _starts(table, part)
    key = seek_point(file_of(info), table, part.start)
    shape = _shape(info, size, time_base, _color(info))
    with (
        open_video(file_of(info), sound=audio) as (container, stream),
        VideoWriter(destination, shape, preset=preset, crf=crf, repeatable=repeatable) as writer,
    ):
        sound = _sound(info, container, writer, table, part, report) if audio else None
        done = set()
        if key is not None:
            container.seek(key.seek, stream=stream)
        found = _pictures(container, stream, sound)
        for index, frame in all_frames(table, found, report):
            if index >= part.stop:
                break
            for position, picture in wanted.among(index, frame):
                on_picture(position, rgb(picture))
            if index < part.start:
                report.packets_bad = 0  # what leads a key frame refers to what was sought past
                continue
            planes = draw(index, float(info.times_s[index]), convert.planes(frame))
            start, stop = starts[index - part.start : index - part.start + 2]
            writer.write(frame_of(planes), start, stop - start)
            done.add(index)
            if on_frame is not None:
                on_frame(index)
            if index == part.stop - 1 and part.stop < info.frames:
                break
        if sound is not None:
            while not sound.ended and next(found, None) is not None:
                pass
            sound.finish()
            report.sound_packets_bad = sound.packets_bad
        if not done:
            raise VideoError("no frame can be decoded")
        for position, picture in wanted.rest():
            on_picture(position, rgb(picture))
    report.frames_decoded += len(done)
    report.missing.extend(sorted(set(part) - done))


def _annotate_pictures(
    source: SeekableSource,
    destination: Path,
    draw: Draw,
    size: tuple[int, int] | None,
    frames: range | None,
    on_frame: Callable[[int], None] | None,
    on_picture: Callable[[int, UInt8], object],
    report: DecodeReport,
    coding: Mapping[str, Any],
) -> None:
    """The same for a source that is no file: its pictures are upright and sRGB already."""
    info = replace(source.info, rotation=0, mirrored=False, transfer="sdr")
    convert, part = Converter(info), range(info.frames) if frames is None else frames
    time_base, starts = _starts(_table_of_times(info), part)
    with VideoWriter(destination, _shape(info, size, time_base, BT709), **coding) as writer:
        for index, picture in source.read(part, report):
            on_picture(index, picture)
            frame = VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            planes = draw(index, float(info.times_s[index]), convert.planes(frame))
            start, stop = starts[index - part.start : index - part.start + 2]
            writer.write(frame_of(planes), start, stop - start)
            if on_frame is not None:
                on_frame(index)


def _table_of_times(info: VideoInfo) -> FrameTable:
    """When the frames of a source that is no file are shown, in microseconds."""
    ticks = np.rint(np.append(info.times_s, info.duration_s) * _FINEST).astype(np.int64)
    last = max(1, int(ticks[-1] - ticks[-2]))
    return FrameTable(ticks[:-1], (), Fraction(1, _FINEST), last, fit=True)


def _starts(table: FrameTable, part: range) -> tuple[Fraction, list[int]]:
    """The output's clock, and on it the starts of N frames and the end of the last: [N + 1]."""
    ticks = np.append(table.ticks, table.ticks[-1] + table.last)[part.start : part.stop + 1]
    ends: list[int] = (ticks - ticks[0]).tolist()
    clock = table.time_base if table.time_base.denominator <= _FINEST else CLOCK
    longest_s = max(after - before for before, after in pairwise(ends)) * table.time_base
    if longest_s * clock.denominator > LONGEST_STEP:  # a camera slept for hours
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


def _color(info: VideoInfo) -> Color:
    if info.transfer != "sdr":
        return BT709
    frame = first_frame(file_of(info))
    make_computable(frame)
    return Color(kept_matrix(frame) or BT709.matrix, frame.color_trc, frame.color_primaries)


def _sound(
    info: VideoInfo,
    container: InputContainer,
    writer: VideoWriter,
    table: FrameTable,
    part: range,
    report: DecodeReport,
) -> Sound | None:
    source = sound_of(container)
    if source is None:
        return None
    way = way_of_sound(file_of(info))
    if way == "left out":
        report.sound_left_out = info.audio
        return None
    start_s = int(table.ticks[part.start]) * table.time_base
    whole = part.stop == len(table.ticks)
    length_s = None if whole else int(table.ticks[part.stop]) * table.time_base - start_s
    shifts_s = [shift * table.time_base for shift in table.shifts]
    return Sound(source, way == "copied", writer, start_s, shifts_s, length_s)


def _pictures(
    container: InputContainer, stream: VideoStream, sound: Sound | None
) -> Iterator[Packet[Any]]:
    """All packets in file order; those of the sound go their own way."""
    if sound is None:
        yield from packets(container, stream)
        return
    for packet in packets(container, stream, sound.source):
        # By the stream itself: the empty packets at the end all have the number of the first one.
        if packet.stream is sound.source:
            sound.add(packet)
        else:
            yield packet
