"""Builds the table of the frames of a video file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import lru_cache
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from staa_cli.errors import VideoError
from staa_cli.video.container import fraction, open_video, packets, signature
from staa_cli.video.timestamps import show_times

_HEAD_FRAMES = 8
_LONGEST_S = 366 * 86_400
_EXACT = 1 << 50
"""Ticks that a double represents exactly, with some reserve."""
# Codecs whose packets determine the frames and whose decoders can start at any key frame. Others
# (GIF, APNG, screen recording) flag frames as keys that depend on earlier ones.
_SYNC_CODECS = {
    *("av1", "flv1", "h261", "h263", "h264", "hevc", "mpeg1video", "mpeg2video", "mpeg4"),
    *("msmpeg4v1", "msmpeg4v2", "msmpeg4v3", "theora", "vc1", "vp8", "vp9", "vvc"),
    *("wmv1", "wmv2", "wmv3"),
}


@dataclass(slots=True)
class DecodeReport:
    """Statistics and problems of decoding; filled in while frames are read."""

    frames_decoded: int = 0
    """Requested frames that were decoded."""
    packets_bad: int = 0
    """Packets that the decoder rejected or could only conceal."""
    missing: list[int] = field(default_factory=list)
    """Requested frames that did not decode; the nearest one before was used."""
    truncated: bool = False
    """The file ends before its index does."""
    sound_left_out: str | None = None
    """Codec of a sound track that an annotated copy does not contain."""
    sound_packets_bad: int = 0
    """Sound packets that an annotated copy does not contain."""


class Key(NamedTuple):
    """A key frame, and how to seek to it."""

    ticks: int
    seek: int
    """Ticks to pass to the container's seek."""
    size: int
    """Bytes of its packet; a seek into a packet yields a part of it with the same time."""


@dataclass(frozen=True, slots=True, eq=False)
class FrameTable:
    """The time of every frame, and the key frames."""

    ticks: NDArray[np.int64]
    """[N] increasing, in units of `time_base`."""
    keys: tuple[Key, ...]
    """In order: where decoding can start."""
    time_base: Fraction
    last: int
    """Duration of the last frame in ticks."""
    fit: bool
    """Ticks are those of the packets; otherwise frames are found by counting."""
    packets_bad: int = 0
    truncated: bool = False
    repaired: bool = False
    """The file's timestamps contradict the order of its frames; see `show_times`."""
    shifts: tuple[int, ...] = ()
    """For each clock reset in the file, the ticks added to later timestamps."""

    @property
    def times_s(self) -> NDArray[np.float64]:
        """[N] seconds from the first frame."""
        return np.asarray((self.ticks - self.ticks[0]) * float(self.time_base), np.float64)

    def find(self, ticks: int | None) -> int | None:
        """Position of a decoded frame by its time; None if not in the table."""
        if ticks is None:
            return None
        at = int(np.searchsorted(self.ticks, ticks))
        return at if at < len(self.ticks) and self.ticks[at] == ticks else None


def frame_table(path: str) -> FrameTable:
    """The frame table of the file at an absolute path; cached until the file changes.

    Raises:
        VideoError: the file does not open, or no frame decodes.
    """
    return _frame_table(path, signature(path))


@lru_cache(maxsize=16)
def _frame_table(path: str, _signature: tuple[int, int, int]) -> FrameTable:
    with open_video(path) as (container, stream):
        clock = _Clock.of(container, stream)
        entries = [
            _Entry(p.pts, p.dts, p.is_keyframe, p.size, p.duration or 0, p.is_corrupt)
            for p in packets(container, stream)
            if p.size and not p.is_discard
        ]
        truncated = _ends_early(stream, Path(path).stat().st_size)
    head = _first_times(path)
    table = _from_packets(entries, head, clock) if clock.packets_suffice else None
    table = table or _from_decoding(path, entries, clock)
    bad = table.packets_bad or sum(entry.corrupt for entry in entries)
    return replace(table, packets_bad=bad, truncated=truncated)


def decode(stream_packets: Iterable[Packet[Any]], report: DecodeReport) -> Iterator[VideoFrame]:
    """Decode packets of a stream into frames in display order; bad packets are counted.

    Frames removed by an edit list are decoded only as references: damage there is not counted.
    """
    for packet in stream_packets:
        try:
            frames = packet.decode()
        except FFmpegError:
            report.packets_bad += not packet.is_discard
            continue
        for frame in frames:
            report.packets_bad += frame.is_corrupt
            yield frame


def first_frame(path: str) -> VideoFrame:
    """Decode the first decodable frame of the file at an absolute path.

    Raises:
        VideoError: no frame decodes.
    """
    with open_video(path) as (container, stream):
        for frame in decode(packets(container, stream), DecodeReport()):
            return frame
    raise VideoError("no frame can be decoded", "is the file damaged or encrypted?")


class _Entry(NamedTuple):
    """Fields of a packet, without decoding."""

    pts: int | None
    dts: int | None
    key: bool
    size: int
    duration: int
    corrupt: bool


class _Clock(NamedTuple):
    """Timing properties of a stream."""

    container: str
    time_base: Fraction
    step: int
    """Ticks from frame to frame at the stated rate."""
    longest: int
    """Ticks above which timestamps count as damaged."""
    reordered: bool
    packets_suffice: bool
    """Packets determine the times of the frames; otherwise only decoding does."""

    @classmethod
    def of(cls, container: InputContainer, stream: VideoStream) -> _Clock:
        time_base = fraction(stream.time_base) or Fraction(1, 90_000)
        # A raw stream's demuxer invents an average rate; the codec has the real one.
        rate = fraction(stream.codec_context.framerate) or fraction(stream.average_rate)
        step = max(1, round(1 / ((rate or 25) * time_base)))
        supported = stream.codec.intra_only or stream.codec.canonical_name in _SYNC_CODECS
        packets_suffice = supported and container.format.name != "avi"
        reordered = bool(stream.codec_context.has_b_frames)
        longest = min(round(_LONGEST_S / time_base), _EXACT)
        return cls(container.format.name, time_base, step, longest, reordered, packets_suffice)


def _first_times(path: str) -> list[int | None]:
    """Timestamps of the first decoded frames."""
    with open_video(path) as (container, stream):
        head = [
            frame.pts
            for frame in islice(decode(packets(container, stream), DecodeReport()), _HEAD_FRAMES)
        ]
    if not head:
        raise VideoError("no frame can be decoded", "is the file damaged or encrypted?")
    return head


def _from_packets(
    entries: list[_Entry], head: list[int | None], clock: _Clock
) -> FrameTable | None:
    """The table from packets; None if decoding would not give the same frames."""
    first = head[0]
    stamps = {entry.pts: entry for entry in entries if entry.pts is not None}
    if first is None or len(stamps) < len(entries):
        return None
    # Packets before the first decodable frame are never shown.
    ticks = sorted(pts for pts in stamps if pts >= first)
    if ticks[: len(head)] != head or ticks[-1] - ticks[0] > clock.longest:
        return None
    if clock.reordered and len(entries) > 1 and all(e.pts == e.dts for e in entries):
        return None  # presentation times are really decoding times
    decode_times = [entry.dts for entry in entries if entry.dts is not None]
    if any(after < before for before, after in pairwise(decode_times)):
        return None  # a clock reset: two recordings in one file
    # MPEG streams have no index: their demuxer seeks by decoding times.
    seeks_by_dts = clock.container in ("mpegts", "mpeg")
    keys = [(pts, stamps[pts]) for pts in ticks if stamps[pts].key]
    return FrameTable(
        np.array(ticks, np.int64),
        tuple(
            Key(pts, e.dts if seeks_by_dts and e.dts is not None else pts, e.size)
            for pts, e in keys
        ),
        clock.time_base,
        last=stamps[ticks[-1]].duration or clock.step,
        fit=True,
    )


def _from_decoding(path: str, entries: list[_Entry], clock: _Clock) -> FrameTable:
    """The table from decoding the whole file."""
    report = DecodeReport()
    with open_video(path) as (container, stream):
        frames = [(f.pts, f.dts) for f in decode(packets(container, stream), report)]
    if clock.container == "avi" and clock.reordered:
        # AVI has only decoding times, and a frame gets that of the packet that made the decoder
        # output it: all are late by the decoder's delay.
        dts = [dts for _, dts in frames]
        delay = dts[0] - entries[0].dts if dts[0] is not None and entries[0].dts is not None else 0
        stamps = [None if stamp is None else stamp - delay for stamp in dts]
    else:
        stamps = [dts if pts is None else pts for pts, dts in frames]
    times = show_times(stamps, clock.step, clock.longest)
    return FrameTable(
        times.ticks,
        (),
        clock.time_base / times.scale,
        last=clock.step * times.scale,
        fit=False,
        packets_bad=report.packets_bad,
        repaired=times.repaired,
        shifts=times.shifts,
    )


def _ends_early(stream: VideoStream, size: int) -> bool:
    """Whether the container's index points beyond the end of the file."""
    entries = stream.index_entries
    return len(entries) > 0 and max(e.pos + e.size for e in entries) > size
