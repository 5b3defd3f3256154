"""A part of a video: its own frames and its own sound, and little decoded that stands before it."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from stamped import read, write_stamped

from staa_cli.video.annotate import annotate
from staa_cli.video.decode import file_of, iter_frames, seek_point, table_of
from staa_cli.video.encoders import Quality
from staa_cli.video.pixels import YuvPlanes
from staa_cli.video.probe import probe
from staa_cli.video.table import DecodeReport

Ffmpeg = Callable[..., bytes]


def same(index: int, time_s: float, planes: YuvPlanes) -> YuvPlanes:
    return planes


@pytest.mark.parametrize("part", [range(40, 71), range(120), range(119, 120), range(0, 5)])
@pytest.mark.parametrize("ending", ["mp4", "mkv", "ts", "avi"])
def test_a_part_has_its_own_frames_from_zero_on(tmp_path: Path, ending: str, part: range) -> None:
    source = probe(write_stamped(tmp_path / f"in.{ending}"))
    report, drawn = DecodeReport(), []

    def draw(index: int, time_s: float, planes: YuvPlanes) -> YuvPlanes:
        drawn.append((index, time_s))
        return planes

    annotate(
        source, tmp_path / "out.mp4", draw, frames=part, report=report, quality=Quality(crf=10)
    )
    copy = probe(tmp_path / "out.mp4")
    assert [read(p) for _, p in iter_frames(copy, range(copy.frames))] == list(part)
    assert copy.times_s == pytest.approx(np.arange(len(part)) / 30, abs=1e-3)
    ends_s = [*source.times_s, source.duration_s][part.stop]
    assert copy.duration_s == pytest.approx(ends_s - source.times_s[part.start], abs=0.002)
    assert drawn == [(n, source.times_s[n]) for n in part]
    assert (report.frames_decoded, report.packets_bad, report.missing) == (len(part), 0, [])


def test_times_of_a_variable_rate_are_kept(tmp_path: Path) -> None:
    ticks = np.cumsum(np.random.default_rng(0).integers(200, 4000, 60)).tolist()
    path = write_stamped(tmp_path / "in.mkv", 60, ticks=ticks, time_base=Fraction(1, 90_000))
    source = probe(path)
    annotate(source, tmp_path / "out.mp4", same, frames=range(20, 50))
    copy = probe(tmp_path / "out.mp4")
    assert copy.times_s == pytest.approx(source.times_s[20:50] - source.times_s[20], abs=2e-3)


@pytest.mark.parametrize("ending", ["mp4", "mkv", "ts"])
def test_what_stands_long_before_is_sought_past(tmp_path: Path, ending: str) -> None:
    source = probe(write_stamped(tmp_path / f"in.{ending}"))  # a key frame every 12
    table = table_of(source)
    key = seek_point(file_of(source), table, 100)
    assert key is not None
    assert 84 <= np.searchsorted(table.ticks, key.ticks) <= 88
    assert seek_point(file_of(source), table, 5) is None


@pytest.fixture(scope="module")
def beeping(ffmpeg: Ffmpeg, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    """Such a film in a container and with an audio codec, made once."""
    folder = tmp_path_factory.mktemp("beeps")

    def made(ending: str, codec: str) -> Path:
        path = folder / f"{codec}.{ending}"
        return path if path.exists() else film_with_beeps(path, ffmpeg, "-c:a", codec)

    return made


def film_with_beeps(path: Path, ffmpeg: Ffmpeg, *codecs: object) -> Path:
    """Twelve seconds; a flash and a beep at every full second."""
    flash = (
        "color=black:s=160x120:r=25:d=12,"
        "drawbox=t=fill:c=white:enable='between(mod(t,1),0,0.08)*gte(t,1)'"
    )
    beep = "aevalsrc='sin(4400*t)*lt(mod(t,1),0.1)*gte(t,1)':d=12:s=48000"
    source = ("-f", "lavfi", "-i", flash, "-f", "lavfi", "-i", beep)
    ffmpeg(*source, "-c:v", "libx264", "-g", 50, "-bf", 2, *codecs, path)
    return path


@pytest.mark.parametrize(
    ("ending", "codec"),
    [("mp4", "aac"), ("mkv", "libopus"), ("mkv", "pcm_s16le"), ("mov", "aac"), ("ts", "ac3")],
)
@pytest.mark.parametrize("part", [range(108, 193), range(0, 60), range(230, 300)])
def test_the_sound_of_a_part_goes_with_it(
    tmp_path: Path,
    ffmpeg: Ffmpeg,
    beeping: Callable[[str, str], Path],
    ending: str,
    codec: str,
    part: range,
) -> None:
    path = beeping(ending, codec)
    annotate(probe(path), tmp_path / "out.mp4", same, frames=part, quality=Quality(crf=10))
    raw = ffmpeg("-i", tmp_path / "out.mp4", "-vn", "-ac", 1, "-ar", 8000, "-f", "f32le", "-")
    with av.open(str(tmp_path / "out.mp4")) as container:
        track = container.streams.audio[0]
        begins_s = float((track.start_time or 0) * track.time_base)
    loud = np.abs(np.frombuffer(raw, np.float32)) > 0.25
    quiet = np.convolve(loud, np.ones(1600), "full")[: len(loud)] - loud == 0
    beeps = begins_s + np.flatnonzero(loud & quiet) / 8000
    start_s, stop_s = part.start / 25, part.stop / 25
    seconds = [second - start_s for second in range(1, 12) if start_s < second < stop_s - 0.05]
    copy = probe(tmp_path / "out.mp4")
    bright = [p.mean() > 128 for _, p in iter_frames(copy, range(copy.frames))]
    flashes = [copy.times_s[n] for n in range(1, len(bright)) if bright[n] > bright[n - 1]]
    assert flashes == pytest.approx(seconds, abs=0.021)
    assert beeps == pytest.approx(flashes, abs=0.06)
    assert begins_s + len(loud) / 8000 == pytest.approx(stop_s - start_s, abs=0.1)
