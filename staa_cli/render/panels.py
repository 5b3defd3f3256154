"""Several explanations of one video in one picture: the source, then a panel each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from staa_cli.render.layer import Canvas
from staa_cli.render.painter import Painter
from staa_cli.schema import Explanation, UInt8

if TYPE_CHECKING:
    from staa_cli.config import RenderSettings
    from staa_cli.video.pixels import YuvPlanes

_WIDEST, _HIGHEST = 1920, 1080
_SHAPE = 16 / 9
_EMPTY = 0.15
"""How much an empty place counts against a grid, beside the log of how far its shape is off."""


class Panels:
    """Draws the source and its explanations, each on a scale and a time axis of its video.

    Args:
        explanations: of one video.
        settings: how each panel is drawn; a panel is never larger than the source.
    """

    def __init__(self, explanations: Sequence[Explanation], settings: RenderSettings) -> None:
        video = explanations[0].video
        self._columns, self._rows = grid(1 + len(explanations), video.width / video.height)
        scale = min(
            1.0,
            _WIDEST / (self._columns * video.width),
            _HIGHEST / (self._rows * video.height),
        )
        width, height = (max(2, 2 * round(scale * n / 2)) for n in (video.width, video.height))
        if settings.view == "side-by-side":  # the source has a panel of its own
            settings = replace(settings, view="heat")
        self._picture = width, height
        self._painters = [Painter(each, settings, (width, height)) for each in explanations]
        self._panel = self._painters[0].size  # with a strip below, higher than the picture

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of what `draw` gives back, both even."""
        return self._columns * self._panel[0], self._rows * self._panel[1]

    def draw(self, index: int, time_s: float, planes: YuvPlanes) -> YuvPlanes:
        """One upright frame in, all panels of it out; the input stays as it is."""
        source = self._shrunk(planes)
        canvas = Canvas.black(*self.size)
        hd = planes.matrix == "bt709"
        for number, painter in enumerate([None, *self._painters]):
            panel = source if painter is None else painter.paint(time_s, source, hd)
            row, column = divmod(number, self._columns)
            left, top = column * self._panel[0], row * self._panel[1]
            place = canvas.part(left, top, left + self._panel[0], top + panel.y.shape[0])
            for plane, drawn in zip(place, panel, strict=True):
                plane[...] = drawn
        return replace(planes, y=canvas.y, u=canvas.u, v=canvas.v)

    def _shrunk(self, planes: YuvPlanes) -> Canvas:
        width, height = self._picture
        return Canvas(
            _resized(planes.y, width, height),
            _resized(planes.u, width // 2, height // 2),
            _resized(planes.v, width // 2, height // 2),
        )


def grid(count: int, aspect: float) -> tuple[int, int]:
    """Columns and rows for so many pictures of a shape that come nearest to a wide screen's."""

    def miss(columns: int) -> float:
        rows = math.ceil(count / columns)
        empty = columns * rows - count
        return abs(math.log(columns * aspect / rows / _SHAPE)) + _EMPTY * empty

    columns = min(range(1, count + 1), key=miss)
    return columns, math.ceil(count / columns)


def _resized(plane: UInt8, width: int, height: int) -> UInt8:
    if plane.shape == (height, width):
        return plane
    return np.asarray(Image.fromarray(plane).resize((width, height), Image.Resampling.BOX))
