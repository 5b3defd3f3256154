"""Where everything stands on an annotated picture: pure arithmetic on sizes and text widths."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

Measure = Callable[[str, int], float]
"""A text and a font size in pixels in, its width in pixels out."""

ELLIPSIS = "…"
_LINE = 1.35
"""Height of a line of text, in font sizes."""
_STRIP_SHARE = 0.45
"""The strip may hide this much of a picture's height at most."""
_TITLE_SHARE = 0.4
"""The title takes a second line only where both hide no more than this of what the strip leaves."""


class Box(NamedTuple):
    """A rectangle in pixels; right and bottom stand just outside."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        """In pixels."""
        return self.right - self.left

    @property
    def height(self) -> int:
        """In pixels."""
        return self.bottom - self.top


@dataclass(frozen=True, slots=True)
class Texts:
    """What is to be written; `label` may be cut, the rest is written whole or left out."""

    label: str
    answer: str
    method: str
    clock: str
    """The longest text that the clock will show."""
    low: str
    high: str


@dataclass(frozen=True, slots=True)
class Title:
    """Plate at the top left with the label and, below it, the method."""

    plate: Box
    label: Box
    label_text: str
    method: Box | None
    method_text: str


@dataclass(frozen=True, slots=True)
class Legend:
    """The colour bar between its two numbers."""

    low: Box
    bar: Box
    high: Box


@dataclass(frozen=True, slots=True)
class Strip:
    """Plate of full width at the bottom with the curve and, above it, clock and legend."""

    plate: Box
    curve: Box
    clock: Box | None
    legend: Legend | None


@dataclass(frozen=True, slots=True)
class Layout:
    """All parts of an annotated picture; None where there is no room."""

    font_px: int
    title_px: int
    title: Title | None
    strip: Strip | None

    def boxes(self) -> dict[str, Box]:
        """Everything that must not touch anything else, by name; plates are left out."""
        found: dict[str, Box | None] = {}
        if self.title:
            found |= {"label": self.title.label, "method": self.title.method}
        if self.strip:
            found |= {"curve": self.strip.curve, "clock": self.strip.clock}
            legend = self.strip.legend
            found |= {"low": legend.low, "bar": legend.bar, "high": legend.high} if legend else {}
        return {name: box for name, box in found.items() if box is not None}


def font_size(width: int, height: int) -> int:
    """Pixels of a font that can be read on a picture of this size."""
    return max(10, round(0.032 * min(width, height)))


def plan(size: tuple[int, int], font_px: int, texts: Texts, measure: Measure) -> Layout:
    """Width and height of the picture in, the place of every part out.

    What does not fit is left out, the least important first.
    """
    title_px = round(1.2 * font_px)
    strip = _strip(size, font_px, texts, measure)
    floor = strip.plate.top if strip else size[1]
    title = _title((size[0], floor), font_px, title_px, texts, measure)
    return Layout(font_px, title_px, title, strip)


def shorten(text: str, width_px: float, font_px: int, measure: Measure) -> str:
    """The text, or as much of its start as fits with an ellipsis; empty where nothing fits."""
    if measure(text, font_px) <= width_px:
        return text
    for end in range(len(text) - 1, 0, -1):
        cut = text[:end].rstrip() + ELLIPSIS
        if measure(cut, font_px) <= width_px:
            return cut
    return ""


def _margin(font_px: int) -> int:
    return max(3, font_px // 2)


def _line(font_px: int) -> int:
    return round(_LINE * font_px)


def _strip(size: tuple[int, int], font_px: int, texts: Texts, measure: Measure) -> Strip | None:
    width, height = size
    margin, line = _margin(font_px), _line(font_px)
    gap = max(2, margin // 2)
    curve_px = max(14, round(2.2 * font_px))
    bare = 2 * margin + curve_px
    row = line + gap
    if bare > _STRIP_SHARE * height or width < 4 * margin:
        return None
    if bare + row > _STRIP_SHARE * height:
        row = 0
    top = (height - bare - row) // 2 * 2
    plate = Box(0, top, width, height)
    bottom = height - margin
    curve = Box(margin, bottom - curve_px, width - margin, bottom)
    if not row:
        return Strip(plate, curve, None, None)
    clock = _clock(
        Box(margin, top + margin, width - margin, top + margin + line), texts, font_px, measure
    )
    taken = clock.right + 2 * margin if clock else margin
    free = Box(taken, top + margin, width - margin, top + margin + line)
    return Strip(plate, curve, clock, _legend(free, font_px, texts, measure))


def _clock(row: Box, texts: Texts, font_px: int, measure: Measure) -> Box | None:
    right = row.left + _ceil(measure(texts.clock, font_px))
    return row._replace(right=right) if right <= row.right else None


def _legend(free: Box, font_px: int, texts: Texts, measure: Measure) -> Legend | None:
    gap = max(4, font_px // 2)
    low, high = (_ceil(measure(text, font_px)) for text in (texts.low, texts.high))
    bar = min(8 * font_px, free.width - low - high - 2 * gap)
    if bar < 2 * font_px:
        return None
    numbers = Box(free.right - high, free.top, free.right, free.bottom)
    inset = round(0.28 * free.height)
    scale = Box(numbers.left - gap - bar, free.top + inset, numbers.left - gap, free.bottom - inset)
    return Legend(
        Box(scale.left - gap - low, free.top, scale.left - gap, free.bottom), scale, numbers
    )


def _title(
    size: tuple[int, int], font_px: int, title_px: int, texts: Texts, measure: Measure
) -> Title | None:
    width, height = size
    margin = _margin(font_px)
    left = top = 2 * margin
    room = width - 2 * left
    tail = f"  {texts.answer}"
    label = shorten(texts.label, room - measure(tail, title_px), title_px, measure)
    bottom = top + _line(title_px)
    if not label or bottom + margin > height:
        return None
    text = label + tail
    label_box = Box(left, top, left + _ceil(measure(text, title_px)), bottom)
    below = shorten(texts.method, room, font_px, measure)
    method_px = _ceil(measure(below, font_px))
    method = Box(left, bottom, left + method_px, bottom + _line(font_px))
    fits = below and method.bottom + margin <= _TITLE_SHARE * height
    last = method if fits else label_box
    right = max(label_box.right, last.right)
    plate = Box(margin, margin, right + margin, last.bottom + margin)
    return Title(plate, label_box, text, method if fits else None, below)


def _ceil(value: float) -> int:
    return int(-(-value // 1))
