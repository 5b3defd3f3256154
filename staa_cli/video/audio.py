"""A sound track in, the same one in an MP4 out: copied where MP4 holds it, else as AAC."""

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
from staa_cli.video.encode import VideoWriter

_PLAYED = {"aac", "mp3", "ac3", "eac3", "opus", "flac", "alac"}
"""What players expect in an MP4; the format itself holds some more."""
_HEADED = {"aac", "mp3"}
"""What may tell its rate and channels in every packet, and so change them."""
_AAC_RATES = {8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000}
_EARLY = Fraction(-1, 10)  # an encoder's run-in stands before zero and is wanted
_SET_BACK_S = Fraction(1, 2)
"""How far a clock steps back that is set anew; less is its inaccuracy."""
_TRIED = 64
"""Packets after which sound that does not decode counts as sound that cannot be decoded."""

Way = Literal["copied", "encoded", "left out"]


def way_of_sound(path: str) -> Way:
    """An absolute path in, what can become of its sound in an MP4 out; tried on its first packets.

    Raises:
        VideoError: the file does not open.
    """
    with open_video(path, sound=True) as (container, _):
        source = sound_of(container)
        if source is None or source.codec_context is None or not source.codec_context.sample_rate:
            return "left out"
        found = (packet for packet in packets(container, source) if packet.size)
        head = list(islice(found, _TRIED))
        if head and source.codec.canonical_name in _PLAYED and _is_held(source, head[0]):
            # An MP4 says once and for all how its sound is to be decoded.
            headed = source.codec.canonical_name in _HEADED and _described(head[0]) is not None
            kinds = map(_described, chain(head, found)) if headed else ()
            if all(one == another for one, another in pairwise(kinds)):
                return "copied"
        return "encoded" if any(_decoded(packet) for packet in head) else "left out"


def _described(packet: Packet[Any]) -> tuple[int, ...] | None:
    """What the head of AAC (ADTS) or MP3 says of rate and channels; None where there is no head.

    ISO/IEC 13818-7, 6.2, and 11172-3, 2.4.1.3: joint stereo comes and goes, and says nothing.
    """
    head = bytes(memoryview(packet)[:4])
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    if head[1] & 0x06 == 0:  # layer 0 is ADTS
        return head[1] & 0x08, head[2] & 0xFD, head[3] & 0xC0
    return head[1] & 0x1E, head[2] & 0x0C, head[3] & 0xC0 == 0xC0


def _is_held(source: AudioStream, packet: Packet[Any]) -> bool:
    """Whether an MP4 takes such a track: its codec's name alone does not tell."""
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
    """One sound track under way into an MP4.

    Args:
        source: the track that packets come from.
        copied: as they are; otherwise decoded, and encoded as AAC.
        writer: the file that it goes to, before its first frame.
        start_s: time of the source that becomes zero.
        shifts_s: for every time that the source's clock is set anew, what is added from then on.
        length_s: what begins later than this is left out; None for no end.
    """

    def __init__(
        self,
        source: AudioStream,
        copied: bool,
        writer: VideoWriter,
        start_s: Fraction,
        shifts_s: Iterable[Fraction] = (),
        length_s: Fraction | None = None,
    ) -> None:
        self.source, self._writer = source, writer
        self._first_s = self._start_s = start_s
        self._length_s = length_s
        self.ended = length_s is None
        """What comes from here on begins too late."""
        self._shifts_s = iter(shifts_s)
        self._clock_s: Fraction | None = None  # of the source, where the last sound ended
        self.packets_bad = 0
        """Packets that decode to nothing, or that an MP4 does not take."""
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
        """A packet of the source in; what it gives goes to the file."""
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
        """Write what the encoder still holds."""
        if not self._copied:
            self._flush()
            self._writer.encode(self._stream, None)

    def _placed(self, time_s: Fraction, length_s: Fraction) -> Fraction:
        """Map a time of the source to a time of the written file.

        Where the source's clock is set back, sound moves as the picture does; where the picture's
        does not move, it goes on where it was.
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
        """Whether sound that begins then is too late for the file."""
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
                if isinstance(error, OSError):  # the disk's
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
        if start_s < self._begun_s:  # what was heard is not heard again
            self._heard_s = self._end_s
        self._begun_s = start_s
        late = start_s < max(self._heard_s, self._end_s - _SET_BACK_S)
        if late or start_s + length_s < _EARLY:
            return
        # The encoder takes no time twice, and clocks of containers are off by a little.
        start_s = max(start_s, self._end_s)
        self._end_s = start_s + length_s
        frame.time_base = Fraction(1, frame.sample_rate)
        frame.pts = round(start_s * frame.sample_rate)
        for part in self._resampled(frame):
            self._writer.encode(self._stream, part)

    def _resampled(self, frame: AudioFrame) -> list[AudioFrame]:
        """The frame as the encoder wants it; tracks change their rate and channels under way."""
        shape = (frame.format.name, frame.layout.name, frame.sample_rate)
        if shape != self._shape:
            self._flush()
            context = self._stream.codec_context
            self._resampler = AudioResampler(context.format, context.layout, context.sample_rate)
            self._shape = shape
        return self._resampler.resample(frame)

    def _flush(self) -> None:
        """Write what the resampler still holds; one that had nothing to do hands None through."""
        for part in self._resampler.resample(None):
            if part is not None:
                self._writer.encode(self._stream, part)


def _aac(source: AudioStream, writer: VideoWriter) -> AudioStream:
    rate = source.codec_context.sample_rate
    layout = "mono" if source.codec_context.channels == 1 else "stereo"
    rate = rate if rate in _AAC_RATES else 48_000
    return writer.container.add_stream("aac", rate=rate, layout=layout)
