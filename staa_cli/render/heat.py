"""Maps on a time axis, their scale, and the ways to draw one over a picture."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from staa_cli.render.colour import DIFFERENCE, colormap, rgb_to_yuv
from staa_cli.render.layer import BLACK, GREY, Canvas, UInt16, blend, fixed
from staa_cli.render.text import number
from staa_cli.schema import Clip, Explanation, Float32, Float64

if TYPE_CHECKING:
    from staa_cli.config import RenderSettings

_CEILING_QUANTILE = 0.99
"""Of the hottest map: one stray token does not turn all others cold."""
_FULL_OPACITY = 0.55
"""Level from which on the heat has its full opacity."""
_BAND_ROWS = 24
"""So many chroma rows at a time stay in the processor's cache."""
_CONTOURS = 4
"""The scale is cut into this many bands; lines run between them."""
_EDGE = 0.6
"""Opacity of the dark edge of such a line."""

Indices = NDArray[np.intp]


class HeatField:
    """Maps as levels 0 to 1 at any time: interpolated between knots, one scale over a stated scope.

    Zero evidence is level 0 and negative evidence too; level 1 is the ceiling of the scope.
    """

    def __init__(self, explanation: Explanation, scale: str, ceiling: float | None = None) -> None:
        maps = explanation.maps
        self.times_s = maps.times_s
        self.scale = scale
        self.ceilings = _ceilings(maps.values, maps.times_s, explanation.clips, scale)  # [K]
        if ceiling is not None:  # of more than this explanation
            self.ceilings = np.full_like(self.ceilings, ceiling)
        divisor = np.where(self.ceilings > 0, self.ceilings, 1)[:, None, None]
        self.levels = np.clip(maps.values / divisor, 0, 1).astype(np.float32)  # [K, h, w]

    def at(self, time_s: float) -> Float32:
        """The levels [h, w] at a time; before the first and after the last knot they stay."""
        after = int(np.searchsorted(self.times_s, time_s))
        if after in (0, len(self.times_s)):
            return np.asarray(self.levels[min(after, len(self.times_s) - 1)])
        start, end = self.times_s[after - 1], self.times_s[after]
        part = np.float32((time_s - start) / (end - start))
        return np.asarray((1 - part) * self.levels[after - 1] + part * self.levels[after])

    def ceiling_text(self) -> str:
        """What the upper end of the colour bar says."""
        return number(self.ceilings.max()) if self.scale == "video" else f"{self.scale} max"


def _ceilings(values: Float32, times_s: Float64, clips: tuple[Clip, ...], scale: str) -> Float64:
    """The value that becomes level 1, for every knot: [K, h, w] in, [K] out."""
    each = np.quantile(values.astype(np.float64), _CEILING_QUANTILE, axis=(1, 2)).clip(0)
    if scale == "frame":
        return each
    if scale == "video":
        return np.full_like(each, each.max())
    middles = np.array([(clip.start_s + clip.end_s) / 2 for clip in clips])
    owner = np.abs(times_s[:, None] - middles).argmin(axis=1)
    return np.array([each[owner == mine].max() for mine in owner])


def cubic_weights(size: int, cells: int) -> Float32:
    """[size, cells] that takes values at cell centres to pixels by a cubic through the values.

    Catmull and Rom 1974. Beyond the outermost centres the edge cell is repeated. Rows sum to one.
    """
    position = (np.arange(size) + 0.5) * cells / size - 0.5
    first = np.floor(position).astype(int)
    t = position - first
    taps = (
        ((-0.5 * t + 1) * t - 0.5) * t,
        (1.5 * t - 2.5) * t * t + 1,
        ((-1.5 * t + 2) * t + 0.5) * t,
        (0.5 * t - 0.5) * t * t,
    )
    weights = np.zeros((size, cells))
    for offset, tap in enumerate(taps, start=-1):
        np.add.at(weights, (np.arange(size), (first + offset).clip(0, cells - 1)), tap)
    return weights.astype(np.float32)


class Tint:
    """Colour over the picture that grows with the level, or all of it in the map's colours.

    Levels are taken at the resolution of the chroma planes; a luma pixel shares its neighbour's.
    """

    def __init__(self, size: tuple[int, int], grid: tuple[int, int], table: Tables) -> None:
        width, height = size
        self._rows = cubic_weights(height // 2, grid[0]) * 255
        self._columns = np.ascontiguousarray(cubic_weights(width // 2, grid[1]).T)
        self._table = table

    def draw(self, canvas: Canvas, levels: Float32) -> None:
        """Blends levels [h, w] into the part of a frame that they cover, some rows at a time."""
        across = levels @ self._columns  # [h, W/2]
        for top in range(0, len(self._rows), _BAND_ROWS):
            rows = slice(top, top + _BAND_ROWS)
            luma = slice(2 * top, 2 * (top + _BAND_ROWS))
            band = Canvas(canvas.y[luma], canvas.u[rows], canvas.v[rows])
            self._draw_band(band, self._rows[rows] @ across)

    def _draw_band(self, band: Canvas, levels: Float32) -> None:
        index = (levels + 0.5).astype(np.intp)  # [rows, W/2]
        keep, add_y, add_u, add_v = (np.take(column, index, mode="clip") for column in self._table)
        blend(band.u, keep, add_u)
        blend(band.v, keep, add_v)
        wide_keep, wide_add = _doubled(keep), _doubled(add_y)
        blend(band.y[0::2], wide_keep, wide_add)
        blend(band.y[1::2], wide_keep, wide_add)


Tables = tuple[UInt16, UInt16, UInt16, UInt16]


def tint_tables(name: str, opacity: float | None, hd: bool) -> Tables:
    """[256] each: what stays of the picture, and what is added to Y, U, V, by level.

    The opacity rises with the level; None paints the map's own colours alone.
    """
    alpha = np.ones(256, np.float32)
    if opacity is not None:
        level = np.arange(256, dtype=np.float32)
        if name == DIFFERENCE:
            level = np.abs(2 * level - 255)
        ramp = np.clip(level / (255 * _FULL_OPACITY), 0, 1)
        alpha = opacity * ramp * ramp * (3 - 2 * ramp)
    add = rgb_to_yuv(colormap(name), hd) * alpha[:, None]
    return fixed(1 - alpha), fixed(add[:, 0]), fixed(add[:, 1]), fixed(add[:, 2])


def _doubled(values: UInt16) -> UInt16:
    """Every column twice: [H, W] in, [H, 2 W] out."""
    return (values.astype(np.uint32) * 0x10001).view(np.uint16)


class Contour:
    """Lines of equal level with a dark edge, smooth at the picture's own resolution."""

    def __init__(self, size: tuple[int, int], grid: tuple[int, int], name: str, hd: bool) -> None:
        width, height = size
        self._rows = cubic_weights(height, grid[0]) * _CONTOURS
        self._columns = np.ascontiguousarray(cubic_weights(width, grid[1]).T)
        self._row_slope = np.gradient(self._rows, axis=0)
        self._column_slope = np.gradient(self._columns, axis=1)
        self._width_px = max(1.2, height / 270)
        shades = colormap(name)[np.linspace(110, 250, _CONTOURS + 1).astype(int)]
        self._shades = rgb_to_yuv(shades, hd)  # [levels, 3]

    def draw(self, canvas: Canvas, levels: Float32) -> None:
        """Draws the lines of levels [h, w] into the part of a frame that they cover."""
        field = self._rows @ levels @ self._columns  # [H, W], a whole number on a line
        down = self._row_slope @ levels @ self._columns
        across = self._rows @ levels @ self._column_slope
        band = np.rint(field)
        slope = np.sqrt(down * down + across * across)
        near = np.abs(field - band) < (self._width_px + 0.5) * slope
        near &= (band > 0) & (band < _CONTOURS)
        rows, columns = np.nonzero(near)
        away_px = np.abs(field[near] - band[near]) / slope[near]
        self._stroke(canvas, rows, columns, away_px, band[near].astype(np.intp))

    def _stroke(
        self, canvas: Canvas, rows: Indices, columns: Indices, away_px: Float32, band: Indices
    ) -> None:
        """Draws the pixels [n] that lie on a line, by how far off its middle they are."""
        line = np.clip(self._width_px / 2 + 0.5 - away_px, 0, 1)
        edge = _EDGE * np.clip(self._width_px + 0.5 - away_px, 0, 1) * (1 - line)
        shade = self._shades[band]  # [n, 3]
        luma = canvas.y[rows, columns] * (1 - line - edge) + line * shade[:, 0] + edge * BLACK
        canvas.y[rows, columns] = luma.astype(np.uint8)
        own = (rows % 2 == 0) & (columns % 2 == 0)
        rows, columns, part = rows[own] // 2, columns[own] // 2, (line + edge)[own]
        for plane, channel in ((canvas.u, 1), (canvas.v, 2)):
            colour = line[own] * shade[own, channel] + edge[own] * GREY
            plane[rows, columns] = (plane[rows, columns] * (1 - part) + colour).astype(np.uint8)


Draw = Callable[[Canvas, Float32], None]


def view(settings: RenderSettings, size: tuple[int, int], grid: tuple[int, int], hd: bool) -> Draw:
    """What draws levels [h, w] over a part of width and height `size`, as the settings say."""
    if settings.view == "contour":
        return Contour(size, grid, settings.colormap, hd).draw
    opacity = None if settings.view == "map" else settings.opacity
    return Tint(size, grid, tint_tables(settings.colormap, opacity, hd)).draw
