"""Which encoder is used, and what happens if it cannot be used."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from av.video.frame import VideoFrame
from hardware import ABSENT, SMALL_ONLY, WORKING, codec_of, machine_with
from stamped import read, write_stamped

from staa_cli.errors import OutputError, UnavailableError, UsageError
from staa_cli.video.annotate import annotate
from staa_cli.video.decode import iter_frames
from staa_cli.video.encode import Shape, VideoWriter, write_video
from staa_cli.video.encoder_choice import encoders_for, problem_of
from staa_cli.video.encoders import HARDWARE, X264, Encoder, Quality
from staa_cli.video.pixels import YuvPlanes
from staa_cli.video.probe import probe

VERY_WIDE = np.full((16, 4112, 3), 90, np.uint8)


def same(index: int, time_s: float, planes: YuvPlanes) -> YuvPlanes:
    return planes


def test_the_first_hardware_that_works_encodes_the_video(
    stamped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine_with(monkeypatch, ABSENT, WORKING, SMALL_ONLY)
    annotate(probe(stamped), tmp_path / "out.mp4", same, encoders=encoders_for("auto"))
    assert codec_of(tmp_path / "out.mp4") == "mpeg4"
    copy = probe(tmp_path / "out.mp4")
    assert copy.times_s == pytest.approx(probe(stamped).times_s)
    assert [read(p) for _, p in iter_frames(copy, [0, 77, 119])] == [0, 77, 119]


@pytest.mark.parametrize("name", ["auto", "x264"])
def test_without_hardware_it_is_x264(
    name: str, stamped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine_with(monkeypatch, ABSENT)
    annotate(probe(stamped), tmp_path / "out.mp4", same, encoders=encoders_for(name))
    assert codec_of(tmp_path / "out.mp4") == "h264"


def test_a_size_that_hardware_does_not_encode_goes_to_x264(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine_with(monkeypatch, SMALL_ONLY)
    auto = encoders_for("auto")
    write_video(tmp_path / "small.mp4", [VERY_WIDE[:, :64]] * 3, encoders=auto)
    write_video(tmp_path / "wide.mp4", [VERY_WIDE] * 3, encoders=auto)
    assert codec_of(tmp_path / "small.mp4") == "mpeg1video"
    assert codec_of(tmp_path / "wide.mp4") == "h264"
    assert probe(tmp_path / "wide.mp4").frames == 3


def test_named_hardware_says_that_the_size_does_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine_with(monkeypatch, SMALL_ONLY)
    with pytest.raises(OutputError, match="vaapi cannot encode 4112x16 pixels") as caught:
        write_video(tmp_path / "out.mp4", [VERY_WIDE] * 3, encoders=encoders_for("vaapi"))
    assert "x264" in (caught.value.hint or "")
    assert [*tmp_path.iterdir()] == []


def test_named_hardware_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    machine_with(monkeypatch, ABSENT, WORKING)
    with pytest.raises(UnavailableError, match="lacks no_such_codec") as caught:
        encoders_for("videotoolbox")
    assert caught.value.hint == "available: auto, x264, nvenc"


def test_repeatable_files_come_from_x264(monkeypatch: pytest.MonkeyPatch) -> None:
    machine_with(monkeypatch, WORKING)
    assert encoders_for("auto", repeatable=True) == (X264,)
    with pytest.raises(UsageError, match="nvenc") as caught:
        encoders_for("nvenc", repeatable=True)
    assert "x264" in (caught.value.hint or "")


@pytest.mark.parametrize("encoder", [X264, *HARDWARE], ids=lambda encoder: encoder.name)
def test_a_test_of_an_encoder_prints_nothing(
    encoder: Encoder, capfd: pytest.CaptureFixture[str]
) -> None:
    problem_of.cache_clear()
    problem = problem_of(encoder)
    assert problem is None or encoder.codec in problem
    assert encoder is not X264 or problem is None
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "encoder",
    [
        Encoder("other picture", "libx264rgb", lambda quality: {}, "rgb24"),
        Encoder("other format", "mjpeg", lambda quality: {}),
        Encoder("no device", "h264_nvenc", lambda quality: {}, "nv12", device="no such"),
        Encoder("other device", "libx264", lambda quality: {}, "nv12", device="cuda"),
    ],
    ids=lambda encoder: encoder.name,
)
def test_an_encoder_that_does_not_do_what_it_should_is_found(encoder: Encoder) -> None:
    assert problem_of(encoder) is not None


def x264_settings(path: Path) -> dict[str, str]:
    """What x264 itself wrote into a file about how it was set."""
    data = path.read_bytes()
    start = data.index(b"options: ") + len(b"options: ")
    words = data[start : data.index(b"\0", start)].decode("latin-1").split()
    return dict(word.split("=", 1) for word in words if "=" in word)


@pytest.mark.parametrize(("asked", "taken"), [(1, "1"), (3, "3"), (64, "4")])
def test_x264_takes_the_threads_that_it_may(
    asked: int, taken: str, stamped: Path, tmp_path: Path
) -> None:
    annotate(probe(stamped), tmp_path / "out.mp4", same, quality=Quality(threads=asked))
    settings = x264_settings(tmp_path / "out.mp4")
    assert (settings["threads"], settings["sliced_threads"]) == (taken, "0")


def test_the_default_is_faster_than_veryfast_but_not_larger(tmp_path: Path) -> None:
    """x264's own superfast keeps no tree, and writes noise that is the same again and again."""
    noise = np.random.default_rng(0).normal(0, 6, (240, 320, 1))
    pictures = [(np.roll(noise, n // 8, 1) + 120).clip(0, 255) for n in range(48)]
    frames = [np.repeat(picture, 3, 2).astype(np.uint8) for picture in pictures]
    source = probe(write_stamped(tmp_path / "in.mkv", frames, codec="ffv1", pixels="bgr0"))
    sizes = {}
    for preset in ("superfast", "veryfast"):
        path = tmp_path / f"{preset}.mp4"
        annotate(source, path, same, quality=Quality(preset))
        sizes[preset] = path.stat().st_size
        assert x264_settings(path)["mbtree"] == "1"
    assert int(x264_settings(tmp_path / "superfast.mp4")["subme"]) == 1
    assert sizes["superfast"] < 1.2 * sizes["veryfast"]


def test_equal_frames_are_equal_bytes_with_several_threads(stamped: Path, tmp_path: Path) -> None:
    quality = Quality(repeatable=True, threads=4)
    for name in ("one.mp4", "two.mp4"):
        annotate(probe(stamped), tmp_path / name, same, quality=quality)
    assert (tmp_path / "one.mp4").read_bytes() == (tmp_path / "two.mp4").read_bytes()


@pytest.mark.slow
def test_equal_frames_are_equal_bytes_at_every_width(tmp_path: Path) -> None:
    """x264's macroblock tree differs from run to run at many widths, unless restrained."""
    noise = np.random.default_rng(0).normal(0, 20, (140, 460)).cumsum(0).cumsum(1)
    ramp = (noise - noise.min()) / (noise.max() - noise.min()) * 219 + 16
    grain = np.random.default_rng(1).normal(0, 5, (96, 420))
    quality, differing = Quality(repeatable=True, threads=2), []
    for width in range(64, 420, 6):
        planes = [
            np.clip(ramp[n : n + 96, n : n + width] + np.roll(grain, 7 * n)[:, :width], 16, 235)
            for n in range(24)
        ]
        frames = [np.repeat(plane[..., None], 3, 2).astype(np.uint8) for plane in planes]
        written = set()
        for _ in range(5):
            shape = Shape(width, 96, Fraction(1, 25), Fraction(25), variable_rate=False)
            with VideoWriter(tmp_path / "x.mp4", shape, quality=quality) as writer:
                for number, frame in enumerate(frames):
                    picture = VideoFrame.from_ndarray(frame, format="rgb24")
                    writer.write(picture.reformat(format="yuv420p"), number, 1)
            written.add((tmp_path / "x.mp4").read_bytes())
        differing += [width] if len(written) > 1 else []
    assert differing == []


def test_variable_rates_keep_their_durations_in_hardware(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine_with(monkeypatch, WORKING)
    ticks = [0, 40, 80, 500, 510, 1200, 1201, 3000]
    path = write_stamped(tmp_path / "in.mkv", 8, ticks=ticks, time_base=Fraction(1, 1000))
    source = probe(path)
    annotate(source, tmp_path / "out.mp4", same, encoders=encoders_for("nvenc"))
    copy = probe(tmp_path / "out.mp4")
    assert copy.times_s == pytest.approx(source.times_s, abs=1e-6)
    assert copy.duration_s == pytest.approx(source.duration_s, abs=0.0015)
