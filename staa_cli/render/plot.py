"""Explanation -> PNG of its temporal curve, to be put into a paper or a message."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from staa_cli.render import text
from staa_cli.render.curve import Curve, Point, unseen
from staa_cli.render.layout import Box, shorten
from staa_cli.render.stills import write_png
from staa_cli.render.strip import hatch
from staa_cli.schema import Explanation

_SIZE = (1600, 680)
_AREA = Box(120, 130, 1560, 560)
_SMOOTH = 3
_FONT_PX, _TITLE_PX = 26, 36

_PAPER = (255, 255, 255, 255)
_INK = (25, 25, 30, 255)
_SOFT = (105, 105, 115, 255)
_GRID = (226, 226, 230, 255)
_HATCH = (206, 206, 212, 255)
_MOMENT = (255, 238, 205, 255)
_WEIGHTED = (203, 83, 24, 255)
_FILL = (238, 140, 60, 120)
_RAW = (70, 90, 160, 255)


def plot(explanation: Explanation, path: Path) -> None:
    """Writes the curve as a PNG: score and weighted score over seconds, moments shaded.

    Where a model answers with a raw value, both are the same, and one line is drawn.

    Raises:
        OutputError: the file cannot be written.
    """
    image = plot_image(explanation)
    write_png(image, path)


def plot_image(explanation: Explanation) -> Image.Image:
    """An explanation in, the picture of its curve out: RGB, 1600 x 680."""
    image = Image.new("RGBA", _SIZE, _PAPER)
    raw, weighted = Curve.of(explanation, weighted=False), Curve.of(explanation)
    image.paste(_shapes(explanation, raw, weighted), _AREA[:2])
    ImageDraw.Draw(image).rectangle((*_AREA[:2], _AREA.right, _AREA.bottom), outline=_SOFT)
    _write_titles(image, explanation)
    _write_times(image, weighted)
    _write_values(image, _shared(raw, weighted))
    _write_moments(image, explanation, weighted)
    _write_key(image, explanation)
    return image.convert("RGB")


def _shared(raw: Curve, weighted: Curve) -> Curve:
    """The raw curve on the axis that both share."""
    low, high = min(raw.low, weighted.low), max(raw.high, weighted.high)
    return replace(raw, low=low, high=high)


def _shapes(explanation: Explanation, raw: Curve, weighted: Curve) -> Image.Image:
    width, height = _AREA.width * _SMOOTH, _AREA.height * _SMOOTH
    image = Image.new("RGBA", (width, height), _PAPER)
    draw = ImageDraw.Draw(image)
    axis = _shared(raw, weighted)
    for moment in explanation.moments:
        left, right = axis.x(moment.start_s, width), axis.x(moment.end_s, width)
        draw.rectangle((left, 0, max(right, left + 3 * _SMOOTH), height), _MOMENT)
    for start, stop in unseen(explanation):
        gap = Box(round(axis.x(start, width)), 0, round(axis.x(stop, width)), height)
        if gap.width > 3 * _SMOOTH:
            hatch(draw, gap, 12 * _SMOOTH, _HATCH, _SMOOTH)
    zero = _at(axis, 0, height)
    for value in value_steps(axis.low, axis.high):
        draw.line([(0, _at(axis, value, height)), (width, _at(axis, value, height))], _GRID, 3)
    own = replace(weighted, low=axis.low, high=axis.high)
    for line in _points(own, width, height):
        fill = Image.new("RGBA", image.size)
        ImageDraw.Draw(fill).polygon([(line[0][0], zero), *line, (line[-1][0], zero)], _FILL)
        image.alpha_composite(fill)
        draw = ImageDraw.Draw(image)
        draw.line(line, _WEIGHTED, 3 * _SMOOTH, joint="curve")
    if explanation.prediction.is_probability:  # or the other line is the same
        for line in _points(axis, width, height):
            draw.line(line, _RAW, 2 * _SMOOTH, joint="curve")
    for time in explanation.frames.times_s[explanation.frames.seen]:
        x = axis.x(float(time), width)
        draw.rectangle((x, height - 12 * _SMOOTH, x + _SMOOTH - 1, height), _INK)
    return image.reduce(_SMOOTH)


_HEADROOM = 0.94
"""Of the area's height is for the curve, the rest stays free above it."""


def _at(axis: Curve, value: float, height: float) -> float:
    return axis.y(value, _HEADROOM * height) + (1 - _HEADROOM) * height


def _points(curve: Curve, width: float, height: float) -> list[list[Point]]:
    shift = (1 - _HEADROOM) * height
    lines = curve.points(width, _HEADROOM * height)
    return [[(x, y + shift) for x, y in line] for line in lines]


def value_steps(low: float, high: float, parts: int = 4) -> list[float]:
    """Round numbers from low to high, about that many parts apart."""
    step = _round_step((high - low) / parts)
    first, last = int(np.ceil(low / step)), int(np.floor(high / step + 1e-9))
    return [i * step for i in range(first, last + 1)]


def time_steps(duration_s: float, parts: int = 10) -> list[float]:
    """Round times from 0 to the end: seconds by 1, 2, 5, then 15 s, 30 s, minutes."""
    rough = duration_s / parts
    longer = [s for s in (15, 30, 60, 120, 300, 600, 1800, 3600) if s >= rough]
    step = _round_step(rough) if rough <= 10 else longer[0] if longer else _round_step(rough)
    return [i * step for i in range(int(duration_s / step + 1e-9) + 1)]


def _round_step(rough: float) -> float:
    magnitude = 10.0 ** np.floor(np.log10(rough))
    return float(next(m * magnitude for m in (1, 2, 5, 10) if m * magnitude >= rough * 0.999))


def _write_titles(image: Image.Image, explanation: Explanation) -> None:
    prediction = explanation.prediction
    answer = f"  {text.answer(prediction.score, prediction.output)}"
    room = _SIZE[0] - 2 * 40 - text.measure(answer, _TITLE_PX)
    label = shorten(text.drawable(prediction.label), room, _TITLE_PX, text.measure)
    text.write(image, Box(40, 24, _SIZE[0] - 40, 68), label + answer, _TITLE_PX, _INK)
    line = shorten(text.drawable(facts_line(explanation)), 1000, _FONT_PX, text.measure)
    text.write(image, Box(40, 74, _SIZE[0] - 40, 112), line, _FONT_PX, _SOFT)


def facts_line(explanation: Explanation) -> str:
    """Method, model, and file of an explanation, and whether its curve is flat."""
    methods = sorted({attribution.method for attribution in explanation.attributions})
    parts = [*methods, explanation.model.name, Path(explanation.video.path).name]
    if explanation.temporal.flat:
        variation = explanation.temporal.coefficient_of_variation
        parts.append(
            "flat: the picture hardly changes"
            if explanation.temporal.still
            else f"flat: varies by {100 * variation:.1f} % only"
        )
    return " · ".join(parts)


def _write_times(image: Image.Image, curve: Curve) -> None:
    steps = [step for step in time_steps(curve.end_s) if step >= curve.start_s - 1e-9]
    apart = steps[1] if len(steps) > 1 else 1.0
    decimals = max(0, -int(np.floor(np.log10(apart))))
    for step in steps:
        words = text.clock(step, curve.end_s, decimals)
        x = round(_AREA.left + curve.x(step, _AREA.width))
        half = round(text.measure(words, _FONT_PX) / 2)
        ImageDraw.Draw(image).line((x, _AREA.bottom, x, _AREA.bottom + 8), _SOFT, 2)
        place = Box(x - half, _AREA.bottom + 10, x + half, _AREA.bottom + 46)
        text.write(image, place, words, _FONT_PX, _SOFT)


def _write_values(image: Image.Image, axis: Curve) -> None:
    for value in value_steps(axis.low, axis.high):
        words = text.number(value)
        width = round(text.measure(words, _FONT_PX))
        y = round(_AREA.top + _at(axis, value, _AREA.height))
        place = Box(_AREA.left - 12 - width, y - 18, _AREA.left - 12, y + 18)
        text.write(image, place, words, _FONT_PX, _SOFT)


def _write_moments(image: Image.Image, explanation: Explanation, curve: Curve) -> None:
    """Ranks the moments at their peaks; a number that would touch an earlier one is left out."""
    taken: list[int] = []
    for rank, moment in enumerate(explanation.moments, start=1):
        x = round(_AREA.left + curve.x(moment.peak_s, _AREA.width))
        if all(abs(x - other) > 1.5 * _FONT_PX for other in taken):
            taken.append(x)
            half = round(text.measure(str(rank), _FONT_PX) / 2)
            place = Box(x - half, _AREA.top + 2, x + half, _AREA.top + 32)
            text.write(image, place, str(rank), _FONT_PX, _INK)


def _write_key(image: Image.Image, explanation: Explanation) -> None:
    """What the lines and fillings mean, below the axis."""
    draw = ImageDraw.Draw(image)
    left, top = _AREA.left, _AREA.bottom + 66
    units = explanation.attributions[0].units
    score = shorten(text.drawable(f"score ({units})"), 500, _FONT_PX, text.measure)
    weighed = explanation.prediction.is_probability
    lines = [(0, "score x p(label)"), (1, score)] if weighed else [(0, score)]
    for kind, words in (*lines, (2, "moment"), (3, "not seen"), (4, "seen frame")):
        swatch = Box(left, top, left + 44, top + 24)
        _swatch(draw, kind, swatch)
        width = round(text.measure(words, _FONT_PX))
        place = Box(swatch.right + 12, top - 6, swatch.right + 12 + width, top + 30)
        text.write(image, place, words, _FONT_PX, _SOFT)
        left = place.right + 40


def _swatch(draw: ImageDraw.ImageDraw, kind: int, box: Box) -> None:
    middle = (box.top + box.bottom) // 2
    if kind < 2:
        draw.line((box.left, middle, box.right, middle), (_WEIGHTED, _RAW)[kind], 4)
    elif kind == 2:
        draw.rectangle(box, _MOMENT)
    elif kind == 3:
        hatch(draw, box, 10, _SOFT, 1)
    else:
        draw.line((box.right - 6, box.top + 6, box.right - 6, box.bottom - 4), _INK, 2)
