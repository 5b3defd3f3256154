"""Decodes exactly the frames asked for, with as little decoding as possible."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from staa_cli.errors import VideoError
from staa_cli.schema import UInt8, VideoInfo
from staa_cli.video.container import open_video, packets
from staa_cli.video.pixels import Converter
from staa_cli.video.table import DecodeReport, FrameTable, Key, decode, frame_table


def iter_frames(
    info: VideoInfo, indices: Sequence[int], report: DecodeReport | None = None
) -> Iterator[tuple[int, UInt8]]:
    """Positions in the video in, (position, upright sRGB uint8 [H, W, 3]) out, rising, each once.

    Where a listed frame does not decode, the nearest one before it stands in (the first one, where
    nothing stands before), and `report.missing` says so.

    Raises:
        IndexError: a position that the video does not have.
        VideoError: the file changed since it was probed, or nothing decodes any more.
    """
    report = report if report is not None else DecodeReport()
    table = table_of(info)
    report.truncated = table.truncated
    wanted = sorted(set(indices))
    if wanted and not 0 <= wanted[0] <= wanted[-1] < info.frames:
        raise IndexError(f"frames {wanted[0]} to {wanted[-1]} of a video of {info.frames}")
    convert = Converter(info).rgb
    for index, frame in _wanted(file_of(info), table, wanted, report):
        yield index, convert(frame)


def file_of(info: VideoInfo) -> str:
    """The absolute path of a video: no colon or dash is taken for a protocol or an option."""
    return str(Path(info.path).absolute())


def table_of(info: VideoInfo) -> FrameTable:
    """Return the frame table of a probed video.

    Raises:
        VideoError: the file is another one than was probed.
    """
    try:
        table = frame_table(file_of(info))
    except OSError as error:
        raise VideoError("the file disappeared while it was read") from error
    if len(table.ticks) != info.frames:
        raise VideoError("the file changed while it was read")
    return table


def all_frames(
    table: FrameTable, stream_packets: Iterable[Packet[Any]], report: DecodeReport
) -> Iterator[tuple[int, VideoFrame]]:
    """Decode all packets of a stream; yields (position, frame) in ascending order."""
    last = -1
    for count, frame in enumerate(decode(stream_packets, report)):
        index = table.find(frame.pts) if table.fit else count
        if index is not None and last < index < len(table.ticks):
            last = index
            yield index, frame


def seek_point(path: str, table: FrameTable, index: int) -> Key | None:
    """A key frame well before a position, from which decoding goes on as it would from the start.

    The last but one before it, so that the sound which belongs to the position comes after it, too.
    None where only the start will do.
    """
    at = bisect_right(table.keys, int(table.ticks[index]), key=lambda key: key.ticks) - 2
    if not table.fit or at < 1:
        return None
    key = table.keys[at]
    with open_video(path) as (container, stream):
        try:
            container.seek(key.seek, stream=stream)
            first = next(_decoded(container, stream, key), None)
        except FFmpegError:
            return None
    return key if first is not None and first.pts == key.ticks else None


def _wanted(
    path: str, table: FrameTable, wanted: list[int], report: DecodeReport
) -> Iterator[tuple[int, VideoFrame]]:
    waiting = deque(wanted)
    if table.fit:
        for index, frame in _sought(path, table, wanted):
            waiting.popleft()
            report.frames_decoded += 1
            yield index, frame
    if waiting:
        yield from _in_line(path, table, waiting, report)


def _in_line(
    path: str, table: FrameTable, waiting: deque[int], report: DecodeReport
) -> Iterator[tuple[int, VideoFrame]]:
    """Wanted frames by decoding from the start, with stand-ins for those that are not there."""
    wanted = Wanted(waiting)
    with open_video(path) as (container, stream):
        for index, frame in all_frames(table, packets(container, stream), report):
            for position, picture in wanted.among(index, frame):
                if position == index:
                    report.frames_decoded += 1
                else:
                    report.missing.append(position)
                yield position, picture
            if not wanted.waiting:
                return
    report.missing.extend(wanted.waiting)
    yield from wanted.rest()


class Wanted:
    """Wanted positions, while frames go by; a frame that does not decode has a stand-in.

    That is the nearest one before it, or the first one, where nothing stands before.
    """

    def __init__(self, indices: Iterable[int]) -> None:
        self.waiting = deque(sorted(set(indices)))
        self._before: VideoFrame | None = None

    def among(self, index: int, frame: VideoFrame) -> Iterator[tuple[int, VideoFrame]]:
        """Take the next decoded frame, and yield the wanted positions that it settles."""
        while self.waiting and self.waiting[0] < index:
            yield self.waiting.popleft(), self._before or frame
        if self.waiting and self.waiting[0] == index:
            yield self.waiting.popleft(), frame
        self._before = frame

    def rest(self) -> Iterator[tuple[int, VideoFrame]]:
        """What still waits where no frame is left.

        Raises:
            VideoError: no frame has come at all.
        """
        if self._before is None:
            raise VideoError("no frame can be decoded")
        while self.waiting:
            yield self.waiting.popleft(), self._before


def _sought(
    path: str, table: FrameTable, wanted: Iterable[int]
) -> Iterator[tuple[int, VideoFrame]]:
    """Wanted frames by seeking; ends early at the first doubt that one is the right one."""
    with open_video(path) as (container, stream):
        # Damage fails here: how it is painted over depends on what was skipped.
        stream.codec_context.options = {"err_detect": "explode"}
        cursor = _Cursor(container, stream, table)
        for index in wanted:
            frame = cursor.find(index)
            if frame is None:
                return
            yield index, frame


class _Cursor:
    """A place in an open video that moves to wanted frames, by decoding on or by a seek."""

    def __init__(self, container: InputContainer, stream: VideoStream, table: FrameTable) -> None:
        self._container, self._stream = container, stream
        self._ticks, self._keys = table.ticks, table.keys
        self._next = 0
        self._target = int(table.ticks[0])
        self._frames = self._decoded(None)

    def find(self, index: int) -> VideoFrame | None:
        """Decode the frame at a listed position; None where decoding did not give it."""
        target, following = int(self._ticks[index]), int(self._ticks[self._next])
        last = bisect_right(self._keys, target, key=lambda key: key.ticks) - 1
        try:
            for attempt, at in enumerate((last, last - 1)):
                if at > 0 and (attempt or self._keys[at].ticks > following):
                    self._container.seek(self._keys[at].seek, stream=self._stream)
                    self._frames = self._decoded(self._keys[at])
                frame = self._advance(target)
                if frame is not None and frame.pts == target:
                    self._next = min(index + 1, len(self._ticks) - 1)
                    return frame
        except FFmpegError:
            return None
        return None

    def _decoded(self, start: Key | None) -> Iterator[VideoFrame]:
        return _decoded(self._container, self._stream, start, lambda: self._target)

    def _advance(self, target: int) -> VideoFrame | None:
        self._target = target
        for frame in self._frames:
            if frame.pts is not None and frame.pts >= target:
                return frame
        return None


def _decoded(
    container: InputContainer,
    stream: VideoStream,
    start: Key | None,
    wanted: Callable[[], int] = lambda: 0,
) -> Iterator[VideoFrame]:
    """Frames from a key frame on, or from here; none where the seek missed it.

    Whether it is one is for the decoder to say: containers flag others too. What no other frame
    needs is skipped before the ticks that are wanted at the time.
    """
    arrived = proven = start is None
    for packet in packets(container, stream):
        if start is not None and not arrived:
            if packet.pts is not None and packet.pts < start.ticks:
                continue
            if (packet.pts, packet.size) != (start.ticks, start.size):
                return
            arrived = True
        skip = packet.pts is not None and packet.pts < wanted()
        stream.codec_context.skip_frame = "NONREF" if skip else "DEFAULT"
        for frame in packet.decode():
            if start is not None and not proven and frame.pts is not None:
                if frame.pts < start.ticks:
                    continue  # it leads the key frame, and refers to what was not decoded
                if frame.pts > start.ticks or not frame.key_frame:
                    return
                proven = True
            yield frame
