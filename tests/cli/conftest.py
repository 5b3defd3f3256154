"""The command line as a person has it: a process of its own, with a clean environment."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from small_videos import film

from staa_cli.cli import app as cli

ROOT = Path(__file__).parent.parent.parent

Staa = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("STAA_") or name in ("NO_COLOR", "FORCE_COLOR"):
            monkeypatch.delenv(name)


@pytest.fixture
def staa(tmp_path: Path) -> Staa:
    """Runs `staa` in an empty folder; keyword arguments are environment variables."""

    def run(*arguments: str, stdin: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
        keep = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        environ = keep | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "COLUMNS": "80"}
        return subprocess.run(
            [sys.executable, "-m", "staa_cli", *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=environ | variables,
            timeout=120,
            check=False,
        )

    return run


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    code: int
    out: str
    err: str


@pytest.fixture
def two_clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two small videos in ``clips``, a small model, and the current folder above them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STAA_THREADS", "1")
    monkeypatch.setenv("STAA_MODEL", "test_timesformer")
    for name in ("walk", "jump"):
        film(Path("clips", f"{name}.mp4"), 12)


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Runs the command line in this process; keyword arguments are environment variables."""

    def call(*arguments: str, **variables: str) -> Done:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            code = cli.run(list(arguments))
        out, err = capfd.readouterr()
        return Done(code, out, err)

    return call
