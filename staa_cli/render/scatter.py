"""A benchmark's result -> PNG: how good each method is, against what it costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from math import log10
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image, ImageDraw

from staa_cli.render import text
from staa_cli.render.layout import Box, shorten
from staa_cli.render.plot import value_steps
from staa_cli.render.stills import write_png

_SIZE = (1600, 900)
_AREA = Box(110, 130, 1560, 780)
_SMOOTH = 3
_FONT_PX, _TITLE_PX = 26, 36
_DOT, _APART, _LINE = 9, 24, 34
"""Radius of a mark, from mark to mark of one cost, and from name to name, in pixels."""
_PAPER, _GRID = (255, 255, 255), (226, 226, 230)
_INK, _SOFT = (25, 25, 30, 255), (105, 105, 115, 255)
_OWN, _OTHER, _BASELINE = (203, 83, 24), (70, 90, 160), (120, 120, 130)


class Mark(NamedTuple):
    """A method in the picture; x and y in its pixels."""

    method: str
    x: int
    y: int
    interval: tuple[int, int]
    """From the upper end down to the lower."""
    colour: tuple[int, int, int]


def scatter(result: Mapping[str, Any], metric: str, path: Path) -> None:
    """Writes the picture; methods without a cost stand at the left edge.

    Raises:
        OutputError: the file cannot be written.
    """
    write_png(scatter_image(result, metric), path)


def scatter_image(result: Mapping[str, Any], metric: str) -> Image.Image:
    """A result and a metric of it in, the picture out: RGB, 1600 x 900."""
    costs = result["forwards"]
    rows = [row for row in result["results"] if row["metric"] == metric]
    low = min([0.0, *(row["low"] for row in rows)])
    high = max([0.0, *(row["high"] for row in rows)])
    margin = 0.06 * (high - low) or 1.0  # all of them may be 0
    low, high = low - margin * (low < 0), high + margin
    most = max([10.0, *(costs[row["method"]] for row in rows)])
    marks = _marks(rows, costs, low, high, most)
    places = _places(marks)
    image = Image.new("RGB", _SIZE, _PAPER)
    image.paste(_drawn(marks, places, low, high), _AREA[:2])
    ImageDraw.Draw(image).rectangle((*_AREA[:2], _AREA.right, _AREA.bottom), outline=_SOFT)
    head = f"{metric} against cost: {result['model']} on {result['dataset']}"
    head = shorten(text.drawable(head), _SIZE[0] - 80, _TITLE_PX, text.measure)
    text.write(image, Box(40, 30, _SIZE[0] - 40, 76), head, _TITLE_PX, _INK)
    words = f"mean and 95 % interval over {result['scored']} clips"
    text.write(image, Box(40, 80, _SIZE[0] - 40, 116), words, _FONT_PX, _SOFT)
    _write_axes(image, low, high, most)
    for mark, place in zip(marks, places, strict=True):
        text.write(image, place, mark.method, _FONT_PX, (*mark.colour, 255))
    return image


def _marks(
    rows: Sequence[Mapping[str, Any]],
    costs: Mapping[str, float],
    low: float,
    high: float,
    most: float,
) -> list[Mark]:
    """Where each method stands; those of about one cost stand side by side, the best one first."""
    marks = []
    ranked = sorted(rows, key=lambda row: (_x(costs[row["method"]], most), -row["mean"]))
    for x, group in groupby(ranked, lambda row: _x(costs[row["method"]], most)):
        column = list(group)
        for number, row in enumerate(column):
            cost = costs[row["method"]]
            marks.append(
                Mark(
                    row["method"],
                    x + round((number - (len(column) - 1) / 2) * _APART),
                    _y(row["mean"], low, high),
                    (_y(row["high"], low, high), _y(row["low"], low, high)),
                    _BASELINE if cost < 1 else _OWN if cost == 1 else _OTHER,
                )
            )
    return marks


def _x(cost: float, most: float) -> int:
    """Nothing at the left, then forward passes on a logarithmic axis."""
    part = 0.035 if cost < 1 else 0.2 + 0.68 * log10(cost) / log10(most)
    return round(_AREA.left + part * _AREA.width)


def _y(value: float, low: float, high: float) -> int:
    return round(_AREA.top + (1 - (value - low) / (high - low)) * _AREA.height)


def _places(marks: Sequence[Mark]) -> list[Box]:
    """Where the names stand: as near to their marks as there is room, touching nothing."""
    taken = [Box(m.x - _DOT, m.interval[0], m.x + _DOT, m.interval[1]) for m in marks]
    taken += [Box(m.x - _DOT, m.y - _DOT, m.x + _DOT, m.y + _DOT) for m in marks]
    places: list[Box] = []
    for mark in marks:
        room = _rooms(mark)
        others = [other for other in marks if other is not mark]
        free = (
            box
            for box in room
            if not any(_touch(box, other) for other in taken)
            and not any(_passes(mark, box, other) for other in others)
            and not any(_cross(mark, box, *line) for line in zip(marks, places, strict=False))
        )
        places.append(next(free, room[0]))
        taken.append(places[-1])
    return places


def _rooms(mark: Mark) -> list[Box]:
    """Where a name may stand, inside the area, the nearest first."""
    width = round(text.measure(mark.method, _FONT_PX))
    half = _LINE // 2
    found = []
    for line in range(30):
        for y in dict.fromkeys((mark.y - line * half, mark.y + line * half)):
            for across in (_DOT, _DOT + _APART, _DOT + 3 * _APART, _DOT + 5 * _APART):
                for left in (mark.x + across + 8, mark.x - across - 8 - width):
                    distance = across + 1.5 * line * half
                    found.append((distance, Box(left, y - half, left + width, y + half)))
    inside = [
        (distance, box)
        for distance, box in found
        if _AREA.left + 6 <= box.left
        and box.right <= _AREA.right - 6
        and _AREA.top + 4 <= box.top
        and box.bottom <= _AREA.bottom - 4
    ]
    return [box for _, box in sorted(inside, key=lambda each: each[0])]


def _touch(one: Box, other: Box) -> bool:
    apart_x = one.right + 4 <= other.left or other.right + 4 <= one.left
    return not (apart_x or one.bottom <= other.top or other.bottom <= one.top)


def _end(mark: Mark, place: Box) -> tuple[float, float]:
    """Where the line from a mark to its name ends."""
    x = place.left - 4 if place.left > mark.x else place.right + 4
    return x, (place.top + place.bottom) / 2


def _passes(mark: Mark, place: Box, other: Mark) -> bool:
    """Whether the line from a mark to its name runs through another mark."""
    end_x, end_y = _end(mark, place)
    along_x, along_y = end_x - mark.x, end_y - mark.y
    length = along_x**2 + along_y**2
    part = ((other.x - mark.x) * along_x + (other.y - mark.y) * along_y) / length
    part = min(max(part, 0.0), 1.0)
    gap = (mark.x + part * along_x - other.x) ** 2 + (mark.y + part * along_y - other.y) ** 2
    return gap < (_DOT + 3) ** 2


def _middle(box: Box) -> tuple[float, float]:
    return (box.left + box.right) / 2, (box.top + box.bottom) / 2


def _cross(mark: Mark, place: Box, other: Mark, there: Box) -> bool:
    """Whether the lines from two marks to the middles of their names cross.

    Whose is which could not be told then; nor where those that are drawn end just before.
    """
    a, b = (mark.x, mark.y), _middle(place)
    c, d = (other.x, other.y), _middle(there)

    def side(p: tuple[float, float], q: tuple[float, float], r: tuple[float, float]) -> float:
        return (q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0])

    return side(a, b, c) * side(a, b, d) < 0 and side(c, d, a) * side(c, d, b) < 0


def _drawn(marks: Sequence[Mark], places: Sequence[Box], low: float, high: float) -> Image.Image:
    """Grid, intervals, marks, and lines to the names that do not stand beside theirs."""

    def at(x: float, y: float) -> tuple[float, float]:
        return (x - _AREA.left) * _SMOOTH, (y - _AREA.top) * _SMOOTH

    image = Image.new("RGB", (_AREA.width * _SMOOTH, _AREA.height * _SMOOTH), _PAPER)
    draw = ImageDraw.Draw(image)
    for value in value_steps(low, high):
        y = _y(value, low, high)
        draw.line([at(_AREA.left, y), at(_AREA.right, y)], _GRID, 3)
    for mark, place in zip(marks, places, strict=True):
        draw.line([at(mark.x, mark.y), at(*_end(mark, place))], _SOFT[:3], _SMOOTH)
    for mark in marks:
        ends = [at(mark.x, y) for y in mark.interval]
        draw.line(ends, mark.colour, 3 * _SMOOTH)
        corners = at(mark.x - _DOT, mark.y - _DOT), at(mark.x + _DOT, mark.y + _DOT)
        draw.ellipse([*corners], mark.colour)
    return image.reduce(_SMOOTH)


def _write_axes(image: Image.Image, low: float, high: float, most: float) -> None:
    for value in value_steps(low, high):
        words = text.number(value)
        y, width = _y(value, low, high), round(text.measure(words, _FONT_PX))
        place = Box(_AREA.left - 14 - width, y - 18, _AREA.left - 14, y + 18)
        text.write(image, place, words, _FONT_PX, _SOFT)
    ticks = [(0.0, "0")]
    ticks += [(10.0**power, f"{10**power:,}") for power in range(5) if 10**power <= most]
    for cost, words in ticks:
        x, half = _x(cost, most), round(text.measure(words, _FONT_PX) / 2)
        place = Box(x - half, _AREA.bottom + 12, x + half, _AREA.bottom + 48)
        text.write(image, place, words, _FONT_PX, _SOFT)
    words = "forward passes a clip"
    left = _AREA.right - round(text.measure(words, _FONT_PX))
    place = Box(left, _AREA.bottom + 56, _AREA.right, _AREA.bottom + 92)
    text.write(image, place, words, _FONT_PX, _SOFT)
