"""Copy a sound track into an MP4, or encode it as AAC if MP4 does not support it."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from io import BytesIO
from itertools import chain, islice, pairwise
from typing import Any, Literal, cast

import av
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.error import FFmpegError
from av.packet import Packet

from staa_cli.video.container import fraction, open_video, packets, sound_of
from staa_cli.video.encode import Mp4Writer

_MP4_CODECS = {"aac", "mp3", "ac3", "eac3", "opus", "flac", "alac"}
"""Codecs that players support in an MP4; the format allows a few more."""
_SELF_DESCRIBING = {"aac", "mp3"}
"""Codecs that can state rate and channels in every packet, and so change them."""
_AAC_RATES = {8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000}
_EARLY = Fraction(-1, 10)  # an encoder's priming samples are before zero and are kept
_SET_BACK_S = Fraction(1, 2)
"""A step back of at least this much is a clock reset; less is inaccuracy."""
_PROBED_PACKETS = 64
"""Sound of which none of this many packets decodes counts as undecodable."""

Handling = Literal["copied", "encoded", "left out"]


def sound_handling(path: str) -> Handling:
    """How to write the sound of the file at an absolute path to an MP4, from its first packets.

    Raises:
        VideoError: the file does not open.
    """
    with open_video(path, sound=True) as (container, _):
        source = sound_of(container)
        if source is None or source.codec_context is None or not source.codec_context.sample_rate:
            return "left out"
        sound_packets = (packet for packet in packets(container, source) if packet.size)
        head = list(islice(sound_packets, _PROBED_PACKETS))
        if head and source.codec.canonical_name in _MP4_CODECS and _fits_mp4(source, head[0]):
            # An MP4 stores the parameters of its sound only once: they must not change.
            headed = (
                source.codec.canonical_name in _SELF_DESCRIBING and _header(head[0]) is not None
            )
            headers = map(_header, chain(head, sound_packets)) if headed else ()
            if all(one == another for one, another in pairwise(headers)):
                return "copied"
        return "encoded" if any(_decoded(packet) for packet in head) else "left out"


def _header(packet: Packet[Any]) -> tuple[int, ...] | None:
    """Rate and channels in an AAC (ADTS) or MP3 header; None without a header.

    ISO/IEC 13818-7, 6.2, and 11172-3, 2.4.1.3. Joint stereo may alternate, so it is ignored.
    """
    head = bytes(memoryview(packet)[:4])
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    if head[1] & 0x06 == 0:  # layer 0 is ADTS
        return head[1] & 0x08, head[2] & 0xFD, head[3] & 0xC0
    return head[1] & 0x1E, head[2] & 0x0C, head[3] & 0xC0 == 0xC0


def _fits_mp4(source: AudioStream, packet: Packet[Any]) -> bool:
    """Whether an MP4 accepts such a track; the codec's name alone does not show it."""
    pts, dts = packet.pts, packet.dts
    try:
        with av.open(BytesIO(), "w", format="mp4") as trial:
            packet.stream = trial.add_stream_from_template(source)
            packet.pts = packet.dts = 0
            trial.mux(packet)
    except (FFmpegError, ValueError):
        return False
    finally:
        packet.stream, packet.pts, packet.dts = source, pts, dts
    return True


def _decoded(packet: Packet[Any]) -> list[AudioFrame]:
    try:
        return cast(list[AudioFrame], packet.decode())
    except FFmpegError:
        return []


class Sound:
    """Writes one sound track into an MP4.

    Args:
        source: track to read from.
        copied: copy packets; otherwise decode them and encode AAC.
        writer: the MP4, before its first frame.
        start_s: time in the source that becomes zero.
        shifts_s: for each clock reset of the source, the shift of all later times.
        length_s: sound that begins later is left out; None for no limit.
    """

    def __init__(
        self,
        source: AudioStream,
        copied: bool,
        writer: Mp4Writer,
        start_s: Fraction,
        shifts_s: Iterable[Fraction] = (),
        length_s: Fraction | None = None,
    ) -> None:
        self.source, self._writer = source, writer
        self._first_s = self._start_s = start_s
        self._length_s = length_s
        self.ended = length_s is None
        """All further sound begins too late."""
        self._shifts_s = iter(shifts_s)
        self._clock_s: Fraction | None = None  # end of the last sound on the source's clock
        self.packets_bad = 0
        """Packets that do not decode, or that an MP4 does not accept."""
        self._copied = copied
        self._last: int | None = None
        self._begun_s = self._heard_s = self._end_s = Fraction(-1 << 32)
        self._shape: tuple[str, str, int] | None = None
        self._resampler = AudioResampler()
        with writer.errors():
            self._stream: Any = (
                writer.container.add_stream_from_template(source)
                if copied
                else _aac(source, writer)
            )

    def add(self, packet: Packet[Any]) -> None:
        """Write the sound of a packet to the file."""
        if self._copied:
            self._copy(packet)
            return
        try:
            frames = packet.decode()
        except FFmpegError:
            self.packets_bad += 1
            return
        for frame in cast(list[AudioFrame], frames):
            self._encode(frame)

    def finish(self) -> None:
        """Flush the encoder."""
        if not self._copied:
            self._flush()
            self._writer.encode(self._stream, None)

    def _placed(self, time_s: Fraction, length_s: Fraction) -> Fraction:
        """Map a time of the source to a time of the written file.

        After a clock reset, sound is shifted like the video; if the video has no reset, it
        continues without a gap.
        """
        if self._clock_s is not None and time_s < self._clock_s - _SET_BACK_S:
            shift_s = next(self._shifts_s, None)
            if shift_s is None:
                self._start_s += time_s - self._clock_s
            else:
                self._start_s = self._first_s - shift_s
        self._clock_s = time_s + length_s
        return time_s - self._start_s

    def _ends(self, start_s: Fraction) -> bool:
        """Whether sound that begins at `start_s` is too late for the file."""
        late = self._length_s is not None and start_s >= self._length_s
        self.ended |= late
        return late

    def _copy(self, packet: Packet[Any]) -> None:
        if packet.dts is None or packet.pts is None or not packet.size:
            return
        time_base = fraction(packet.time_base) or Fraction(1)
        length_s = (packet.duration or 0) * time_base
        shown_s = self._placed(packet.pts * time_base, length_s)
        if self._ends(shown_s):
            return
        shift = round(self._start_s / time_base)
        dts = packet.dts - shift
        if (self._last is not None and dts <= self._last) or shown_s + length_s < _EARLY:
            return
        packet.pts, packet.dts, self._last = packet.pts - shift, dts, dts
        packet.stream = self._stream
        with self._writer.errors():
            try:
                self._writer.container.mux(packet)
            except FFmpegError as error:
                if isinstance(error, OSError):  # a disk error
                    raise
                self.packets_bad += 1

    def _encode(self, frame: AudioFrame) -> None:
        length_s = Fraction(frame.samples, frame.sample_rate)
        start_s = self._end_s
        if frame.pts is not None:
            time_s = frame.pts * (fraction(frame.time_base) or Fraction(1))
            start_s = self._placed(time_s, length_s)
        if self._ends(start_s):
            return
        if start_s < self._begun_s:  # skip what was written already
            self._heard_s = self._end_s
        self._begun_s = start_s
        late = start_s < max(self._heard_s, self._end_s - _SET_BACK_S)
        if late or start_s + length_s < _EARLY:
            return
        # The encoder requires increasing times, and container clocks are slightly inaccurate.
        start_s = max(start_s, self._end_s)
        self._end_s = start_s + length_s
        frame.time_base = Fraction(1, frame.sample_rate)
        frame.pts = round(start_s * frame.sample_rate)
        for part in self._resampled(frame):
            self._writer.encode(self._stream, part)

    def _resampled(self, frame: AudioFrame) -> list[AudioFrame]:
        """The frame in the encoder's format; a track may change its rate and channels."""
        shape = (frame.format.name, frame.layout.name, frame.sample_rate)
        if shape != self._shape:
            self._flush()
            context = self._stream.codec_context
            self._resampler = AudioResampler(context.format, context.layout, context.sample_rate)
            self._shape = shape
        return self._resampler.resample(frame)

    def _flush(self) -> None:
        """Flush the resampler; an unused one returns None."""
        for part in self._resampler.resample(None):
            if part is not None:
                self._writer.encode(self._stream, part)


def _aac(source: AudioStream, writer: Mp4Writer) -> AudioStream:
    rate = source.codec_context.sample_rate
    layout = "mono" if source.codec_context.channels == 1 else "stereo"
    rate = rate if rate in _AAC_RATES else 48_000
    return writer.container.add_stream("aac", rate=rate, layout=layout)
