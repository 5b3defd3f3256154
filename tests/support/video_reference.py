"""References for the video reader: files made by ffmpeg, read by ffprobe, ffmpeg, and PyAV."""

from __future__ import annotations

import json
import shlex
import subprocess
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
from stamped import BITS, Picture, read, stamp
from video_cases import Case


class Refused(Exception):
    """This version of ffmpeg cannot make the file."""


def picture(number: int, width: int, height: int) -> Picture:
    """A picture with its number as boxes if they fit, else as brightness."""
    if width >= 6 * (BITS + 1) and height >= 16:
        return stamp(number, width, height)
    return np.full((height, width, 3), 20 + 37 * number % 211, np.uint8)


def run(*words: str) -> bytes:
    """Output of a program.

    Raises:
        Refused: it failed, or took longer than a minute.
    """
    try:
        done = subprocess.run(words, capture_output=True, timeout=60)
    except subprocess.TimeoutExpired as error:
        raise Refused(f"{words[0]} takes too long") from error
    if done.returncode:
        message = done.stderr.decode(errors="replace").strip() or "no message"
        raise Refused(message.splitlines()[-1])
    return done.stdout


def make(case: Case, folder: Path) -> Path:
    """Make the file of a case.

    Raises:
        Refused: this version of ffmpeg cannot.
    """
    width, height = case.size
    raw = folder / "frames.rgb"
    raw.write_bytes(b"".join(picture(n, width, height).tobytes() for n in range(case.frames)))
    source = f"-f rawvideo -pix_fmt rgb24 -s {width}x{height} -r {case.rate} -i".split()
    source.append(str(raw))
    if case.sound:
        source += f"-f lavfi -i sine=d={float(case.frames / Fraction(case.rate))}".split()
    suffix = Path(case.name).suffix
    for n, words in enumerate((case.words, *case.then)):
        last = n == len(case.then)
        path = folder / (f"x{n}{suffix}" if last or not case.via else f"x{n}.{case.via}")
        before, _, after = words.rpartition("|")
        inputs = shlex.split(before) + source
        run("ffmpeg", "-v", "error", "-nostdin", "-y", *inputs, *shlex.split(after), str(path))
        source = ["-i", str(path)]
    if case.turned is not None:
        path = _turned(path, path.with_stem("turned"), *case.turned)
    if case.twice:
        path.write_bytes(2 * path.read_bytes())
    if case.keep < 1:
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * case.keep)])
    return path


def _turned(source: Path, target: Path, degrees: int, mirrored: bool) -> Path:
    with av.open(str(source)) as container, av.open(str(target), "w") as output:
        stream = output.add_stream_from_template(container.streams.video[0])
        stream.set_display_rotation(degrees, hflip=mirrored)
        for packet in container.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                output.mux(packet)
    return target


@dataclass
class Track:
    """Properties of a stream according to ffprobe."""

    index: int
    kind: str
    codec: str
    default: bool
    cover: bool
    times_s: list[float | None]
    """Best-effort times of all decoded frames in presentation order."""
    stamped: bool
    """The times in the container, if any, equal the best-effort times."""
    lengths_s: list[float]

    @property
    def start_s(self) -> float:
        return min((t for t in self.times_s if t is not None), default=0.0)

    @property
    def end_s(self) -> float:
        pairs = zip(self.times_s, self.lengths_s, strict=True)
        return max((t + d for t, d in pairs if t is not None), default=0.0)


def tracks(path: Path) -> list[Track]:
    """All streams of a file, with the times of their decoded frames, from ffprobe."""
    entries = (
        "frame=stream_index,best_effort_timestamp_time,pts_time,pkt_duration_time,duration_time,nb_samples"
        ":stream=index,codec_type,codec_name,sample_rate"
        ":stream_disposition=default,attached_pic:stream_tags="
    )
    words = f"ffprobe -v quiet -of json -show_streams -show_frames -show_entries {entries}"
    output = json.loads(run(*words.split(), str(path)))
    by_index = {
        s["index"]: Track(
            s["index"],
            s.get("codec_type", "?"),
            s.get("codec_name", "?"),
            bool(s.get("disposition", {}).get("default")),
            bool(s.get("disposition", {}).get("attached_pic")),
            [],
            True,
            [],
        )
        for s in output["streams"]
    }
    rates = {s["index"]: int(s.get("sample_rate", 0)) for s in output["streams"]}
    for frame in output.get("frames", []):
        track = by_index.get(frame.get("stream_index", -1))
        if track is None:
            continue
        time, pts_time = frame.get("best_effort_timestamp_time"), frame.get("pts_time")
        track.times_s.append(None if time is None else float(time))
        track.stamped &= pts_time in (None, time)
        samples, rate = int(frame.get("nb_samples", 0)), rates[track.index]
        length = (
            samples / rate
            if samples and rate
            else float(frame.get("pkt_duration_time") or frame.get("duration_time") or 0)
        )
        track.lengths_s.append(length)
    return list(by_index.values())


def shown(candidates: list[Track]) -> Track:
    """The video stream that a player shows: default ones first, then the one with most frames."""
    videos = [t for t in candidates if t.kind == "video" and not t.cover and t.times_s]
    return max(videos, key=lambda t: (t.default, len(t.times_s)))


def heard(candidates: list[Track]) -> Track | None:
    """The audio stream that a player plays: default ones first, then the first one."""
    sounds = [t for t in candidates if t.kind == "audio" and t.times_s]
    return max(sounds, key=lambda t: t.default, default=None)


def rgb_by_ffmpeg(path: Path, index: int, width: int, height: int) -> list[Picture]:
    """All pictures of a stream, upright, decoded by the ffmpeg command."""
    words = f"-map 0:{index} -vsync passthrough -f rawvideo -pix_fmt rgb24 -"
    raw = run("ffmpeg", "-v", "quiet", "-nostdin", "-i", str(path), *words.split())
    return list(np.frombuffer(raw, np.uint8).reshape(-1, height, width, 3))


def rgb_by_pyav(path: Path, index: int) -> list[Picture]:
    """All pictures of a stream, not rotated, decoded sequentially with PyAV."""
    pictures: list[Picture] = []
    with av.open(str(path)) as container:
        stream = container.streams[index]
        # With several threads, the concealment of damage is not deterministic.
        stream.codec_context.thread_count = 1
        for packet in container.demux(stream):
            try:
                frames = packet.decode()
            except av.FFmpegError:
                continue
            for frame in frames:
                assert isinstance(frame, av.VideoFrame)
                pictures.append(np.asarray(frame.to_ndarray(format="rgb24"), np.uint8))
    return pictures


def rising(times_s: list[float]) -> bool:
    return all(a < b for a, b in pairwise(times_s))


def numbers(pictures: list[Picture]) -> list[int]:
    return [read(p) for p in pictures]
