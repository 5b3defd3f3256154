"""Writes a GIF of an explanation from frames by index."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from staa_cli.config.settings import RenderSettings
from staa_cli.render.animation import Animation, gif_indices
from staa_cli.schema import Explanation, UInt8


def gif(
    explanation: Explanation, frames: Mapping[int, UInt8], path: Path, settings: RenderSettings
) -> None:
    """Write a GIF from the frames that it needs."""
    animation = Animation(explanation, settings)
    for index in gif_indices(explanation):
        animation.add(index, frames[index])
    animation.save(path)
