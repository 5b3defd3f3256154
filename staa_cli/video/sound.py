"""A sound track in, the same one in an MP4 out: copied where MP4 holds it, else as AAC."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, cast

from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet

from staa_cli.video.source import fraction
from staa_cli.video.writer import VideoWriter

_COPIED = {"aac", "mp3", "ac3", "eac3", "opus", "flac", "alac"}
_AAC_RATES = {8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000}
_EARLY = Fraction(-1, 10)  # an encoder's run-in stands before zero and is wanted


def sound_of(container: InputContainer) -> AudioStream | None:
    """An open file in, the sound track that a player picks out, if it can be used at all."""
    for stream in container.streams.audio[:1]:
        if stream.codec_context is not None and stream.codec_context.sample_rate:
            return stream
    return None


class Sound:
    """One sound track under way into an MP4.

    Args:
        source: the track that packets come from.
        writer: the file that it goes to, before its first frame.
        start_s: time of the source that becomes zero.
    """

    def __init__(self, source: AudioStream, writer: VideoWriter, start_s: Fraction) -> None:
        self.source, self._writer, self._start_s = source, writer, start_s
        self._copied = source.codec.canonical_name in _COPIED
        self._last: int | None = None
        with writer.errors():
            self._stream: Any = (
                writer.container.add_stream_from_template(source)
                if self._copied
                else _aac(source, writer)
            )

    def add(self, packet: Packet[Any]) -> None:
        """A packet of the source in; what it gives goes to the file."""
        if self._copied:
            self._copy(packet)
        else:
            self._encode(packet)

    def finish(self) -> None:
        """Write what the encoder still holds."""
        if not self._copied:
            self._writer.encode(self._stream, None)

    def _copy(self, packet: Packet[Any]) -> None:
        if packet.dts is None or packet.pts is None or not packet.size:
            return
        shift = self._shift(packet.time_base)
        falls = self._last is not None and packet.dts <= self._last
        if falls or self._too_early(packet.pts + (packet.duration or 0), packet.time_base):
            return
        self._last = packet.dts
        packet.pts -= shift
        packet.dts -= shift
        packet.stream = self._stream
        self._writer.mux(packet)

    def _encode(self, packet: Packet[Any]) -> None:
        try:
            frames = packet.decode()
        except FFmpegError:
            return
        for frame in cast(list[AudioFrame], frames):
            if frame.pts is not None:
                if self._too_early(frame.pts + frame.samples, frame.time_base):
                    continue
                frame.pts -= self._shift(frame.time_base)
            self._writer.encode(self._stream, frame)

    def _shift(self, time_base: Any) -> int:
        return round(self._start_s / (fraction(time_base) or Fraction(1)))

    def _too_early(self, end: int, time_base: Any) -> bool:
        return end * (fraction(time_base) or Fraction(1)) - self._start_s < _EARLY


def _aac(source: AudioStream, writer: VideoWriter) -> AudioStream:
    rate = source.codec_context.sample_rate
    layout = "mono" if source.codec_context.channels == 1 else "stereo"
    rate = rate if rate in _AAC_RATES else 48_000
    return writer.container.add_stream("aac", rate=rate, layout=layout)
