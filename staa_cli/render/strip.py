"""The strip and the title as translucent pictures, drawn once, and the moving playhead."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw

from staa_cli.render import text
from staa_cli.render.color import DIFFERENCE, colormap
from staa_cli.render.curve import Curve, Point, unseen
from staa_cli.render.heat import legend
from staa_cli.render.layer import BLACK, GREY, WHITE, Canvas, Layer
from staa_cli.render.layout import SEPARATOR, Box, Layout, Legend, Strip, Texts, Title
from staa_cli.render.text import RGBA, write
from staa_cli.schema import Explanation, UInt8

if TYPE_CHECKING:
    from staa_cli.config.settings import RenderSettings

_PLATE: RGBA = (11, 11, 11, 176)
_TEXT: RGBA = (245, 245, 245, 255)
_FAINT: RGBA = (205, 205, 210, 255)
_HATCH: RGBA = (205, 205, 210, 120)
_TICK: RGBA = (235, 235, 235, 200)
_SMOOTH = 3
"""Shapes are drawn larger by this factor and scaled down."""


def texts_of(explanation: Explanation, low: str, high: str, note: str) -> Texts:
    """The texts of an explanation in characters of the font; `low`, `high`, `note` are kept."""
    prediction = explanation.prediction
    methods = {attribution.method for attribution in explanation.attributions}
    coverage = explanation.coverage
    seen = f"{text.percent(coverage.seen_share)} of frames seen"
    reached = f"{text.percent(coverage.covered_share)} covered"
    doubts = text.doubts(explanation)
    method = SEPARATOR.join([*sorted(methods), explanation.model.name, *doubts, seen, reached])
    total = Curve.of(explanation).end_s
    return Texts(
        label=text.drawable(prediction.label),
        answer=text.answer(prediction.score, prediction.output),
        method=text.drawable(method),
        clock=clock_text(total, total),
        low=low,
        high=high,
        note=note,
    )


def clock_text(time_s: float, total: float) -> str:
    """The time of the frame and the duration."""
    return f"{text.clock(time_s, total)} / {text.clock(total, total)}"


def title_image(title: Title, layout: Layout, texts: Texts) -> Image.Image:
    """The plate with label and method."""
    image = Image.new("RGBA", (title.plate.width, title.plate.height), _plate(layout))
    write(image, within(title.label, title.plate), title.label_text, layout.title_px, _TEXT)
    if title.method:
        write(image, within(title.method, title.plate), title.method_text, layout.font_px, _FAINT)
    return image


def strip_image(
    strip: Strip,
    layout: Layout,
    texts: Texts,
    explanation: Explanation,
    settings: RenderSettings,
    axis: tuple[float, float] | None = None,
) -> Image.Image:
    """The plate with curve and legend, without the playhead; `axis` replaces the curve's range."""
    plate, colors = _plate(layout), settings.colormap
    image = Image.new("RGBA", (strip.plate.width, strip.plate.height), plate)
    area = within(strip.curve, strip.plate)
    curve = Curve.of(explanation)
    if axis:
        curve = replace(curve, low=axis[0], high=axis[1])
    picture = _curve_image(area, layout.font_px, explanation, colors, curve, plate)
    image.paste(picture, area[:2])
    if explanation.temporal.flat:
        write(image, _flat_box(area, layout.font_px), "flat", layout.font_px, _TEXT)
    if strip.legend:
        _draw_legend(image, strip.legend, strip.plate, layout, texts, legend(settings))
    return image


def _plate(layout: Layout) -> RGBA:
    """Background of text and curve; translucent if it is over the picture."""
    return (*_PLATE[:3], 255) if layout.place == "below" else _PLATE


def within(box: Box, plate: Box) -> Box:
    """A box relative to the corner of its plate."""
    x, y = plate.left, plate.top
    return Box(box.left - x, box.top - y, box.right - x, box.bottom - y)


def hatch(draw: ImageDraw.ImageDraw, box: Box, step_px: int, color: RGBA, width: int) -> None:
    """Draw diagonal lines in a box, cut at its edges."""
    height = box.height
    for foot in range(box.left - box.left % step_px - height, box.right, step_px):
        start, stop = max(foot, box.left), min(foot + height, box.right)
        if start < stop:
            ends = [(start, box.bottom - (start - foot)), (stop, box.bottom - (stop - foot))]
            draw.line(ends, color, width)


def _flat_box(area: Box, font_px: int) -> Box:
    width = round(text.measure("flat", font_px))
    return Box(area.right - width - font_px // 2, area.top, area.right, area.top + area.height // 2)


def _draw_legend(
    image: Image.Image, place: Legend, plate: Box, layout: Layout, texts: Texts, colors: UInt8
) -> None:
    write(image, within(place.low, plate), texts.low, layout.font_px, _FAINT)
    write(image, within(place.high, plate), texts.high, layout.font_px, _FAINT)
    bar = within(place.bar, plate)
    image.paste(color_bar(bar.width, bar.height, colors), bar[:2])
    ImageDraw.Draw(image).rectangle((bar[0] - 1, bar[1] - 1, bar[2], bar[3]), outline=_HATCH)


def color_bar(width: int, height: int, colors: UInt8) -> Image.Image:
    """Colors [rows, columns, 3] resized to a picture: smooth, or in steps if there are few."""
    smooth = colors.shape[1] > 16
    resampling = Image.Resampling.BILINEAR if smooth else Image.Resampling.NEAREST
    return Image.fromarray(colors).resize((width, height), resampling)


def _curve_image(
    area: Box, font_px: int, explanation: Explanation, colors: str, curve: Curve, plate: RGBA
) -> Image.Image:
    """The curve, filled, with hatched gaps, and ticks of seen frames if there is room."""
    width, height = area.width * _SMOOTH, area.height * _SMOOTH
    stroke = max(1, round(font_px / 9)) * _SMOOTH
    image = Image.new("RGBA", (width, height), plate)
    lines = _inner(curve, width, height, stroke)
    zero = curve.y(0, height - 2 * stroke) + stroke
    draw = ImageDraw.Draw(image)
    for line in lines:
        outline = [(line[0][0], zero), *line, (line[-1][0], zero)]
        mask = fill_mask((width, height), outline)
        image.paste((*shade(colors, 168), 235), (0, 0), mask)
        if curve.low < 0:
            below = (0, round(zero), width, height)
            image.paste((*shade(colors, -168), 235), below[:2], mask.crop(below))
    for gap in unseen_boxes(explanation, curve, width, height, 2 * _SMOOTH):
        hatch(draw, gap, 7 * stroke, _HATCH, stroke)
    signed = curve.low < 0
    level = (*_FAINT[:3], 255 if signed else 150)
    draw.line([(0, zero), (width, zero)], level, stroke if signed else max(1, stroke // 2))
    for line in lines:
        draw.line(line, shade(colors, 224), stroke, joint="curve")
    for x in _ticks(curve, explanation, area.width):
        left = x * _SMOOTH
        draw.rectangle((left, height - 3 * stroke, left + _SMOOTH - 1, height), _TICK)
    return image.reduce(_SMOOTH)


def shade(colors: str, level: int) -> tuple[int, int, int]:
    """The RGB color of a level -255 to 255; negative ones are dark, or have the other hue."""
    index = (255 + level) // 2 if colors == DIFFERENCE else max(level, 80)
    red, green, blue = (int(channel) for channel in colormap(colors)[index])
    return red, green, blue


def unseen_boxes(
    explanation: Explanation, curve: Curve, width: int, height: int, min_px: int
) -> list[Box]:
    """Boxes of the spans that no clip covers if wider than `min_px`, on an area of that size."""
    spans = [
        (round(curve.x(start, width)), round(curve.x(stop, width)))
        for start, stop in unseen(explanation)
    ]
    return [Box(left, 0, right, height) for left, right in spans if right - left > min_px]


def fill_mask(size: tuple[int, int], outline: list[Point]) -> Image.Image:
    """Opacity of the area under a curve."""
    mask = Image.new("L", size)
    ImageDraw.Draw(mask).polygon(outline, 205)
    return mask


def _inner(curve: Curve, width: int, height: int, stroke: int) -> list[list[Point]]:
    """The curve's lines, inset by a stroke at the upper and lower edge."""
    lines = curve.points(width, height - 2 * stroke)
    return [[(x, y + stroke) for x, y in line] for line in lines]


def _ticks(curve: Curve, explanation: Explanation, width: int) -> list[int]:
    """Columns of the frames that the model saw; none if they would overlap."""
    seen = curve.times_s[explanation.frames.seen]
    columns = sorted({round(curve.x(time, width)) for time in seen})
    if len(columns) < len(seen) or 4 * len(columns) > width:
        return []
    return columns


class Playhead:
    """The line at the current time, the dot on the curve, and the clock."""

    def __init__(
        self,
        strip: Strip,
        layout: Layout,
        explanation: Explanation,
        hd: bool,
        clock: Callable[[float], str] | None = None,
    ) -> None:
        self._strip, self._font_px, self._hd = strip, layout.font_px, hd
        self._curve = Curve.of(explanation)
        self._clock = clock or (lambda time_s: clock_text(time_s, self._curve.end_s))
        self._width = max(1, round(layout.font_px / 12))
        self._text_layers: dict[Box, tuple[str, Layer]] = {}

    def x(self, time_s: float) -> int:
        """Left column of the line in the picture."""
        area = self._strip.curve
        return area.left + round(self._curve.x(time_s, area.width))

    def draw(self, canvas: Canvas, time_s: float, note: str) -> None:
        """Draw the line and, where there is room, clock and note into a frame."""
        area, left = self._strip.curve, self.x(time_s)
        right, edge = left + self._width, max(1, self._width // 2)
        top, bottom = area.top - 1, area.bottom + 1
        canvas.y[top:bottom, max(left - edge, 0) : right + edge] = BLACK
        canvas.y[top:bottom, left:right] = WHITE
        for plane in (canvas.u, canvas.v):
            plane[top // 2 : (bottom + 1) // 2, left // 2 : (right + 1) // 2] = GREY
        for box, words in ((self._strip.clock, self._clock(time_s)), (self._strip.note, note)):
            if box and words:
                self._text(box, words).over(canvas)

    def _text(self, box: Box, words: str) -> Layer:
        """The text of a box as a layer, cached until it changes."""
        if box not in self._text_layers or self._text_layers[box][0] != words:
            image = Image.new("RGBA", (box.width, box.height), (*_TEXT[:3], 0))
            write(image, Box(0, 0, *image.size), words, self._font_px, _TEXT)
            self._text_layers[box] = words, Layer.of(image, box.left, box.top, self._hd)
        return self._text_layers[box][1]
