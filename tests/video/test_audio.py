"""The sound of an annotated video: copied, encoded, or left out, and in time with the picture."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from stamped import read, stamp

from staa_cli.api import explain_video
from staa_cli.config.settings import load_settings
from staa_cli.models.load import load_model
from staa_cli.results.redraw import redraw
from staa_cli.video.annotate import annotate
from staa_cli.video.decode import iter_frames
from staa_cli.video.encoders import Quality
from staa_cli.video.pixels import YuvPlanes
from staa_cli.video.probe import probe
from staa_cli.video.table import DecodeReport

Ffmpeg = Callable[..., bytes]


def same(index: int, time_s: float, planes: YuvPlanes) -> YuvPlanes:
    return planes


def sound_packets(path: Path) -> list[tuple[float, bytes]]:
    with av.open(str(path)) as container:
        track = container.streams.audio[0]
        base = float(track.time_base or 0)
        return [(p.pts * base, bytes(p)) for p in container.demux(track) if p.pts is not None]


def test_sound_is_copied_as_it_is(with_sound: Path, tmp_path: Path) -> None:
    annotate(probe(with_sound), tmp_path / "out.mp4", same)
    before, after = sound_packets(with_sound), sound_packets(tmp_path / "out.mp4")
    assert [data for _, data in after] == [data for _, data in before]
    assert [t for t, _ in after] == pytest.approx([t for t, _ in before], abs=1e-4)


def test_sound_can_be_left_out(with_sound: Path, tmp_path: Path) -> None:
    annotate(probe(with_sound), tmp_path / "out.mp4", same, audio=False)
    assert probe(tmp_path / "out.mp4").audio is None


@pytest.mark.parametrize(
    ("ending", "codec", "result"),
    [
        ("mov", "pcm_s16le", "aac"),
        ("mkv", "libvorbis", "aac"),
        pytest.param("mkv", "pcm_f32le", "aac", marks=pytest.mark.slow),
        pytest.param("avi", "libmp3lame", "mp3", marks=pytest.mark.slow),
        ("mkv", "libopus", "opus"),
        pytest.param("mkv", "flac", "flac", marks=pytest.mark.slow),
        ("ts", "aac", "aac"),
        pytest.param("mkv", "ac3", "ac3", marks=pytest.mark.slow),
    ],
)
def test_sound_codecs(
    with_sound: Path, tmp_path: Path, ffmpeg: Ffmpeg, ending: str, codec: str, result: str
) -> None:
    path = tmp_path / f"in.{ending}"
    ffmpeg("-i", with_sound, "-t", 2, "-c:v", "copy", "-c:a", codec, path)
    annotate(probe(path), tmp_path / "out.mp4", same)
    assert probe(tmp_path / "out.mp4").audio == result
    raw = ffmpeg("-i", tmp_path / "out.mp4", "-vn", "-ac", 1, "-ar", 8000, "-f", "f32le", "-")
    tone = np.frombuffer(raw, np.float32)
    assert len(tone) / 8000 == pytest.approx(2, abs=0.15)
    spectrum = np.abs(np.fft.rfft(tone[2000:10000]))
    assert np.argmax(spectrum) == pytest.approx(440, abs=2)  # Hz, in a window of a second


@pytest.mark.parametrize("shift_s", [0.0, 10.0])
def test_sound_stays_with_the_picture(tmp_path: Path, ffmpeg: Ffmpeg, shift_s: float) -> None:
    """A click and a flash at one second, in a stream that itself starts late."""
    flash = "color=black:s=320x240:r=25:d=2,drawbox=t=fill:c=white:enable='gte(t,1)'"
    click = "aevalsrc='sin(6000*t)*gte(t,1)':d=2"
    path = tmp_path / "in.ts"
    ffmpeg(
        *("-f", "lavfi", "-i", flash, "-f", "lavfi", "-i", click, "-c:v", "libx264"),
        *("-c:a", "aac", "-output_ts_offset", shift_s, path),
    )
    annotate(probe(path), tmp_path / "out.mp4", same)
    copy = probe(tmp_path / "out.mp4")
    bright = [p.mean() > 128 for _, p in iter_frames(copy, range(copy.frames))].index(True)
    assert copy.times_s[bright] == pytest.approx(1.0, abs=0.001)
    raw = ffmpeg("-i", tmp_path / "out.mp4", "-vn", "-ac", 1, "-ar", 8000, "-f", "f32le", "-")
    with av.open(str(tmp_path / "out.mp4")) as container:
        track = container.streams.audio[0]
        start_s = float((track.start_time or 0) * track.time_base)
    loud = int(np.argmax(np.abs(np.frombuffer(raw, np.float32)) > 0.3)) / 8000
    assert start_s + loud == pytest.approx(1.0, abs=0.05)


def tone(rate: int, seconds: float = 2.0) -> np.ndarray:
    """440 Hz as float32 [1, samples]."""
    return np.sin(np.arange(int(rate * seconds)) * 440 * 2 * np.pi / rate)[None].astype(np.float32)


def with_tone(
    path: Path, codec: str, rate: int, *, first: bool = False, layouts: Sequence[str] = ("mono",)
) -> Path:
    """50 stamped frames at 25 a second and a tone, by PyAV alone.

    Args:
        path: its ending is the container.
        codec: of the sound.
        rate: of the sound.
        first: the sound is the first stream, as phones write it.
        layouts: of the channels, one after the other in equal parts; the first is the stream's.
    """
    with av.open(str(path), "w") as output:
        streams: list[Any] = []
        for kind in ("sound", "video") if first else ("video", "sound"):
            if kind == "video":
                video = output.add_stream("libx264", rate=25, options={"preset": "superfast"})
                video.width, video.height, video.pix_fmt = 160, 120, "yuv420p"
                video.codec_context.max_b_frames = 2
                streams.append(video)
            else:
                sound: Any = output.add_stream(codec, rate=rate, layout=layouts[0])
        for number in range(50):
            frame = av.VideoFrame.from_ndarray(stamp(number, 160, 120), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            output.mux(video.encode(frame))
        output.mux(video.encode(None))
        samples = av.AudioFrame.from_ndarray(tone(rate), format="fltp", layout="mono")
        samples.sample_rate, samples.pts, samples.time_base = rate, 0, Fraction(1, rate)
        output.mux(sound.encode(samples))
        output.mux(sound.encode(None))
    return path


def heard(path: Path) -> tuple[float, int]:
    """Seconds of sound, and its loudest frequency in Hz."""
    with av.open(str(path)) as container:
        resampler = av.AudioResampler("fltp", "mono", 8000)
        frames = [f for frame in container.decode(audio=0) for f in resampler.resample(frame)]
    samples = np.concatenate([frame.to_ndarray()[0] for frame in frames])
    spectrum = np.abs(np.fft.rfft(samples[2000:10000]))  # a window of a second
    return len(samples) / 8000, int(np.argmax(spectrum))


@pytest.mark.parametrize(("ending", "codec"), [("mkv", "pcm_s16le"), ("mp4", "aac")])
def test_sound_that_comes_first_takes_no_picture_away(
    tmp_path: Path, ending: str, codec: str
) -> None:
    path = with_tone(tmp_path / f"in.{ending}", codec, 48_000, first=True)
    report = DecodeReport()
    annotate(probe(path), tmp_path / "out.mp4", same, report=report, quality=Quality(crf=10))
    copy = probe(tmp_path / "out.mp4")
    assert (copy.frames, copy.audio) == (50, "aac")
    assert copy.duration_s == pytest.approx(2.0)
    assert [read(p) for _, p in iter_frames(copy, range(50))] == list(range(50))
    assert (report.packets_bad, report.missing) == (0, [])
    assert heard(tmp_path / "out.mp4") == (pytest.approx(2.0, abs=0.1), 440)


@pytest.mark.parametrize("rate", [8000, 11025, 48_000])
def test_what_mp4_holds_in_name_only_is_encoded(tmp_path: Path, rate: int) -> None:
    """MP3 of low rates is MPEG-2.5, which the format does not name."""
    path = with_tone(tmp_path / "in.avi", "libmp3lame", rate)
    annotate(probe(path), tmp_path / "out.mp4", same)
    assert probe(tmp_path / "out.mp4").audio == ("mp3" if rate == 48_000 else "aac")
    # Each encoder fills up its last frame, which lasts 93 ms in AAC of 11 kHz, and runs in by one.
    assert heard(tmp_path / "out.mp4") == (pytest.approx(2.0, abs=0.25), 440)


def without_frame_heads(path: Path) -> Path:
    """The same file, in which no frame of MP2 sound begins any more."""
    data = bytearray(path.read_bytes())
    at = data.find(b"\xff\xfd")
    while at >= 0:
        data[at : at + 4] = bytes(4)
        at = data.find(b"\xff\xfd", at)
    path.write_bytes(data)
    return path


def test_sound_that_neither_fits_nor_decodes_is_left_out_and_told(tmp_path: Path) -> None:
    path = without_frame_heads(with_tone(tmp_path / "in.mkv", "mp2", 48_000))
    info, report = probe(path), DecodeReport()
    annotate(info, tmp_path / "out.mp4", same, report=report)
    copy = probe(tmp_path / "out.mp4")
    assert (info.audio, report.sound_left_out) == ("mp2", "mp2")
    assert (copy.frames, copy.audio) == (50, None)
    model = load_model("test_timesformer", device="cpu")
    explain_video(path, model).save(tmp_path / "out")
    for _ in range(2):  # drawn again, it is told once as well
        warnings = json.loads((tmp_path / "out" / "report.json").read_text())["warnings"]
        assert ["mp2" in w["text"] for w in warnings if w["code"] == "sound-left-out"] == [True]
        redraw(tmp_path / "out", load_settings(None, {}, {}))


def test_the_default_sound_track_is_taken(tmp_path: Path, ffmpeg: Ffmpeg, stamped: Path) -> None:
    tones = [word for hz in (300, 700) for word in ("-f", "lavfi", "-i", f"sine={hz}:d=4")]
    maps = ("-map", 0, "-map", 1, "-map", 2, "-disposition:a:0", 0, "-disposition:a:1", "default")
    path = tmp_path / "two.mkv"
    ffmpeg("-i", stamped, *tones, *maps, "-c:v", "copy", "-c:a", "aac", path)
    annotate(probe(path), tmp_path / "out.mp4", same)
    assert heard(tmp_path / "out.mp4")[1] == 700


def test_sound_that_changes_its_channels_stays_whole(
    tmp_path: Path, ffmpeg: Ffmpeg, stamped: Path
) -> None:
    """Broadcasts go from mono to stereo between two programs."""
    parts = []
    for channels in (1, 2):
        part = tmp_path / f"{channels}.ts"
        sine = ("-f", "lavfi", "-i", "sine=440:d=1", "-ac", channels)
        ffmpeg(*sine, "-c:a", "mp2", "-muxdelay", 0, "-output_ts_offset", channels - 1, part)
        parts.append(part.read_bytes())
    (tmp_path / "sound.ts").write_bytes(b"".join(parts))
    path = tmp_path / "in.ts"
    ffmpeg("-i", stamped, "-i", tmp_path / "sound.ts", "-map", 0, "-map", 1, "-c", "copy", path)
    annotate(probe(path), tmp_path / "out.mp4", same)
    seconds, hz = heard(tmp_path / "out.mp4")
    assert (seconds, hz) == (pytest.approx(2.0, abs=0.15), 440)


def test_one_broken_packet_of_sound_costs_that_packet(tmp_path: Path) -> None:
    """In a stream of ADTS frames a broken head is one that the muxer does not take."""
    path = with_tone(tmp_path / "in.ts", "aac", 48_000)
    data = bytearray(path.read_bytes())
    heads = [at for at in range(len(data) - 1) if data[at : at + 2] == b"\xff\xf1"]
    data[heads[len(heads) // 2] + 2] ^= 0x3C  # its sampling rate becomes a reserved one
    path.write_bytes(data)
    report = DecodeReport()
    annotate(probe(path), tmp_path / "out.mp4", same, report=report)
    assert probe(tmp_path / "out.mp4").frames == 50
    assert heard(tmp_path / "out.mp4") == (pytest.approx(2.0, abs=0.15), 440)
    assert 0 <= report.sound_packets_bad <= 3


def joined(tmp_path: Path, ffmpeg: Ffmpeg, *parts: tuple[object, ...]) -> Path:
    """Recordings of two seconds each, one behind the other as bytes: a flash a second, and a tone.

    Every part is words for its sound: (frequency, rate, *more).
    """
    flash = "color=black:s=160x120:r=25:d=2,drawbox=t=fill:c=white:enable='between(t,1,1.1)'"
    data = b""
    for hz, rate, *more in parts:
        beep = f"aevalsrc='sin(6.2832*{hz}*t)*between(t,1,1.1)':d=2:s={rate}"
        source = ("-f", "lavfi", "-i", flash, "-f", "lavfi", "-i", beep, "-c:v", "libx264")
        ffmpeg(*source, "-bf", 2, "-c:a", "aac", *more, tmp_path / "part.ts")
        data += (tmp_path / "part.ts").read_bytes()
    (tmp_path / "joined.ts").write_bytes(data)
    return tmp_path / "joined.ts"


def flashes_and_beeps(path: Path) -> tuple[list[float], list[float]]:
    """Seconds at which pictures and sound begin to be loud."""
    info = probe(path)
    bright = [p.mean() > 128 for _, p in iter_frames(info, range(info.frames))]
    with av.open(str(path)) as container:
        frames = [
            (float(f.time or 0), np.abs(f.to_ndarray()).max()) for f in container.decode(audio=0)
        ]
    loud = [peak > 0.2 for _, peak in frames]
    beeps = [frames[n][0] for n in range(1, len(frames)) if loud[n] > loud[n - 1]]
    flashes = [float(info.times_s[n]) for n in range(1, info.frames) if bright[n] > bright[n - 1]]
    return flashes, beeps


def test_sound_goes_with_the_picture_where_the_clock_is_set_anew(
    tmp_path: Path, ffmpeg: Ffmpeg
) -> None:
    path = joined(tmp_path, ffmpeg, *[(700, 48_000)] * 3)
    annotate(probe(path), tmp_path / "out.mp4", same, quality=Quality(crf=10))
    flashes, beeps = flashes_and_beeps(tmp_path / "out.mp4")
    assert flashes == pytest.approx([1, 3, 5], abs=0.05)
    assert beeps == pytest.approx(flashes, abs=0.1)


@pytest.mark.parametrize("second", [(700, 22_050), (700, 48_000, "-ac", 6)])
def test_aac_that_changes_is_encoded(
    tmp_path: Path, ffmpeg: Ffmpeg, second: tuple[object, ...]
) -> None:
    """An MP4 says once how its AAC is to be decoded."""
    path = joined(tmp_path, ffmpeg, (700, 48_000), (*second, "-output_ts_offset", 2))
    annotate(probe(path), tmp_path / "out.mp4", same, quality=Quality(crf=10))
    flashes, beeps = flashes_and_beeps(tmp_path / "out.mp4")
    assert flashes == pytest.approx([1, 3], abs=0.1)
    assert beeps == pytest.approx(flashes, abs=0.1)
