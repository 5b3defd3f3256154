"""Whose a result folder is, from the command line; and what can be drawn from one again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from small_videos import wandering_square

from staa_cli.errors import ExitCode

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STAA_THREADS", "1")
    monkeypatch.setenv("STAA_MODEL", "test_timesformer")


def content(folder: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def test_a_folder_belongs_to_one_video_for_good(run: Any) -> None:
    wandering_square("x/a.mkv")
    wandering_square("y/a.mkv", frames=12)
    assert run("explain", "x/a.mkv", "--no-annotated").code == ExitCode.OK
    before = content("staa-out/a")
    dry = run("explain", "y/a.mkv", "--no-annotated", "--dry-run")
    assert dry.code == ExitCode.INPUT_FAILED
    for more in ((), ("--no-clobber",)):
        done = run("explain", "y/a.mkv", "--no-annotated", *more)
        assert done.code == ExitCode.INPUT_FAILED
        error, hint = done.err.splitlines()
        assert error.startswith("error: y/a.mkv: staa-out/a holds the results of another video, ")
        assert error.endswith("/x/a.mkv")
        assert hint.startswith("hint: ")
        assert "--force" in hint
        assert done.out == ""
    done = run("compare", "y/a.mkv", "--methods", "staa", "--no-faithfulness", "--no-annotated")
    assert done.code == ExitCode.INPUT_FAILED
    assert "another video" in done.err
    assert content("staa-out/a") == before
    assert run("explain", "y/a.mkv", "--no-annotated", "--force").code == ExitCode.OK
    report = json.loads(Path("staa-out/a/report.json").read_text())
    assert report["video"]["path"] == "y/a.mkv"
    assert len(report["frames"]["index"]) == 12


def test_an_edited_video_is_explained_again_without_asking(run: Any) -> None:
    for frames in (24, 12):
        wandering_square("a.mkv", frames=frames)
        assert run("explain", "a.mkv", "--no-annotated", "-q").code == ExitCode.OK
    report = json.loads(Path("staa-out/a/report.json").read_text())
    assert len(report["frames"]["index"]) == 12


@pytest.mark.slow
def test_results_are_drawn_again_without_torch(staa: Any, tmp_path: Path) -> None:
    for name in ("a.mkv", "b.mkv"):
        wandering_square(name)
    more = ("--model", "test_timesformer", "--no-annotated")
    assert staa("explain", "a.mkv", "b.mkv", *more).returncode == ExitCode.OK
    Path("staa-out/b/maps.npz").unlink()
    line = [
        *("render", "staa-out/b", "nothing", "staa-out/a", "--view", "contour"),
        *("--gif", "--storyboard"),
    ]
    script = (
        "import sys\n"
        "for name in ('torch', 'torchvision', 'timm'): sys.modules[name] = None\n"
        "from staa_cli.cli.app import run\n"
        f"sys.exit(run({line!r}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.returncode == ExitCode.INPUT_FAILED, done.stderr
    assert [line for line in done.stderr.splitlines() if line.startswith("error")] == [
        "error: staa-out/b has no maps.npz, which is needed for more than the report",
        "error: nothing: cannot read nothing/report.json: no such file or directory",
    ]
    drawn = ("annotated.mp4", "report.html", "storyboard.png", "annotated.gif")
    names = (*drawn, "maps.npz", "report.json")
    assert done.stdout.splitlines() == [f"staa-out/a/{name}" for name in names]
    report = json.loads(Path("staa-out/a/report.json").read_text())
    assert report["settings"]["render"]["view"] == "contour"
    assert report["settings"]["output"]["gif"] is True
    assert report["run"]["device"] == "cpu"


def test_two_results_of_one_name_are_not_drawn_into_one_folder(run: Any) -> None:
    for name in ("x/a.mkv", "y/a.mkv"):
        wandering_square(name)
        where = f"out-{name[0]}"
        assert run("explain", name, "-o", where, "--no-annotated", "-q").code == ExitCode.OK
    done = run("render", "out-x/a", "out-y/a", "-o", "again", "--no-annotated", "--plot")
    assert done.code == ExitCode.INPUT_FAILED
    assert done.err.startswith("error: out-y/a: again/a is already used for out-x/a\nhint: ")
    assert Path("again/a/curve.png").is_file()
    done = run("render", "out-x/a", "out-y/a", "--video", "x/a.mkv")
    assert done.code == ExitCode.USAGE
