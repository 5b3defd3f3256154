"""Layout of an annotated picture, computed from sizes and text widths only."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

Measure = Callable[[str, int], float]
"""(text, font size in pixels) -> width in pixels."""

ELLIPSIS = "…"
SEPARATOR = " · "
"""Between items of a text that are kept or dropped as a whole."""
_LINE = 1.35
"""Height of a line of text, in font sizes."""
_CURVE_SHARE = 0.14
"""Maximum height of the curve as a share of the picture's, except for a few pixels."""
_BELOW_SHARE = 0.65
"""Maximum height of a strip below the picture as a share of the picture's."""
_OVER_SHARE = 0.25
"""Maximum share of the picture's height that a strip over it, or a title, may hide."""
_TITLE_SHARE = 0.2
"""Maximum share of the picture's height that a title with two lines may hide."""
_METHOD_SHARE = 0.4
"""Share of a row that a long label leaves to the method."""
_SMALL_PX = 200
"""Pictures with a shorter side below this use the small layout: narrow margins, no method."""
_MAX_HEIGHT_PX = 16_384
"""Maximum height in H.264; a picture that would exceed it gets the strip over it."""

Place = Literal["below", "over", "none"]


class Box(NamedTuple):
    """A rectangle in pixels; right and bottom are exclusive."""

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
    """Texts of a picture; `label` may be cut, others are written completely or left out."""

    label: str
    answer: str
    method: str
    clock: str
    """The longest text of the clock."""
    low: str
    high: str
    note: str = ""
    """The longest note next to the clock."""


@dataclass(frozen=True, slots=True)
class Title:
    """Plate with the label and the method, on the picture's corner or on the strip."""

    plate: Box
    label: Box
    label_text: str
    method: Box | None
    method_text: str


@dataclass(frozen=True, slots=True)
class Legend:
    """The color bar between its two numbers."""

    low: Box
    bar: Box
    high: Box


@dataclass(frozen=True, slots=True)
class Strip:
    """Plate of full width at the bottom with the curve and, above it, clock and legend."""

    plate: Box
    curve: Box
    clock: Box | None
    note: Box | None
    legend: Legend | None


@dataclass(frozen=True, slots=True)
class Layout:
    """All parts of an annotated picture; None where there is no room."""

    size: tuple[int, int]
    """Width and height of the picture with the strip below it."""
    font_px: int
    title_px: int
    title: Title | None
    strip: Strip | None
    place: Place
    """Where the strip was placed."""

    def boxes(self) -> dict[str, Box]:
        """All boxes that must not overlap, by name, without plates."""
        boxes: dict[str, Box | None] = {}
        if self.title:
            boxes |= {"label": self.title.label, "method": self.title.method}
        if self.strip:
            boxes |= {"curve": self.strip.curve, "clock": self.strip.clock, "note": self.strip.note}
            legend = self.strip.legend
            boxes |= {"low": legend.low, "bar": legend.bar, "high": legend.high} if legend else {}
        return {name: box for name, box in boxes.items() if box is not None}


def font_size(width: int, height: int) -> int:
    """Size in pixels of a font that is readable on a picture of this size."""
    return max(10, round(0.032 * min(width, height)))


def plan(
    size: tuple[int, int], font_px: int, texts: Texts, measure: Measure, place: Place
) -> Layout:
    """Lay out all parts for a picture of that (even) width and height.

    Parts that do not fit are left out, the least important first.
    """
    pen = _Pen(font_px, round(1.2 * font_px), 3 if min(size) < _SMALL_PX else font_px // 2, measure)
    title, strip = None, None
    if place == "below":
        title, strip = _below(size, pen, texts)
        if strip and strip.plate.bottom > _MAX_HEIGHT_PX:
            place = "over"
    if place == "over":
        strip = _over(size, pen, texts)
        title = _title(size, strip.plate.top if strip else size[1], pen, texts)
    height = strip.plate.bottom if strip else size[1]
    return Layout((size[0], height), font_px, pen.title_px, title, strip, place)


def shorten(text: str, width_px: float, font_px: int, measure: Measure) -> str:
    """The text, cut with an ellipsis if too wide; empty if nothing fits."""
    if measure(text, font_px) <= width_px:
        return text

    def cut(end: int) -> str:
        return text[:end].rstrip() + ELLIPSIS

    # Bisection: a label of a thousand letters is measured ten times, not a thousand.
    ends = range(1, len(text))
    fitting = bisect_right(ends, width_px, key=lambda end: measure(cut(end), font_px))
    return cut(ends[fitting - 1]) if fitting else ""


@dataclass(frozen=True, slots=True)
class _Pen:
    """Sizes in pixels of a layout."""

    font_px: int
    title_px: int
    margin: int
    measure: Measure

    @property
    def line(self) -> int:
        """Height of a line of text."""
        return round(_LINE * self.font_px)

    @property
    def title_line(self) -> int:
        """Height of a line of the title."""
        return round(_LINE * self.title_px)

    def width(self, text: str) -> int:
        """Width of a text in whole pixels."""
        return _ceil(self.measure(text, self.font_px))

    def title_width(self, text: str) -> int:
        """Width of a title in whole pixels."""
        return _ceil(self.measure(text, self.title_px))

    def curve(self, height: int) -> int:
        """Height of the curve for a picture of that height."""
        return min(round(2.2 * self.font_px), max(10, round(_CURVE_SHARE * height)))


def _below(size: tuple[int, int], pen: _Pen, texts: Texts) -> tuple[Title | None, Strip | None]:
    """The strip below a picture with the title: in one row with the clock, or above it."""
    width, height = size
    margin, gap = pen.margin, max(2, pen.margin // 2)
    left, right, top = margin, width - margin, height + margin
    curve_px, limit = pen.curve(height), _BELOW_SHARE * height
    used = 2 * margin + curve_px
    if used > limit or right - left < 2 * margin:
        return None, None
    title, data = None, None
    row = Box(left, top, right, top + pen.title_line)
    if used + row.height + gap <= limit:
        title = _title_row(row, pen, texts)
    if title:
        used, top = used + row.height + gap, row.bottom + gap
        rest_of_row = row._replace(left=title.plate.right + 3 * pen.font_px)
        data = _data(rest_of_row, pen, texts)
        if not (
            title.method and title.method_text == texts.method and _is_complete(data, pen, texts)
        ):
            data = None  # use a separate row
    if data is None and used + pen.line + gap <= limit:
        data = _data(Box(left, top, right, top + pen.line), pen, texts)
        if any(data):
            used += pen.line + gap
    bottom = height + used + used % 2
    plate = Box(0, height, width, bottom)
    curve = Box(left, bottom - margin - curve_px, right, bottom - margin)
    return title, Strip(plate, curve, *(data or (None, None, None)))


def _over(size: tuple[int, int], pen: _Pen, texts: Texts) -> Strip | None:
    """The strip over the bottom of a picture."""
    width, height = size
    margin, gap = pen.margin, max(2, pen.margin // 2)
    curve_px, limit = pen.curve(height), _OVER_SHARE * height
    bare, row = 2 * margin + curve_px, pen.line + gap
    if bare > limit or width < 4 * margin:
        return None
    if bare + row > limit:
        row = 0
    top = (height - bare - row) // 2 * 2
    plate = Box(0, top, width, height)
    curve = Box(margin, height - margin - curve_px, width - margin, height - margin)
    if not row:
        return Strip(plate, curve, None, None, None)
    line = Box(margin, top + margin, width - margin, top + margin + pen.line)
    return Strip(plate, curve, *_data(line, pen, texts))


_Data = tuple[Box | None, Box | None, Legend | None]


def _data(row: Box, pen: _Pen, texts: Texts) -> _Data:
    """Clock and note at a row's left end, the legend at its right end."""
    clock, note, free = None, None, row
    right = row.left + pen.width(texts.clock)
    if right <= row.right:
        clock = row._replace(right=right)
        free = row._replace(left=right + 2 * pen.margin)
    legend = _legend(free, pen, texts)
    if texts.note:
        right = free.left + pen.width(texts.note)
        if right + 2 * pen.margin <= (legend.low.left if legend else row.right):
            note = free._replace(right=right)
    return clock, note, legend


def _is_complete(data: _Data, pen: _Pen, texts: Texts) -> bool:
    """Whether nothing was left out or shrunk."""
    clock, note, legend = data
    bar_px = legend.bar.width if legend else 0
    return bool(clock and (note or not texts.note)) and bar_px > 6 * pen.font_px


def _legend(free: Box, pen: _Pen, texts: Texts) -> Legend | None:
    gap = max(4, pen.font_px // 2)
    low, high = pen.width(texts.low), pen.width(texts.high)
    bar = min(8 * pen.font_px, free.width - low - high - 2 * gap)
    if bar < 2 * pen.font_px:
        return None
    numbers = Box(free.right - high, free.top, free.right, free.bottom)
    inset = round(0.28 * free.height)
    scale = Box(numbers.left - gap - bar, free.top + inset, numbers.left - gap, free.bottom - inset)
    return Legend(
        Box(scale.left - gap - low, free.top, scale.left - gap, free.bottom), scale, numbers
    )


def _title_row(row: Box, pen: _Pen, texts: Texts) -> Title | None:
    """The label and, next to it, the method, as far as they fit."""
    tail = f"  {texts.answer}"
    gap = pen.font_px
    method_px = min(pen.width(texts.method) + gap, _METHOD_SHARE * row.width)
    if row.width < _SMALL_PX:
        method_px = 0
    label = shorten(
        texts.label,
        row.width - method_px - pen.measure(tail, pen.title_px),
        pen.title_px,
        pen.measure,
    )
    if not label:
        return None
    text = label + tail
    box = row._replace(right=row.left + pen.title_width(text))
    remaining = row._replace(left=box.right + gap)
    words = _items(texts.method, remaining.width, pen) if method_px else ""
    method = remaining._replace(right=remaining.left + pen.width(words)) if words else None
    plate = row._replace(right=(method or box).right)
    return Title(plate, box, text, method, words)


def _title(size: tuple[int, int], floor: int, pen: _Pen, texts: Texts) -> Title | None:
    """A plate in the upper left corner of a picture with the label and, below it, the method."""
    width, height = size
    margin = pen.margin
    left = top = 2 * margin
    room = width - 2 * left
    tail = f"  {texts.answer}"
    label = shorten(texts.label, room - pen.measure(tail, pen.title_px), pen.title_px, pen.measure)
    bottom = top + pen.title_line
    if not label or bottom + margin > min(floor, _OVER_SHARE * height + 2 * margin):
        return None
    text = label + tail
    label_box = Box(left, top, left + pen.title_width(text), bottom)
    below = _items(texts.method, room, pen)
    method = Box(left, bottom, left + pen.width(below), bottom + pen.line)
    fits = below and method.bottom + margin <= min(floor, _TITLE_SHARE * height + margin)
    last = method if fits else label_box
    right = max(label_box.right, last.right)
    plate = Box(margin, margin, right + margin, last.bottom + margin)
    return Title(plate, label_box, text, method if fits else None, below)


def _items(text: str, width_px: float, pen: _Pen) -> str:
    """The first two items (method and model), cut to fit, and the others that fit completely."""
    items = text.split(SEPARATOR)
    for count in range(len(items), 2, -1):
        joined = SEPARATOR.join(items[:count])
        if pen.width(joined) <= width_px:
            return joined
    return shorten(SEPARATOR.join(items[:2]), width_px, pen.font_px, pen.measure)


def _ceil(value: float) -> int:
    return int(-(-value // 1))
