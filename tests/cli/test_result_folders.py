"""Whose a result folder is, from the command line; and what can be drawn from one again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from small_videos import wandering_square

from staa_cli.errors import ExitCode


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
