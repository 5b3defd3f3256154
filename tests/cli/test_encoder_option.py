"""`--encoder` in every command that writes an annotated video, and in `staa doctor`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hardware import ABSENT, WORKING, codec_of, machine_with
from small_videos import film

from staa_cli.errors import ExitCode


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STAA_MODEL", "test_timesformer")
    monkeypatch.setenv("STAA_OUTPUT_HTML", "no")
    film(Path("walk.mp4"), 12)


def test_every_command_draws_with_the_encoder_asked_for(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine_with(monkeypatch, ABSENT, WORKING)
    video, compared = Path("staa-out/walk/annotated.mp4"), Path("staa-out/walk/compare.mp4")
    assert run("explain", "walk.mp4").code == ExitCode.OK
    assert codec_of(video) == "mpeg4"
    assert run("render", "staa-out/walk", "--encoder", "x264").code == ExitCode.OK
    assert codec_of(video) == "h264"
    assert run("render", "staa-out/walk", "--encoder", "nvenc").code == ExitCode.OK
    assert codec_of(video) == "mpeg4"
    compare = ("compare", "walk.mp4", "--methods", "staa", "--no-faithfulness")
    for encoder, codec in (("nvenc", "mpeg4"), ("x264", "h264")):
        assert run(*compare, "--encoder", encoder).code == ExitCode.OK
        assert codec_of(compared) == codec
    report = json.loads(Path("staa-out/walk/report.json").read_text())
    assert "encoder" not in report["settings"]["render"]
    assert run("explain", "walk.mp4", "--encoder", "x264").code == ExitCode.OK
    assert codec_of(video) == "mpeg4"  # skipped: it is finished


@pytest.mark.parametrize("line", ["explain walk.mp4", "render walk", "compare walk.mp4"])
def test_an_encoder_that_is_not_here(line: str, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    machine_with(monkeypatch, ABSENT, WORKING)
    done = run(*line.split(), "--encoder", "videotoolbox")
    assert done.code == ExitCode.UNAVAILABLE
    assert done.err == (
        "error: the encoder videotoolbox is not available: this build of FFmpeg lacks "
        "no_such_codec\nhint: available: auto, x264, nvenc\n"
    )
    assert not Path("staa-out").exists()


def test_hardware_does_not_promise_equal_bytes(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    machine_with(monkeypatch, WORKING)
    done = run("explain", "walk.mp4", "--reproducible", "--encoder", "nvenc")
    assert done.code == ExitCode.USAGE
    assert "--encoder x264" in done.err
    assert run("explain", "walk.mp4", "--reproducible").code == ExitCode.OK
    assert codec_of(Path("staa-out/walk/annotated.mp4")) == "h264"


def test_the_doctor_says_which_work(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    machine_with(monkeypatch, ABSENT, WORKING)
    assert json.loads(run("doctor", "--json").out)["encoders"] == {
        "auto": "nvenc",
        "x264": "works",
        "videotoolbox": "this build of FFmpeg lacks no_such_codec",
        "nvenc": "works",
    }
