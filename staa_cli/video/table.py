"""Builds the list of frames that a video file shows."""

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

_HEAD = 8
_LONGEST_S = 366 * 86_400
_EXACT = 1 << 50
"""Ticks that a double tells apart, with some digits to spare."""
# Codecs of which packets tell the frames, and whose decoders can begin at any key frame. Others
# (GIF, APNG, screen recorders') flag pictures as keys that draw on what was there before.
_SYNC_CODECS = {
    *("av1", "flv1", "h261", "h263", "h264", "hevc", "mpeg1video", "mpeg2video", "mpeg4"),
    *("msmpeg4v1", "msmpeg4v2", "msmpeg4v3", "theora", "vc1", "vp8", "vp9", "vvc"),
    *("wmv1", "wmv2", "wmv3"),
}


@dataclass(slots=True)
class DecodeReport:
    """What reading met; filled in while the frames come."""

    frames_decoded: int = 0
    """Frames handed over that are the very ones asked for."""
    packets_bad: int = 0
    """Packets that the decoder refused, or could only paint over."""
    missing: list[int] = field(default_factory=list)
    """Frames asked for that do not decode: the nearest one before stood in."""
    truncated: bool = False
    """The file ends before its index does."""
    sound_left_out: str | None = None
    """Codec of a sound track that an annotated copy could not take along."""
    sound_packets_bad: int = 0
    """Packets of the sound that an annotated copy could not take along."""


class Key(NamedTuple):
    """A key frame, and how to arrive at it."""

    ticks: int
    seek: int
    """What to ask the container for."""
    size: int
    """Bytes of its packet: a seek into the middle of one gives a part with the same time."""


@dataclass(frozen=True, slots=True, eq=False)
class FrameTable:
    """When every frame is shown, and where decoding can begin."""

    ticks: NDArray[np.int64]
    """[N] rising, in units of `time_base`."""
    keys: tuple[Key, ...]
    """Rising: where decoding can begin."""
    time_base: Fraction
    last: int
    """Ticks that the last frame stays."""
    fit: bool
    """Ticks are those of the packets; otherwise only counting decoded frames finds one."""
    packets_bad: int = 0
    truncated: bool = False
    repaired: bool = False
    """The file's time stamps contradict the order of its frames; see `show_times`."""
    shifts: tuple[int, ...] = ()
    """For every time that the file's clock was set anew, what was added to stamps from then on."""

    @property
    def times_s(self) -> NDArray[np.float64]:
        """[N] seconds from the first frame."""
        return np.asarray((self.ticks - self.ticks[0]) * float(self.time_base), np.float64)

    def find(self, ticks: int | None) -> int | None:
        """Position of a decoded frame, by its time; None where the table does not list it."""
        if ticks is None:
            return None
        at = int(np.searchsorted(self.ticks, ticks))
        return at if at < len(self.ticks) and self.ticks[at] == ticks else None


def frame_table(path: str) -> FrameTable:
    """The frame table of the file at an absolute path; cached until the file changes.

    Raises:
        VideoError: the file does not open, or nothing in it decodes.
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
    head = _head(path)
    table = _listed(entries, head, clock) if clock.told else None
    table = table or _counted(path, entries, clock)
    bad = table.packets_bad or sum(entry.corrupt for entry in entries)
    return replace(table, packets_bad=bad, truncated=truncated)


def decode(stream_packets: Iterable[Packet[Any]], report: DecodeReport) -> Iterator[VideoFrame]:
    """Decode packets of a stream into frames in display order; bad packets are counted.

    What an edit list leaves out is decoded for what follows it only: damage there is not counted.
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
        VideoError: none does.
    """
    with open_video(path) as (container, stream):
        for frame in decode(packets(container, stream), DecodeReport()):
            return frame
    raise VideoError("no frame can be decoded", "is the file damaged or encrypted?")


class _Entry(NamedTuple):
    """What a packet says without being decoded."""

    pts: int | None
    dts: int | None
    key: bool
    size: int
    duration: int
    corrupt: bool


class _Clock(NamedTuple):
    """How a stream tells time."""

    container: str
    time_base: Fraction
    step: int
    """Ticks from frame to frame at the stated rate."""
    longest: int
    """Ticks after which a clock is not believed."""
    reordered: bool
    told: bool
    """Packets tell when which frame is shown; otherwise only decoding does."""

    @classmethod
    def of(cls, container: InputContainer, stream: VideoStream) -> _Clock:
        time_base = fraction(stream.time_base) or Fraction(1, 90_000)
        # A raw stream's demuxer makes an average up; the codec knows.
        rate = fraction(stream.codec_context.framerate) or fraction(stream.average_rate)
        step = max(1, round(1 / ((rate or 25) * time_base)))
        known = stream.codec.intra_only or stream.codec.canonical_name in _SYNC_CODECS
        told = known and container.format.name != "avi"
        reordered = bool(stream.codec_context.has_b_frames)
        longest = min(round(_LONGEST_S / time_base), _EXACT)
        return cls(container.format.name, time_base, step, longest, reordered, told)


def _head(path: str) -> list[int | None]:
    with open_video(path) as (container, stream):
        head = [
            frame.pts for frame in islice(decode(packets(container, stream), DecodeReport()), _HEAD)
        ]
    if not head:
        raise VideoError("no frame can be decoded", "is the file damaged or encrypted?")
    return head


def _listed(entries: list[_Entry], head: list[int | None], clock: _Clock) -> FrameTable | None:
    """The table that packets give; None where decoding would not show those frames."""
    first = head[0]
    stamps = {entry.pts: entry for entry in entries if entry.pts is not None}
    if first is None or len(stamps) < len(entries):
        return None
    # What stands before the first picture that decodes is never shown.
    ticks = sorted(pts for pts in stamps if pts >= first)
    if ticks[: len(head)] != head or ticks[-1] - ticks[0] > clock.longest:
        return None
    if clock.reordered and len(entries) > 1 and all(e.pts == e.dts for e in entries):
        return None  # times of decoding stand where those of showing should
    decoding = [entry.dts for entry in entries if entry.dts is not None]
    if any(after < before for before, after in pairwise(decoding)):
        return None  # the clock was set back: two recordings in one file
    # MPEG streams have no index: their demuxer looks for times of decoding.
    late = clock.container in ("mpegts", "mpeg")
    keys = [(pts, stamps[pts]) for pts in ticks if stamps[pts].key]
    return FrameTable(
        np.array(ticks, np.int64),
        tuple(Key(pts, e.dts if late and e.dts is not None else pts, e.size) for pts, e in keys),
        clock.time_base,
        last=stamps[ticks[-1]].duration or clock.step,
        fit=True,
    )


def _counted(path: str, entries: list[_Entry], clock: _Clock) -> FrameTable:
    """The table that decoding everything gives."""
    report = DecodeReport()
    with open_video(path) as (container, stream):
        frames = [(f.pts, f.dts) for f in decode(packets(container, stream), report)]
    if clock.container == "avi" and clock.reordered:
        # AVI has times of decoding alone, and a frame the one of the packet that brought it out:
        # all as late as the decoder holds pictures back.
        dts = [dts for _, dts in frames]
        late = dts[0] - entries[0].dts if dts[0] is not None and entries[0].dts is not None else 0
        stamps = [None if stamp is None else stamp - late for stamp in dts]
    else:
        stamps = [dts if pts is None else pts for pts, dts in frames]
    shown = show_times(stamps, clock.step, clock.longest)
    return FrameTable(
        shown.ticks,
        (),
        clock.time_base / shown.scale,
        last=clock.step * shown.scale,
        fit=False,
        packets_bad=report.packets_bad,
        repaired=shown.repaired,
        shifts=shown.shifts,
    )


def _ends_early(stream: VideoStream, size: int) -> bool:
    """Whether the container's index points beyond the end of the file."""
    entries = stream.index_entries
    return len(entries) > 0 and max(e.pos + e.size for e in entries) > size
