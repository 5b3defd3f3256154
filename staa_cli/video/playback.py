"""Prepare a video for browsers: as it is if they play it, with as little work as possible if not.

The frames have the times of the source, from the first frame of the written video, so that a player
that reports the time of a frame names the frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from av.video.stream import VideoStream

from staa_cli.errors import OutputError, VideoError
from staa_cli.schema import VideoInfo
from staa_cli.video.annotate import annotate, sound_track, split_packets
from staa_cli.video.container import open_video, packets
from staa_cli.video.decode import file_of, table_of
from staa_cli.video.encode import Mp4Writer
from staa_cli.video.encoders import Quality
from staa_cli.video.frame_source import SeekableSource
from staa_cli.video.table import DecodeReport, frame_table

_CODECS = {"h264", "av1", "vp8", "vp9"}
"""Codecs that all common browsers play, in 8-bit 4:2:0; HEVC depends on the machine."""
_SOUND = {
    "video/mp4": {None, "aac", "mp3", "opus", "flac"},
    "video/webm": {None, "opus", "vorbis"},
}
"""Sound that they play, by type of the file."""
_EBML_WEBM = b"\x42\x82\x84webm"
"""The document type of a WebM file, with the id and the size of its element."""
_LONGEST_PX = 640
_QUALITY = Quality("veryfast", crf=28)
"""Of a proxy, which is small and embedded into a page: its size matters more than its time."""
_LOWEST_RATE = 60_000
"""Bits per second below which a proxy of that size shows too little to be worth its time."""
_ROUNDING_S = 0.001


def browser_type(info: VideoInfo) -> str | None:
    """The media type of a file that browsers play, with the times of the report; None if not.

    They do not rely on what differs between browsers: Matroska, QuickTime, HEVC, more than 8 bits,
    HDR, interlacing, mirrored pictures, damaged files, and files whose time does not begin at zero,
    or that hide frames by an edit list. Sound may begin before the first frame.
    """
    media_type = _file_type(info)
    if media_type is None or not _is_playable(info) or info.audio not in _SOUND[media_type]:
        return None
    if info.codec == "vp8" and media_type != "video/webm":
        return None
    with open_video(file_of(info), sound=True) as (container, stream):
        if not _has_playable_profile(stream):
            return None
        earliest_s = (container.start_time or 0) / 1_000_000
    from_zero = abs(earliest_s) < _ROUNDING_S
    return media_type if from_zero and info.frames_declared in (0, info.frames) else None


def copy_for_browsers(info: VideoInfo, destination: Path) -> bool:
    """Write the packets of a video to an MP4 that browsers play, without encoding its frames.

    Returns:
        Whether that was possible, and the MP4 has the times of the source. If not, there is no
        file.

    Raises:
        OutputError: the file cannot be written.
    """
    if not _is_playable(info) or info.codec == "vp8":
        return False
    table = table_of(info)
    if not table.fit:
        return False
    first, part = int(table.ticks[0]), range(info.frames)
    decoded = _decoding_ticks(file_of(info))
    try:
        with (
            open_video(file_of(info), sound=True) as (container, stream),
            Mp4Writer(destination, table.time_base) as writer,
        ):
            if not _has_playable_profile(stream):
                raise OutputError("browsers do not play this profile")
            track = writer.container.add_stream_from_template(stream)
            sound = sound_track(info, container, writer, table, part, DecodeReport())
            for packet in split_packets(container, stream, sound):
                if packet.size and packet.pts is not None:
                    packet.pts, packet.dts = packet.pts - first, next(decoded) - first
                    packet.stream = track
                    writer.mux(packet)
            if sound is not None:
                sound.finish()
        copied = frame_table(str(destination.absolute()))
    except (OutputError, VideoError) as error:
        destination.unlink(missing_ok=True)
        if isinstance(error.__cause__, OSError):  # a full disk, not an unsuitable packet
            raise
        return False
    same = len(copied.ticks) == info.frames and np.allclose(
        copied.times_s, info.times_s, rtol=0, atol=_ROUNDING_S
    )
    if not same or abs(copied.ticks[0] * copied.time_base) > _ROUNDING_S:
        destination.unlink(missing_ok=True)
        return False
    return True


def encode_for_browsers(
    source: SeekableSource,
    destination: Path,
    frames: range,
    max_bytes: int,
    *,
    repeatable: bool = False,
) -> bool:
    """Write a small H.264 MP4 of a part of a video, upright and in SDR, with its sound.

    Args:
        source: of the frames.
        destination: path of the MP4.
        frames: positions of the frames to write; the first one is at zero.
        max_bytes: approximate limit of the size, which lowers the quality of a long part.
        repeatable: encode equal frames to equal bytes.

    Returns:
        Whether it was written: not if so little would remain for each second that nothing could be
        recognized.

    Raises:
        VideoError: no frame decodes.
        OutputError: the file cannot be written.
    """
    info = source.info
    ends_s = np.append(info.times_s, info.duration_s)
    duration_s = float(ends_s[frames.stop] - ends_s[frames.start])
    max_rate = 8 * max_bytes / max(duration_s, 1.0)
    if max_rate < _LOWEST_RATE:
        return False
    scale = min(1.0, _LONGEST_PX / max(info.width, info.height))
    width, height = (max(2, 2 * round(side * scale / 2)) for side in (info.width, info.height))
    annotate(
        source,
        destination,
        lambda index, time_s, planes: planes,
        scaled_to=(width, height),
        quality=replace(_QUALITY, max_rate=max_rate, repeatable=repeatable),
        frames=frames,
    )
    return True


def _decoding_ticks(path: str) -> Iterator[int]:
    """When to decode each packet: in the order of the file, none later than it is shown.

    Matroska does not store it, and FFmpeg does not guess it for the first packets.
    """
    with open_video(path) as (container, stream):
        shown = [packet.pts for packet in packets(container, stream) if packet.size]
    ticks = [tick for tick in shown if tick is not None]
    in_order = sorted(ticks)
    delay = max(early - tick for early, tick in zip(in_order, ticks, strict=True))
    return (tick - delay for tick in in_order)


def _is_playable(info: VideoInfo) -> bool:
    """Whether browsers play the frames of a file, in a container that they support."""
    plain = info.pixel_format in ("yuv420p", "yuvj420p") and info.transfer == "sdr"
    whole = not (info.packets_bad or info.truncated or info.times_repaired)
    return info.codec in _CODECS and plain and whole and not (info.interlaced or info.mirrored)


def _has_playable_profile(stream: VideoStream) -> bool:
    """Whether browsers play the profile of a stream's codec: not that of H.264 without loss."""
    return not str(stream.codec_context.profile or "").startswith("High 4:4:4")


def _file_type(info: VideoInfo) -> str | None:
    """The media type of an MP4 or WebM file, by its first bytes; None for others."""
    with Path(info.path).open("rb") as file:
        head = file.read(64)
    if head[4:8] == b"ftyp" and head[8:12] != b"qt  ":
        return "video/mp4"
    return "video/webm" if _EBML_WEBM in head else None
