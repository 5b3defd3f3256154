"""`staa doctor --measure`: how many processes are fastest here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from small_videos import film

from staa_cli.cli import speed
from staa_cli.errors import ExitCode


@pytest.fixture
def video(tmp_path: Path) -> str:
    return str(film(tmp_path / "walk.mp4"))


def test_one_core_is_measured_and_advised(
    run: Any, video: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speed, "cores", lambda: 1)
    done = run("doctor", "--measure", "--video", video, "--model", "test_timesformer")
    assert done.code == ExitCode.OK
    assert "--jobs 1" in done.out
    assert "1.00 x" in done.out
    assert "advice: one process" in done.err


@pytest.mark.slow
def test_two_cores_as_json(run: Any, video: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "cores", lambda: 3)
    line = ("--measure", "--json", "--video", video, "--model", "test_timesformer")
    done = run("doctor", *line)
    assert done.code == ExitCode.OK
    told = json.loads(done.out)
    assert told["model"] == "test_timesformer"
    assert told["video"] == video
    assert list(told["videos_per_s"]) == ["1", "2"]
    assert all(value > 0 for value in told["videos_per_s"].values())
    assert told["jobs"] in (1, 2)


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("--video x.mp4", ExitCode.USAGE, "apply only to --measure"),
        ("--measure --video nowhere.mp4", ExitCode.USAGE, "no such file: nowhere.mp4"),
        ("--measure --video env.sh", ExitCode.INPUT_FAILED, "error: env.sh: "),
        ("--measure --video walk.mp4 --model broken.pth", ExitCode.UNAVAILABLE, "broken.pth"),
        ("--measure --model nowhere", ExitCode.UNAVAILABLE, "nowhere"),
        ("--measure --config nowhere", ExitCode.USAGE, "nowhere"),
    ],
)
def test_what_cannot_be_measured(
    run: Any, video: str, line: str, code: int, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(video).parent)
    Path("env.sh").write_text("export A=1\n")
    Path("broken.pth").write_bytes(b"not weights")
    done = run("doctor", *line.split())
    assert (done.code, done.out) == (code, "")
    assert words in done.err
    assert "explaining it" not in done.err
