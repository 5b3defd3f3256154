"""Decodes requested frames with as little decoding as possible."""

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
    """Yield (position, upright sRGB uint8 [H, W, 3]) for positions, in ascending order, each once.

    A frame that does not decode is substituted by the nearest one before it, or by the first one,
    and listed in `report.missing`.

    Raises:
        IndexError: a position is outside the video.
        VideoError: the file changed since it was probed, or no frame decodes.
    """
    report = report if report is not None else DecodeReport()
    table = table_of(info)
    report.truncated = table.truncated
    positions = sorted(set(indices))
    if positions and not 0 <= positions[0] <= positions[-1] < info.frames:
        raise IndexError(f"frames {positions[0]} to {positions[-1]} of a video of {info.frames}")
    convert = Converter(info).rgb
    for index, frame in _requested(file_of(info), table, positions, report):
        yield index, convert(frame)


def file_of(info: VideoInfo) -> str:
    """The absolute path of a video, so that FFmpeg sees no protocol or option in it."""
    return str(Path(info.path).absolute())


def table_of(info: VideoInfo) -> FrameTable:
    """Return the frame table of a probed video.

    Raises:
        VideoError: the file changed since it was probed.
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
    """A key frame before a position from which decoding gives the same frames as from the start.

    The last but one before it, so that the sound at the position also comes after it. None if
    decoding must begin at the start.
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


def _requested(
    path: str, table: FrameTable, positions: list[int], report: DecodeReport
) -> Iterator[tuple[int, VideoFrame]]:
    remaining = deque(positions)
    if table.fit:
        for index, frame in _by_seeking(path, table, positions):
            remaining.popleft()
            report.frames_decoded += 1
            yield index, frame
    if remaining:
        yield from _from_start(path, table, remaining, report)


def _from_start(
    path: str, table: FrameTable, positions: Iterable[int], report: DecodeReport
) -> Iterator[tuple[int, VideoFrame]]:
    """Requested frames by decoding from the start, with substitutes for missing ones."""
    requested = RequestedFrames(positions)
    with open_video(path) as (container, stream):
        for index, frame in all_frames(table, packets(container, stream), report):
            for position, picture in requested.take(index, frame):
                if position == index:
                    report.frames_decoded += 1
                else:
                    report.missing.append(position)
                yield position, picture
            if not requested.remaining:
                return
    report.missing.extend(requested.remaining)
    yield from requested.take_rest()


class RequestedFrames:
    """Picks requested positions from a sequence of decoded frames.

    A missing frame is substituted by the nearest one before it, or by the first one.
    """

    def __init__(self, indices: Iterable[int]) -> None:
        self.remaining = deque(sorted(set(indices)))
        self._before: VideoFrame | None = None

    def take(self, index: int, frame: VideoFrame) -> Iterator[tuple[int, VideoFrame]]:
        """Process the next decoded frame; yields the requested positions up to it."""
        while self.remaining and self.remaining[0] < index:
            yield self.remaining.popleft(), self._before or frame
        if self.remaining and self.remaining[0] == index:
            yield self.remaining.popleft(), frame
        self._before = frame

    def take_rest(self) -> Iterator[tuple[int, VideoFrame]]:
        """Yield substitutes for the remaining positions after the last frame.

        Raises:
            VideoError: there was no frame at all.
        """
        if self._before is None:
            raise VideoError("no frame can be decoded")
        while self.remaining:
            yield self.remaining.popleft(), self._before


def _by_seeking(
    path: str, table: FrameTable, positions: Iterable[int]
) -> Iterator[tuple[int, VideoFrame]]:
    """Requested frames by seeking; stops if a frame is not certain to be the right one."""
    with open_video(path) as (container, stream):
        # Fail on damage: error concealment depends on the frames that were skipped.
        stream.codec_context.options = {"err_detect": "explode"}
        cursor = _Cursor(container, stream, table)
        for index in positions:
            frame = cursor.find(index)
            if frame is None:
                return
            yield index, frame


class _Cursor:
    """Finds frames in an open video in ascending order, by decoding on or by a seek."""

    def __init__(self, container: InputContainer, stream: VideoStream, table: FrameTable) -> None:
        self._container, self._stream = container, stream
        self._ticks, self._keys = table.ticks, table.keys
        self._next = 0
        self._target = int(table.ticks[0])
        self._frames = self._decoded(None)

    def find(self, index: int) -> VideoFrame | None:
        """Decode the frame at a position of the table; None if decoding does not yield it."""
        target, next_ticks = int(self._ticks[index]), int(self._ticks[self._next])
        last = bisect_right(self._keys, target, key=lambda key: key.ticks) - 1
        try:
            for attempt, at in enumerate((last, last - 1)):
                if at > 0 and (attempt or self._keys[at].ticks > next_ticks):
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
    target: Callable[[], int] = lambda: 0,
) -> Iterator[VideoFrame]:
    """Frames from a key frame on, or from the current position; none if the seek missed it.

    The decoder has to confirm the key frame, as containers also flag other frames. Non-reference
    frames before the current target ticks are skipped.
    """
    reached = confirmed = start is None
    for packet in packets(container, stream):
        if start is not None and not reached:
            if packet.pts is not None and packet.pts < start.ticks:
                continue
            if (packet.pts, packet.size) != (start.ticks, start.size):
                return
            reached = True
        skip = packet.pts is not None and packet.pts < target()
        stream.codec_context.skip_frame = "NONREF" if skip else "DEFAULT"
        for frame in packet.decode():
            if start is not None and not confirmed and frame.pts is not None:
                if frame.pts < start.ticks:
                    continue  # a leading frame; it refers to frames that were not decoded
                if frame.pts > start.ticks or not frame.key_frame:
                    return
                confirmed = True
            yield frame
