"""Stamped videos, and a second opinion from ffmpeg."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from shutil import which

import pytest
from stamped import write_stamped


@pytest.fixture(scope="session")
def ffmpeg() -> Callable[..., bytes]:
    """Runs ffmpeg with the words given and returns what it prints."""
    if which("ffmpeg") is None:
        pytest.skip("ffmpeg is not installed")

    def run(*words: object) -> bytes:
        line = ["ffmpeg", "-v", "error", "-nostdin", "-y", *map(str, words)]
        return subprocess.run(line, capture_output=True, check=True).stdout

    return run


@pytest.fixture(scope="session")
def stamped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 frames at 30 a second, a key frame every 12, B frames between."""
    return write_stamped(tmp_path_factory.mktemp("stamped") / "stamped.mp4")


@pytest.fixture(scope="session")
def with_sound(
    stamped: Path, ffmpeg: Callable[..., bytes], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The stamped video with four seconds of a tone as AAC."""
    path = tmp_path_factory.mktemp("sound") / "sound.mp4"
    tone = ("-f", "lavfi", "-i", "sine=d=4")
    ffmpeg("-i", stamped, *tone, "-c:v", "copy", "-c:a", "aac", path)
    return path
