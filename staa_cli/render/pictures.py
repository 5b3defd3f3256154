"""Annotated frames of an explanation as one array, for loggers and notebooks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

from staa_cli.errors import InputError
from staa_cli.render.painter import Painter
from staa_cli.render.storyboard import fitted, painted, shown_size
from staa_cli.schema import Explanation, Float64, UInt8

if TYPE_CHECKING:
    from staa_cli.config.settings import RenderSettings


class Pictures(NamedTuple):
    """Annotated frames with their times."""

    pictures: UInt8
    """[n, H, W, 3] RGB."""
    times_s: Float64
    """[n] seconds from the video's first frame."""
    indices: tuple[int, ...]
    """n positions in the video."""


def annotated_pictures(
    explanation: Explanation,
    frames: Iterable[tuple[int, UInt8]],
    indices: Sequence[int],
    settings: RenderSettings,
    longest: int,
) -> Pictures:
    """Draw on frames; holds only one source frame and the result in memory.

    Args:
        explanation: to draw.
        frames: positions and upright RGB [H, W, 3], including those of `indices`.
        indices: n positions in the video, in the order of the result.
        settings: how frames are drawn.
        longest: maximum pixels of the longer side of a frame, without a strip below it or a second
            picture next to it.

    Raises:
        InputError: a frame of `indices` is missing.
    """
    times_s = explanation.video.times_s[list(indices)]
    positions, missing = np.array(indices), set(indices)
    painter: Painter | None = None
    for index, frame in frames:
        if painter is None:
            shown = shown_size(explanation, frame)
            side = min(longest, max(shown))
            size = fitted(shown, (side, side))
            painter = Painter(explanation, settings, size)
            width, height = painter.size
            pictures = np.empty((len(positions), height, width, 3), np.uint8)
        plain = Image.fromarray(frame).resize(size, Image.Resampling.LANCZOS)
        drawn = painted(painter, plain, float(explanation.video.times_s[index]))
        pictures[positions == index] = np.asarray(drawn)
        missing.discard(index)
    if missing:
        raise InputError(f"frame {min(missing)} cannot be read any more")
    return Pictures(pictures, times_s, tuple(indices))
