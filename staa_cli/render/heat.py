"""Maps on a time axis, their scale, and how they are drawn on a frame."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from staa_cli.render.color import DIFFERENCE, colormap, rgb_to_yuv, yuv_to_rgb
from staa_cli.render.layer import BLACK, GREY, WHITE, Canvas, UInt16, blend, fixed
from staa_cli.render.text import number, percent
from staa_cli.schema import (
    Clip,
    Float32,
    Float64,
    FrameScores,
    HeatMaps,
    SpatialStats,
    UInt8,
)

if TYPE_CHECKING:
    from staa_cli.config.settings import RenderSettings

_CEILING_QUANTILE = 0.99
"""Quantile of the hottest map at level 1; ignores single outlier tokens."""
_FULL_OPACITY = 0.45
"""Level from which the heat has full opacity."""
_CHROMA_LEAD = 4
"""Power for chroma: a hue mixed with the picture's would look like another level."""
_BAND_ROWS = 24
"""Chroma rows per band; they fit into the processor's cache."""
_CONTOUR_SHARES = np.array([0.75, 0.5, 0.25])
"""Shares of the evidence inside the contours, the outermost first."""
_FINER = 4
"""Shares are computed on maps upsampled by this factor, as they are drawn."""
_MAX_SAMPLES = 256
"""Maximum number of maps from which the contours of a scope are computed."""
_JUST_BELOW = 0.99
"""Keeps a contour around a plateau of its level instead of in its rounding errors."""
_EDGE = 0.6
"""Opacity of the dark edge of a contour."""

Indices = NDArray[np.intp]


class Heat(Protocol):
    """The parts of an `Explanation` that its heat is drawn from."""

    @property
    def maps(self) -> HeatMaps:
        """Maps over time."""

    @property
    def frames(self) -> FrameScores:
        """Which frames clips cover."""

    @property
    def clips(self) -> tuple[Clip, ...]:
        """The clips that the maps are of."""

    @property
    def spatial(self) -> SpatialStats:
        """Whether the maps are flat."""


class HeatField:
    """Maps as levels 0 to 1 at any time, interpolated between knots, on one scale per scope.

    Zero and negative evidence is level 0; level 1 is the ceiling of the scope. There are no levels
    where no clip reaches. Flat maps are drawn as one level over the whole crop, half that of a
    peak, so that changes over time are still visible.
    """

    def __init__(self, explanation: Heat, scale: str, ceiling: float | None = None) -> None:
        maps = explanation.maps
        self.times_s = maps.times_s
        self.scale = scale
        self._spans = explanation.frames.spans()
        values = maps.values
        if explanation.spatial.flat:
            values = np.broadcast_to(values.mean(axis=(1, 2), keepdims=True) / 2, values.shape)
        self._scopes = _scopes(maps.times_s, explanation.clips, scale)  # [K]
        self.ceilings = _ceilings(maps.values, self._scopes)  # [K]
        if ceiling is not None:  # shared by several explanations
            self.ceilings = np.full_like(self.ceilings, ceiling)
        divisor = np.where(self.ceilings > 0, self.ceilings, 1)[:, None, None]
        self.cut = bool((values > self.ceilings[:, None, None] * (1 + 1e-6)).any())
        """Some values are above the scale."""
        self.levels = np.clip(values / divisor, 0, 1).astype(np.float32)  # [K, h, w]

    def at(self, time_s: float) -> Float32 | None:
        """The levels [h, w] at a time, None where no clip reaches.

        They are constant before the first and after the last knot of a covered span.
        """
        span = next((s for s in self._spans if s[0] <= time_s < s[1]), None)
        if span is None:
            return None
        first, last = np.searchsorted(self.times_s, span)
        after = int(np.searchsorted(self.times_s, time_s))
        if after in (first, last):  # the nearest knot in the span, or else of all
            nearest = int(np.abs(self.times_s - time_s).argmin())
            return np.asarray(self.levels[min(after, last - 1) if first < last else nearest])
        start, end = self.times_s[after - 1], self.times_s[after]
        part = np.float32((time_s - start) / (end - start))
        return np.asarray((1 - part) * self.levels[after - 1] + part * self.levels[after])

    def lines(self, time_s: float) -> Float32:
        """The levels [lines] of the contours at a time, ascending."""
        columns = self._contour_levels.T
        return np.array([np.interp(time_s, self.times_s, column) for column in columns], np.float32)

    def inside(self, levels: Float32, time_s: float) -> str:
        """Text that names the innermost contour around all levels [h, w], if any."""
        count = int((self.lines(time_s) <= levels.min()).sum())
        return inside_text(count - 1) if count else ""

    @cached_property
    def _contour_levels(self) -> Float64:
        """Levels [K, lines] above which the contours' shares of the evidence of a scope lie."""
        thresholds = np.full((len(self.levels), len(_CONTOUR_SHARES)), 2.0)  # higher than any level
        height, width = self.levels.shape[1:]
        rows = cubic_weights(_FINER * height, height)
        columns = cubic_weights(_FINER * width, width).T
        for scope in np.unique(self._scopes):
            knots = np.flatnonzero(self._scopes == scope)
            maps = self.levels[knots[:: -(-len(knots) // _MAX_SAMPLES)]]
            descending = -np.sort(-(rows @ maps @ columns).clip(0, 1), axis=None)
            mass = np.cumsum(descending, dtype=np.float64)
            if mass[-1] > 0:
                ranks = np.searchsorted(mass, _CONTOUR_SHARES * mass[-1])
                thresholds[knots] = _JUST_BELOW * descending[ranks]
        return thresholds

    def ends(self, kind: str) -> tuple[str, str]:
        """Texts at the two ends of the color bar, by kind of view."""
        if kind == "contour":
            return f"evidence inside {percent(_CONTOUR_SHARES[0])}", percent(_CONTOUR_SHARES[-1])
        top = number(self.ceilings.max()) if self.scale == "video" else f"{self.scale} top"
        return "0", f"{top}{'+' if self.cut else ''}"


def _ceilings(values: Float32, scopes: Indices) -> Float64:
    """The value of level 1 at every knot: [K, h, w] to [K]."""
    ceilings = np.quantile(values.astype(np.float64), _CEILING_QUANTILE, axis=(1, 2)).clip(0)
    tops = np.zeros(scopes.max() + 1)
    np.maximum.at(tops, scopes, ceilings)
    return np.asarray(tops[scopes])


def _scopes(times_s: Float64, clips: tuple[Clip, ...], scale: str) -> Indices:
    """Scope numbers of the knots [K]; knots with equal numbers share a scale."""
    if scale != "clip":
        return np.arange(len(times_s)) * (scale == "frame")
    middles = np.array([(clip.start_s + clip.end_s) / 2 for clip in clips])
    return np.asarray(np.abs(times_s[:, None] - middles).argmin(axis=1))


def cubic_weights(size: int, cells: int) -> Float32:
    """Weights [size, cells] of cubic interpolation from cell centers to pixels.

    Catmull and Rom 1974. Edge cells are repeated beyond the outermost centers. Rows sum to one.
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
    """Draws the map's color, and keeps part of the picture's contrast.

    Levels have the resolution of the chroma planes; a luma pixel uses its neighbor's.
    """

    def __init__(self, size: tuple[int, int], grid: tuple[int, int], table: Tables) -> None:
        width, height = size
        self._rows = cubic_weights(height // 2, grid[0]) * 255
        self._columns = np.ascontiguousarray(cubic_weights(width // 2, grid[1]).T)
        self._table = table
        self._wide_keep, self._wide_add = _doubled(table.keep_y), _doubled(table.add_y)

    def draw(self, canvas: Canvas, levels: Float32) -> None:
        """Blend levels [h, w] into the part of a frame that they cover, in bands of rows."""
        across = levels @ self._columns  # [h, W/2]
        for top in range(0, len(self._rows), _BAND_ROWS):
            rows = slice(top, top + _BAND_ROWS)
            luma = slice(2 * top, 2 * (top + _BAND_ROWS))
            band = Canvas(canvas.y[luma], canvas.u[rows], canvas.v[rows])
            self._draw_band(band, self._rows[rows] @ across)

    def _draw_band(self, band: Canvas, levels: Float32) -> None:
        index = (levels + 0.5).astype(np.intp)  # [rows, W/2]
        table = self._table
        keep = table.keep_c.take(index, mode="clip")
        blend(band.u, keep, table.add_u.take(index, mode="clip"))
        blend(band.v, keep, table.add_v.take(index, mode="clip"))
        wide_keep = self._wide_keep.take(index, mode="clip").view(np.uint16)
        wide_add = self._wide_add.take(index, mode="clip").view(np.uint16)
        blend(band.y[0::2], wide_keep, wide_add)
        blend(band.y[1::2], wide_keep, wide_add)


class Tables(NamedTuple):
    """Factors for a frame's planes and values to add, by level, [256] each, in fixed point."""

    keep_y: UInt16
    add_y: UInt16
    keep_c: UInt16
    add_u: UInt16
    add_v: UInt16

    def over(self, gray: int, hd: bool) -> UInt8:
        """The colors [256, 3] of the levels over a gray of that luma."""
        y = self.keep_y * np.float32(gray) + self.add_y
        chroma = (self.keep_c * np.float32(GREY) + add for add in (self.add_u, self.add_v))
        yuv = np.stack([y, *chroma], axis=-1) / 256
        return yuv_to_rgb(yuv.astype(np.float32), hd)


def tint_tables(name: str, opacity: float | None, hd: bool) -> Tables:
    """Tables to draw levels with; opacity grows with the level, None draws the map alone.

    Luma keeps `1 - opacity` of the picture's contrast, around a luma as near to the map's as black
    and white allow: dark parts stay darker than light ones, but yellow over black is yellow, not
    olive. Chroma keeps a power of that, which is nearly nothing.
    """
    keep, lead = np.zeros(256, np.float32), 1
    if opacity is not None:
        level = np.arange(256, dtype=np.float32)
        if name == DIFFERENCE:
            level = np.abs(2 * level - 255)
        ramp = np.clip(level / (255 * _FULL_OPACITY), 0, 1)
        keep, lead = 1 - opacity * ramp * ramp * (3 - 2 * ramp), _CHROMA_LEAD
    y, u, v = rgb_to_yuv(colormap(name), hd).T
    half_range = keep * ((WHITE - BLACK) / 2)  # half the remaining luma range
    middle = np.clip(y, BLACK + half_range, WHITE - half_range)
    add_y = middle - keep * ((WHITE + BLACK) / 2)
    keep_c = keep**lead
    return Tables(*map(fixed, (keep, add_y, keep_c, (1 - keep_c) * u, (1 - keep_c) * v)))


def _doubled(table: UInt16) -> NDArray[np.uint32]:
    """Each value of a table twice in one number, for the two pixels of luma beside each other."""
    return table.astype(np.uint32) * 0x10001


class Contour:
    """Draws contours around shares of the evidence, with a dark edge, antialiased.

    They close along the picture's edge: if all of it is above a level, the line frames the picture.
    """

    def __init__(self, size: tuple[int, int], grid: tuple[int, int], name: str, hd: bool) -> None:
        width, height = size
        self._rows = cubic_weights(height, grid[0])
        self._columns = np.ascontiguousarray(cubic_weights(width, grid[1]).T)
        self._row_slope = np.gradient(self._rows, axis=0)
        self._column_slope = np.gradient(self._columns, axis=1)
        self._width_px = max(1.2, height / 270)
        self._shades = rgb_to_yuv(line_colors(name), hd)  # [lines, 3]
        self._frame = _frame(width, height, self._width_px)

    def draw(self, canvas: Canvas, levels: Float32, lines: Float32) -> None:
        """Draw contours of levels [h, w] at the ascending `lines` into a part of a frame."""
        field = self._rows @ levels @ self._columns  # [H, W]
        down = self._row_slope @ levels @ self._columns
        across = self._rows @ levels @ self._column_slope
        slope = np.sqrt(down * down + across * across)
        nearest = np.zeros(field.shape, np.uint8)
        for middle in (lines[1:] + lines[:-1]) / 2:
            nearest += field > middle
        away = np.abs(field - lines[nearest])
        rows, columns, edge_px = self._frame
        inside = (field[rows, columns, None] >= lines).sum(axis=1)
        framed = inside > 0
        self._stroke(canvas, rows[framed], columns[framed], edge_px[framed], inside[framed] - 1)
        rows, columns = np.nonzero(away < (self._width_px + 0.5) * slope)
        away_px = away[rows, columns] / slope[rows, columns]
        self._stroke(canvas, rows, columns, away_px, nearest[rows, columns].astype(np.intp))

    def _stroke(
        self, canvas: Canvas, rows: Indices, columns: Indices, away_px: Float32, which: Indices
    ) -> None:
        """Draw the pixels [n] of lines, by their distance from the middle of the line."""
        line = np.clip(self._width_px / 2 + 0.5 - away_px, 0, 1)
        edge = _EDGE * np.clip(self._width_px + 0.5 - away_px, 0, 1) * (1 - line)
        shade = self._shades[which]  # [n, 3]
        luma = canvas.y[rows, columns] * (1 - line - edge) + line * shade[:, 0] + edge * BLACK
        canvas.y[rows, columns] = luma.astype(np.uint8)
        chroma = (rows % 2 == 0) & (columns % 2 == 0)
        rows, columns, part = rows[chroma] // 2, columns[chroma] // 2, (line + edge)[chroma]
        for plane, channel in ((canvas.u, 1), (canvas.v, 2)):
            color = line[chroma] * shade[chroma, channel] + edge[chroma] * GREY
            plane[rows, columns] = (plane[rows, columns] * (1 - part) + color).astype(np.uint8)


def inside_text(line: int) -> str:
    """Text next to the clock if the whole map is inside a contour."""
    return f"all inside {percent(_CONTOUR_SHARES[line])}"


def line_colors(name: str) -> UInt8:
    """The colors [lines, 3] of the contours, the outermost first."""
    return np.asarray(colormap(name)[np.linspace(110, 250, len(_CONTOUR_SHARES)).astype(int)])


def _frame(width: int, height: int, line_px: float) -> tuple[Indices, Indices, Float32]:
    """A line of double width just inside a picture's edge: rows, columns, and distances [n].

    Distances are converted to those from the middle of a contour with the same opacity.
    """
    row, column = np.arange(height)[:, None] + 0.5, np.arange(width) + 0.5
    inset = np.minimum(np.minimum(row, height - row), np.minimum(column, width - column))
    away = np.maximum(inset - 1.5 * line_px, 0).astype(np.float32)
    rows, columns = np.nonzero(away < line_px + 0.5)
    return rows, columns, away[rows, columns]


Draw = Callable[[Canvas, Float32, float], None]
"""(canvas, levels [h, w], seconds): draws the levels into the part of a frame that they cover."""


def view(settings: RenderSettings, field: HeatField, size: tuple[int, int], hd: bool) -> Draw:
    """The function that draws a field on a part of width and height `size`."""
    grid = field.levels.shape[1], field.levels.shape[2]
    if settings.view == "contour":
        contour = Contour(size, grid, settings.colormap, hd)
        return lambda canvas, levels, time_s: contour.draw(canvas, levels, field.lines(time_s))
    tint = Tint(size, grid, _tables(settings, hd))
    return lambda canvas, levels, time_s: tint.draw(canvas, levels)


def legend(settings: RenderSettings) -> UInt8:
    """The drawn colors [rows, columns, 3] of the bar, from a light to a dark background."""
    if settings.view == "contour":
        return line_colors(settings.colormap)[None]
    return np.stack([_tables(settings, True).over(gray, True) for gray in range(WHITE, 0, -27)])


def _tables(settings: RenderSettings, hd: bool) -> Tables:
    opacity = None if settings.view == "map" else settings.opacity
    return tint_tables(settings.colormap, opacity, hd)
