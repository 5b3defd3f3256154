"""Explanation -> PNG of its deletion and insertion curves beside those of baselines."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from staa_cli.errors import OutputError
from staa_cli.render import text
from staa_cli.render.layout import Box, shorten
from staa_cli.render.plot import facts_line, value_steps
from staa_cli.render.stills import write_png
from staa_cli.schema import (
    Explanation,
    Faithfulness,
    FaithfulnessRow,
    Float32,
    Float64,
    Output,
)

_SIZE = (1600, 800)
_PANELS = (Box(110, 190, 770, 590), Box(880, 190, 1540, 590))
_MARGIN = 108
"""Left of either panel, for the numbers beside it."""
_SMOOTH = 3
_FONT_PX, _TITLE_PX = 26, 36

_PAPER = (255, 255, 255)
_INK, _SOFT = (25, 25, 30, 255), (105, 105, 115, 255)
_GRID = (226, 226, 230)
_OWN = (203, 83, 24)
_OTHERS = ((70, 90, 160), (60, 140, 110), (150, 110, 170), (120, 120, 130))


def faithfulness_plot(explanation: Explanation, path: Path) -> None:
    """Writes both curves as a PNG: on the left what is lost, on the right what comes back.

    Raises:
        OutputError: nothing was measured, or the file cannot be written.
    """
    if explanation.faithfulness is None:
        raise OutputError(
            f"{path} cannot be drawn: faithfulness was not measured", "--check or --quick-check"
        )
    write_png(faithfulness_image(explanation, explanation.faithfulness), path)


def faithfulness_image(explanation: Explanation, found: Faithfulness) -> Image.Image:
    """What was measured in, its picture out: RGB, 1600 x 800."""
    image = Image.new("RGB", _SIZE, _PAPER)
    colours = [_OWN, *_OTHERS]
    axis = _axis(explanation, found)
    for box, curves in zip(
        _PANELS,
        ([row.deletion for row in found.rows], [row.insertion for row in found.rows]),
        strict=True,
    ):
        image.paste(_panel(curves, colours, box, axis), box[:2])
        ImageDraw.Draw(image).rectangle((*box[:2], box.right, box.bottom), outline=_SOFT)
        _write_axes(image, box, axis)
    _write_words(image, explanation, found)
    _write_key(image, found, colours, explanation.prediction.output)
    return image


class _Axis(NamedTuple):
    """What both panels' heights stand for."""

    low: float
    high: float
    numbers: list[float]
    """Those that are written beside it."""
    lines: list[float]

    def part(self, values: Float32 | float) -> Float64:
        """How far up values stand, from 0 to 1."""
        return np.clip((np.asarray(values, float) - self.low) / (self.high - self.low), 0, 1)


def _axis(explanation: Explanation, found: Faithfulness) -> _Axis:
    """From 0 to 1 for probabilities; for raw values as far as they go, and a little beyond."""
    if explanation.prediction.is_probability:
        return _Axis(0.0, 1.0, [0.0, 0.5, 1.0], [0.25, 0.5, 0.75])
    values = np.concatenate(
        [curve for row in found.rows for curve in (row.deletion, row.insertion)]
    )
    low, high = float(values.min()), float(values.max())
    room = 0.05 * (high - low) or 0.5 * abs(high) or 0.5
    steps = value_steps(low - room, high + room)
    return _Axis(low - room, high + room, steps, steps)


def _panel(
    curves: list[Float32], colours: list[tuple[int, int, int]], box: Box, axis: _Axis
) -> Image.Image:
    width, height = box.width * _SMOOTH, box.height * _SMOOTH
    image = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(image)
    for y in ((1 - axis.part(value)) * (height - 1) for value in axis.lines):
        draw.line([(0, float(y)), (width, float(y))], _GRID, 3)
    for curve, colour in reversed(list(zip(curves, colours, strict=False))):
        xs = np.linspace(0, width - 1, len(curve))
        ys = (1 - axis.part(curve)) * (height - 1)
        line = list(zip(xs.tolist(), ys.tolist(), strict=True))
        draw.line(line, colour, (4 if colour == _OWN else 2) * _SMOOTH, joint="curve")
    return image.reduce(_SMOOTH)


def _write_axes(image: Image.Image, box: Box, axis: _Axis) -> None:
    for value in axis.numbers:
        words = _on_axis(value, axis)
        width = round(text.measure(words, _FONT_PX))
        y = round(box.bottom - float(axis.part(value)) * box.height)
        right = box.left - max(min(12, _MARGIN - width), 2)
        place = Box(right - width, y - 18, right, y + 18)
        text.write(image, place, words, _FONT_PX, _SOFT)
    for part in (0.0, 0.5, 1.0):
        words = f"{part:.0%}"
        half = round(text.measure(words, _FONT_PX) / 2)
        x = round(box.left + part * box.width)
        place = Box(x - half, box.bottom + 10, x + half, box.bottom + 46)
        text.write(image, place, words, _FONT_PX, _SOFT)


def _on_axis(value: float, axis: _Axis) -> str:
    """With as many decimals as tell the numbers apart; in short where there is no room for them."""
    apart = axis.numbers[1] - axis.numbers[0] if len(axis.numbers) > 1 else 1.0
    words = f"{value:z.{_decimals(apart)}f}"
    return words if text.measure(words, _FONT_PX) < _MARGIN - 12 else text.number(value)


def _decimals(value: float, digits: int = 1) -> int:
    """How many show so many digits of a value."""
    return min(max(digits - 1 - math.floor(math.log10(abs(value) or 1.0)), 0), 6)


def _write_words(image: Image.Image, explanation: Explanation, found: Faithfulness) -> None:
    own, prediction = found.rows[0], explanation.prediction
    beside = f"not above {', '.join(found.beaten_by)}" if found.beaten_by else "above all baselines"
    head = f"faithfulness {text.figure(own.faithfulness, prediction.output)}, {beside}"
    head = shorten(text.drawable(head), _SIZE[0] - 80, _TITLE_PX, text.measure)
    text.write(image, Box(40, 24, _SIZE[0] - 40, 68), head, _TITLE_PX, _INK)
    label = text.drawable(prediction.label)
    curve = f"p({label})" if prediction.is_probability else f"score of {label}"
    line = f"{curve} · {facts_line(explanation)}{' · quick check' if found.quick else ''}"
    line = shorten(text.drawable(line), _SIZE[0] - 80, _FONT_PX, text.measure)
    text.write(image, Box(40, 74, _SIZE[0] - 40, 112), line, _FONT_PX, _SOFT)
    told = (f"tokens removed ({found.fill}), most relevant first", "tokens brought back")
    for box, words in zip(_PANELS, told, strict=True):
        text.write(image, Box(box.left, 140, box.right, 176), words, _FONT_PX, _INK)


def _write_key(
    image: Image.Image,
    found: Faithfulness,
    colours: list[tuple[int, int, int]],
    output: Output,
) -> None:
    """Method, and its two areas, a column each.

    Of raw values the difference alone, where there is no room for the decimals that show one.
    """
    most = max((abs(row.faithfulness) for row in found.rows), default=0.0)
    decimals = _decimals(most, 2) if output == "identity" else 2
    draw = ImageDraw.Draw(image)
    width = (_SIZE[0] - 150) // max(len(found.rows), 1)
    for index, (row, colour) in enumerate(zip(found.rows, colours, strict=False)):
        left = _PANELS[0].left + index * width
        draw.line((left, 682, left + 44, 682), colour, 6)
        name = shorten(text.drawable(row.method), width - 80, _FONT_PX, text.measure)
        text.write(image, Box(left + 56, 664, left + width, 700), name, _FONT_PX, _INK)
        areas = _areas(row, decimals)
        if text.measure(areas, _FONT_PX) > width - 10:
            areas = text.figure(row.faithfulness, output)
        text.write(image, Box(left, 712, left + width, 748), areas, _FONT_PX, _SOFT)


def _areas(row: FaithfulnessRow, decimals: int) -> str:
    """Insertion less deletion."""
    inserted, deleted, faithfulness = (
        f"{area:z.{decimals}f}"
        for area in (row.insertion_area, row.deletion_area, row.faithfulness)
    )
    deleted = f"({deleted})" if deleted.startswith("-") else deleted
    return f"{inserted} - {deleted} = {faithfulness}"
