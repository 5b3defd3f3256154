"""Several explanations of one video in one picture: the source, a panel each, and a difference.

By default all panels share one scale; otherwise weak evidence would look as strong as decisive
evidence. Maps of one method have the same units and are compared directly: each clip's map is
weighted by the probability of the class. Maps of several methods have different units; their scale
is in multiples of each method's mean over the video, so that the comparison shows where the
evidence is, not how much there is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from PIL import Image

from staa_cli.render import text
from staa_cli.render.color import DIFFERENCE
from staa_cli.render.curve import Curve
from staa_cli.render.heat import HeatField
from staa_cli.render.layer import Canvas, Layer
from staa_cli.render.layout import Box
from staa_cli.render.painter import Painter, Panel
from staa_cli.schema import Explanation, Float32, Float64, UInt8

if TYPE_CHECKING:
    from staa_cli.config.settings import RenderSettings
    from staa_cli.video.pixels import YuvPlanes

_MAX_WIDTH, _MAX_HEIGHT = 1920, 1080
_SHAPE = 16 / 9
_EMPTY = 0.15
"""Penalty of an empty cell of a grid, added to the log of its deviation in shape."""
_ORIGINAL = "original"
_LABEL_SHARE = 0.1
"""Maximum share of the source that its name may hide."""


class Panels:
    """Draws the source and its explanations; for two on one scale, also their difference.

    Args:
        explanations: of one video.
        settings: how each panel is drawn; a panel is never larger than the source.
        shared: one scale for all panels; otherwise each has the scale of the settings.
    """

    def __init__(
        self, explanations: Sequence[Explanation], settings: RenderSettings, shared: bool = True
    ) -> None:
        video = explanations[0].video
        differs = shared and len(explanations) == 2
        count = 1 + len(explanations) + differs
        self._columns, self._rows = grid(count, video.width / video.height)
        scale = min(
            1.0,
            _MAX_WIDTH / (self._columns * video.width),
            _MAX_HEIGHT / (self._rows * video.height),
        )
        width, height = (max(2, 2 * round(scale * n / 2)) for n in (video.width, video.height))
        if settings.view == "side-by-side":  # the source has a separate panel
            settings = replace(settings, view="heat")
        self._picture = width, height
        panels, top = _panels(explanations, settings, shared)
        self._painters = [
            Painter(explanation, settings, self._picture, panel)
            for explanation, panel in zip(explanations, panels, strict=True)
        ]
        if differs:
            self._painters.append(_difference(explanations, panels, top, settings, self._picture))
        sizes = [painter.size for painter in self._painters]
        self._panel = sizes[0][0], max(height for _, height in sizes)
        self._labels: dict[bool, Layer | None] = {}

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of all panels together, both even."""
        return self._columns * self._panel[0], self._rows * self._panel[1]

    def draw(self, index: int, time_s: float, planes: YuvPlanes) -> YuvPlanes:
        """Draw all panels of one upright frame, which is left unchanged."""
        hd = planes.matrix == "bt709"
        y, u, v = self.paint(time_s, Canvas(planes.y, planes.u, planes.v), hd)
        return replace(planes, y=y, u=u, v=v)

    def paint(self, time_s: float, picture: Canvas, hd: bool) -> Canvas:
        """All panels of a frame; `hd` says that its planes are BT.709."""
        source = self._shrunk(picture)
        canvas = Canvas.black(*self.size)
        for number, painter in enumerate([None, *self._painters]):
            panel = source if painter is None else painter.paint(time_s, source, hd)
            row, column = divmod(number, self._columns)
            left, top = column * self._panel[0], row * self._panel[1]
            height, width = panel.y.shape
            place = canvas.part(left, top, left + width, top + height)
            for plane, drawn in zip(place, panel, strict=True):
                plane[...] = drawn
        if hd not in self._labels:
            self._labels[hd] = self._label(hd)
        if label := self._labels[hd]:
            label.over(canvas)
        return canvas

    def _label(self, hd: bool) -> Layer | None:
        """The name of the source: below it if the other panels have a strip there, else on it."""
        width, height = self._picture
        px = self._painters[0].layout.title_px
        inset = px // 2
        size = round(text.measure(_ORIGINAL, px)) + 2 * inset, round(1.35 * px) + inset
        below = self._panel[1] - height >= size[1] and size[0] <= width
        if not below and size[0] * size[1] > _LABEL_SHARE * width * height:
            return None
        image = Image.new("RGBA", size, (10, 10, 12, 176))
        text.write(image, Box(inset, 0, *size), _ORIGINAL, px, (245, 245, 245, 255))
        return Layer.of(image, inset // 2, height if below else inset // 2, hd)

    def _shrunk(self, planes: Canvas) -> Canvas:
        width, height = self._picture
        return Canvas(
            _resized(planes.y, width, height),
            _resized(planes.u, width // 2, height // 2),
            _resized(planes.v, width // 2, height // 2),
        )


def _panels(
    explanations: Sequence[Explanation], settings: RenderSettings, shared: bool
) -> tuple[list[Panel], str]:
    """The panels with their scales, axes, and names; and the top of a shared scale as text."""
    one_method = len({one.attributions[0].method for one in explanations}) == 1
    names = [{"label": _name(one, one_method)} for one in explanations]
    if not shared:
        fields = [HeatField(one, settings.scale) for one in explanations]
        return [Panel(field, None, name) for field, name in zip(fields, names, strict=True)], ""
    tops = [float(HeatField(one, "video").ceilings.max()) for one in explanations]
    curves = [Curve.of(one) for one in explanations]
    heat_units = [1.0 if one_method else _mean(one.maps.values) for one in explanations]
    units = [1.0 if one_method else _mean(curve.values) for curve in curves]
    top = max(top / unit for top, unit in zip(tops, heat_units, strict=True))
    low = min(curve.low / unit for curve, unit in zip(curves, units, strict=True))
    high = max(curve.high / unit for curve, unit in zip(curves, units, strict=True))
    top_text = text.number(top) if one_method else f"{text.raw(float(text.number(top)))} x mean"
    fields = [
        HeatField(one, "video", top * unit)
        for one, unit in zip(explanations, heat_units, strict=True)
    ]
    high_text = top_text + "+" * any(field.cut for field in fields)
    # The bar of contours has other texts.
    high_end = {} if settings.view == "contour" else {"high": high_text}
    panels = [
        Panel(field, (low * unit, high * unit), name | high_end)
        for field, unit, name in zip(fields, units, names, strict=True)
    ]
    return panels, top_text


def _name(explanation: Explanation, one_method: bool) -> str:
    """The class, or the method and the class."""
    label = explanation.prediction.label
    words = label if one_method else f"{explanation.attributions[0].method}: {label}"
    return text.drawable(words)


def _mean(values: Float32 | Float64) -> float:
    """Mean of the positive evidence; 1 if there is none."""
    return float(np.nanmean(np.maximum(values, 0))) or 1.0


class _Difference(HeatField):
    """Difference of the levels of two fields; 0.5 means equal."""

    def __init__(self, explanation: Explanation, first: HeatField, second: HeatField) -> None:
        super().__init__(explanation, "video")
        self._fields = first, second

    def at(self, time_s: float) -> Float32 | None:
        """The levels [h, w] at a time, None where no clip reaches."""
        first, second = (field.at(time_s) for field in self._fields)
        if first is None or second is None:
            return None
        return np.asarray((1 + first - second) / 2, np.float32)


def _difference(
    pair: Sequence[Explanation],
    panels: Sequence[Panel],
    top: str,
    settings: RenderSettings,
    picture: tuple[int, int],
) -> Painter:
    """The panel of the difference: warm where the first has more, cold where the second has."""
    extents = [max(map(abs, panel.axis or (1.0,))) for panel in panels]
    scores = [Curve.of(one).values / extent for one, extent in zip(pair, extents, strict=True)]
    values = np.asarray(scores[0] - scores[1], np.float32)
    explanation = replace(
        pair[0],
        frames=replace(pair[0].frames, score=values, weighted_score=values),
        temporal=replace(pair[0].temporal, flat=False),
        spatial=replace(pair[0].spatial, flat=False),
    )
    methods = [one.attributions[0].method for one in pair]
    names = methods if methods[0] != methods[1] else [one.prediction.label for one in pair]
    words = {
        "label": text.drawable(" - ".join(names)),
        "answer": "",
        "method": text.drawable("warm: more {}, cold: more {}".format(*names)),
        "low": f"-{top}",
        "high": f"+{top}",
    }
    field = _Difference(pair[0], panels[0].field, panels[1].field)
    settings = replace(
        settings,
        view="map" if settings.view == "map" else "heat",  # contours cannot show a sign
        colormap=cast("Any", DIFFERENCE),  # not a user setting: it is a diverging map
    )
    panel = Panel(field, (-1.0, 1.0), words)
    return Painter(explanation, settings, picture, panel)


def grid(count: int, aspect: float) -> tuple[int, int]:
    """Columns and rows for `count` pictures that come nearest to a wide screen."""

    def cost(columns: int) -> float:
        rows = math.ceil(count / columns)
        empty = columns * rows - count
        return abs(math.log(columns * aspect / rows / _SHAPE)) + _EMPTY * empty

    columns = min(range(1, count + 1), key=cost)
    return columns, math.ceil(count / columns)


def _resized(plane: UInt8, width: int, height: int) -> UInt8:
    if plane.shape == (height, width):
        return plane
    return np.asarray(Image.fromarray(plane).resize((width, height), Image.Resampling.BOX))
