"""Explanation + some frames -> annotated pictures in one array, for whatever logs or shows them."""

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
    """Annotated frames, and when they are shown."""

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
    """Draws on frames, with no more of them in memory than one and what is given back.

    Args:
        explanation: what is drawn.
        frames: positions and upright RGB [H, W, 3] of at least those of `indices`.
        indices: n positions in the video, in the order in which the pictures come back.
        settings: how the frames are drawn.
        longest: pixels that the longer side of a frame has at most; a strip below it, or a second
            picture beside it, comes on top.

    Raises:
        InputError: not all frames came.
    """
    times_s = explanation.video.times_s[list(indices)]
    wanted, missing = np.array(indices), set(indices)
    painter: Painter | None = None
    for index, frame in frames:
        if painter is None:
            shown = shown_size(explanation, frame)
            most = min(longest, max(shown))
            size = fitted(shown, (most, most))
            painter = Painter(explanation, settings, size)
            width, height = painter.size
            pictures = np.empty((len(wanted), height, width, 3), np.uint8)
        plain = Image.fromarray(frame).resize(size, Image.Resampling.LANCZOS)
        drawn = painted(painter, plain, float(explanation.video.times_s[index]))
        pictures[wanted == index] = np.asarray(drawn)
        missing.discard(index)
    if missing:
        raise InputError(f"frame {min(missing)} cannot be read any more")
    return Pictures(pictures, times_s, tuple(indices))
