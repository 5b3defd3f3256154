"""Small videos, and settings for the test model: clips of 4 frames of 32 x 32 every 0.25 s."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np

from staa_cli.config.settings import OutputSettings, RenderSettings, Settings
from staa_cli.schema import UInt8
from staa_cli.video.encode import write_video

RATE = 12
WIDTH, HEIGHT = 64, 48


def pictures(frames: int = 24, *, moving: bool = True, seed: int = 0) -> list[UInt8]:
    """A bright square moves over a textured background that changes from red to blue."""
    random = np.random.default_rng(seed)
    background = random.integers(60, 120, (HEIGHT // 8, WIDTH // 8, 3)).repeat(8, 0).repeat(8, 1)
    frames_rgb = []
    for number in range(frames):
        share = number / frames if moving else 0.5
        picture = background + np.array([120 * (1 - share), 0, 120 * share])
        left = number % (WIDTH - 16) if moving else 10
        picture[16:32, left : left + 16] = (240, 250, 200)
        frames_rgb.append(picture.astype(np.uint8))
    return frames_rgb


def film(
    path: Path, frames: int = 24, *, times_s: Sequence[float] | None = None, **options: Any
) -> Path:
    """Write `pictures` as a video, by default at 12 frames per second."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, pictures(frames, **options), times_s, rate=RATE, preset="ultrafast", gop=8)
    return path


def asked(output: dict[str, bool] | None = None, **changes: Any) -> Settings:
    """Settings for the test model; by default only the report is written."""
    formats: dict[str, Any] = {"annotated": False, "html": False, "npz": False, **(output or {})}
    defaults: dict[str, Any] = {
        "model": "test_timesformer",
        "output": OutputSettings(**formats),
        "render": RenderSettings(preset="ultrafast"),
    }
    return Settings(**{**defaults, **changes})


def wandering_square(path: str | Path, frames: int = 24, size: int = 64) -> Path:
    """A square moves over gray, at 12 frames per second."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format="matroska") as out:
        stream = out.add_stream("libx264", rate=12, options={"preset": "ultrafast"})
        stream.width = stream.height = size
        stream.pix_fmt = "yuv420p"
        for number in range(frames):
            picture = np.full((size, size, 3), 90, np.uint8)
            picture[20:36, number : number + 16] = (220, 60, 40)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        out.mux(stream.encode(None))
    return path
