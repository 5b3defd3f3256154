"""A sound track in, the same one in an MP4 out: copied where MP4 holds it, else as AAC."""

from __future__ import annotations

from fractions import Fraction
from io import BytesIO
from itertools import islice
from typing import Any, Literal, cast

import av
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.error import FFmpegError
from av.packet import Packet

from staa_cli.video.source import fraction, open_video, packets, sound_of
from staa_cli.video.writer import VideoWriter

_PLAYED = {"aac", "mp3", "ac3", "eac3", "opus", "flac", "alac"}
"""What players expect in an MP4; the format itself holds some more."""
_AAC_RATES = {8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000}
_AAC_FRAME = 1024
_EARLY = Fraction(-1, 10)  # an encoder's run-in stands before zero and is wanted
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
        head = list(islice((p for p in packets(container, source) if p.size), _TRIED))
        if head and source.codec.canonical_name in _PLAYED and _is_held(source, head[0]):
            return "copied"
        return "encoded" if any(_decoded(packet) for packet in head) else "left out"


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
    """

    def __init__(
        self, source: AudioStream, copied: bool, writer: VideoWriter, start_s: Fraction
    ) -> None:
        self.source, self._writer, self._start_s = source, writer, start_s
        self.packets_bad = 0
        """Packets that decode to nothing, or that an MP4 does not take."""
        self._copied = copied
        self._last: int | None = None
        self._end_s = Fraction(-1 << 32)
        self._heard: tuple[str, str, int] | None = None
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

    def _copy(self, packet: Packet[Any]) -> None:
        if packet.dts is None or packet.pts is None or not packet.size:
            return
        time_base = fraction(packet.time_base) or Fraction(1)
        shift = round(self._start_s / time_base)
        falls = self._last is not None and packet.dts <= self._last
        end_s = (packet.pts + (packet.duration or 0)) * time_base - self._start_s
        if falls or end_s < _EARLY:
            return
        self._last = packet.dts
        packet.pts -= shift
        packet.dts -= shift
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
            start_s = frame.pts * (fraction(frame.time_base) or Fraction(1)) - self._start_s
        # The encoder takes no time twice; clocks of containers are off by a little.
        doubled = start_s < self._end_s - Fraction(_AAC_FRAME // 2, frame.sample_rate)
        if doubled or start_s + length_s < _EARLY:
            return
        self._end_s = start_s + length_s
        frame.time_base = Fraction(1, frame.sample_rate)
        frame.pts = round(start_s * frame.sample_rate)
        for part in self._resampled(frame):
            self._writer.encode(self._stream, part)

    def _resampled(self, frame: AudioFrame) -> list[AudioFrame]:
        """The frame as the encoder wants it; tracks change their rate and channels under way."""
        heard = (frame.format.name, frame.layout.name, frame.sample_rate)
        if heard != self._heard:
            self._flush()
            context = self._stream.codec_context
            self._resampler = AudioResampler(context.format, context.layout, context.sample_rate)
            self._heard = heard
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
