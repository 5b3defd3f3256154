"""A benchmark's result -> PNG: how good each method is, against what it costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log10
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from staa_cli.render import text
from staa_cli.render.layout import Box
from staa_cli.render.plot import value_steps
from staa_cli.render.stills import write_png

_SIZE = (1600, 900)
_AREA = Box(130, 130, 1400, 780)
_SMOOTH = 3
_FONT_PX, _TITLE_PX = 26, 36
_PAPER, _GRID = (255, 255, 255), (226, 226, 230)
_INK, _SOFT = (25, 25, 30, 255), (105, 105, 115, 255)
_OWN, _OTHER, _BASELINE = (203, 83, 24), (70, 90, 160), (120, 120, 130)

Point = tuple[str, float, Mapping[str, Any]]
"""(method, forward passes, row of the result)."""


def scatter(result: Mapping[str, Any], costs: Mapping[str, float], metric: str, path: Path) -> None:
    """Writes the picture; methods without a cost stand at the left edge.

    Raises:
        OutputError: the file cannot be written.
    """
    write_png(scatter_image(result, costs, metric), path)


def scatter_image(
    result: Mapping[str, Any], costs: Mapping[str, float], metric: str
) -> Image.Image:
    """A result, forward passes by method, and a metric in, the picture out: RGB, 1600 x 900."""
    points = [
        (row["method"], costs[row["method"]], row)
        for row in result["results"]
        if row["metric"] == metric
    ]
    low = min([0.0, *(row["low"] for _, _, row in points)])
    high = max(row["high"] for _, _, row in points)
    high += 0.06 * (high - low)
    most = max([10.0, *(cost for _, cost, _ in points)])
    image = Image.new("RGB", _SIZE, _PAPER)
    image.paste(_marks(points, low, high, most), _AREA[:2])
    ImageDraw.Draw(image).rectangle((*_AREA[:2], _AREA.right, _AREA.bottom), outline=_SOFT)
    head = f"{metric} against cost: {result['model']} on {result['dataset']}"
    text.write(image, Box(40, 30, _SIZE[0] - 40, 76), head, _TITLE_PX, _INK)
    words = f"mean and 95 % interval over {result['scored']} clips"
    text.write(image, Box(40, 80, _SIZE[0] - 40, 116), words, _FONT_PX, _SOFT)
    _write_axes(image, low, high, most)
    _write_names(image, points, low, high, most)
    return image


def _x(cost: float, most: float) -> float:
    """0 to 1: nothing at the left, then forward passes on a logarithmic axis."""
    return 0.03 if cost < 1 else 0.12 + 0.8 * log10(cost) / log10(most)


def _y(value: float, low: float, high: float) -> float:
    return 1 - (value - low) / (high - low)


def _colour(method: str, cost: float) -> tuple[int, int, int]:
    return _BASELINE if cost < 1 else _OWN if cost == 1 else _OTHER


def _marks(points: Sequence[Point], low: float, high: float, most: float) -> Image.Image:
    width, height = _AREA.width * _SMOOTH, _AREA.height * _SMOOTH
    image = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(image)
    for value in value_steps(low, high):
        y = _y(value, low, high) * height
        draw.line([(0, y), (width, y)], _GRID, 3)
    for method, cost, row in points:
        x, colour = _x(cost, most) * width, _colour(method, cost)
        ends = [(x, _y(row[end], low, high) * height) for end in ("low", "high")]
        draw.line(ends, colour, 3 * _SMOOTH)
        y, size = _y(row["mean"], low, high) * height, 9 * _SMOOTH
        draw.ellipse((x - size, y - size, x + size, y + size), colour)
    return image.reduce(_SMOOTH)


def _write_axes(image: Image.Image, low: float, high: float, most: float) -> None:
    for value in value_steps(low, high):
        words = text.number(value)
        y = round(_AREA.top + _y(value, low, high) * _AREA.height)
        width = round(text.measure(words, _FONT_PX))
        place = Box(_AREA.left - 14 - width, y - 18, _AREA.left - 14, y + 18)
        text.write(image, place, words, _FONT_PX, _SOFT)
    ticks = [(0.0, "0")]
    ticks += [(10.0**power, f"{10**power:,}") for power in range(5) if 10**power <= most]
    for cost, words in ticks:
        x = round(_AREA.left + _x(cost, most) * _AREA.width)
        half = round(text.measure(words, _FONT_PX) / 2)
        place = Box(x - half, _AREA.bottom + 12, x + half, _AREA.bottom + 48)
        text.write(image, place, words, _FONT_PX, _SOFT)
    words = "forward passes a clip"
    left = _AREA.right - round(text.measure(words, _FONT_PX))
    place = Box(left, _AREA.bottom + 56, _AREA.right, _AREA.bottom + 92)
    text.write(image, place, words, _FONT_PX, _SOFT)


def _write_names(
    image: Image.Image, points: Sequence[Point], low: float, high: float, most: float
) -> None:
    """Names beside their marks, pushed down where they would touch one above."""
    columns: dict[int, list[Point]] = {}
    for point in points:
        columns.setdefault(round(_x(point[1], most) * 20), []).append(point)
    for group in columns.values():
        floor = float(_AREA.top)
        for method, cost, row in sorted(group, key=lambda point: -point[2]["mean"]):
            y = max(_AREA.top + _y(row["mean"], low, high) * _AREA.height, floor)
            floor = y + 1.15 * _FONT_PX
            left = round(_AREA.left + _x(cost, most) * _AREA.width) + 20
            right = left + round(text.measure(method, _FONT_PX))
            place = Box(left, round(y) - 18, right, round(y) + 18)
            text.write(image, place, method, _FONT_PX, (*_colour(method, cost), 255))
