"""Chart of a benchmark: the quality of each method against its cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from staa_cli.render.chart import INK, OTHERS, OWN, SOFT, Chart, drawable, letters
from staa_cli.render.layout import Box

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SIZE = (1600, 960)
_AREA = Box(150, 140, 1560, 850)
_DOT, _LINE = 6, 30
"""Radius of a mark, and height of a name, in pixels."""
_BASELINE = OTHERS[-1]
_COLORS = (OWN, *OTHERS[:-1], "#a8871c", "#1c7f94")
"""Used in turn for methods of equal cost, whose intervals overlap."""


class Mark(NamedTuple):
    """A method in the chart; x and y in pixels from the upper left corner."""

    method: str
    x: int
    y: int
    width: int
    """Width of its name."""
    interval: tuple[int, int]
    """Upper and lower end."""
    color: str


def scatter(result: Mapping[str, Any], metric: str, better: str, path: Path) -> None:
    """Write the chart of a metric.

    Args:
        result: of `measure_quality`.
        metric: a measured one.
        better: ``higher`` or ``lower``.
        path: of a PNG, SVG, or PDF, by its ending.

    Raises:
        OutputError: an unknown ending, or the file cannot be written.
    """
    scatter_chart(result, metric, better).save(path)


def scatter_chart(result: Mapping[str, Any], metric: str, better: str) -> Chart:
    """The chart of a metric against the cost of methods, 1600 x 960."""
    costs = result["forwards"]
    rows = [_drawn(row) for row in result["results"] if row["metric"] == metric and row["n"]]
    head = f"{metric} against cost: {result['model']} on {result['dataset']}"
    clips = max(row["n"] for row in rows)
    about = f"mean and 95 % interval over {clips} clips" if clips > 1 else "of one clip"
    chart = Chart(_SIZE, head, about)
    axes = chart.axes(_AREA, "forward passes a clip", f"{metric} ({better} is better)")
    _set_limits(chart, axes, rows, costs)
    marks = _marks(chart, axes, rows, costs)
    zero = _SIZE[1] - round(axes.transData.transform((0, 0))[1])
    for mark, place in zip(marks, _places(marks, zero), strict=True):
        _draw(chart, axes, mark, place)
    return chart


def _drawn(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """A row with the ends of its interval; that of one clip, which has none, is a point."""
    return row if row["low"] is not None else {**row, "low": row["mean"], "high": row["mean"]}


def _set_limits(
    chart: Chart, axes: Axes, rows: Sequence[Mapping[str, Any]], costs: Mapping[str, float]
) -> None:
    """Set a logarithmic cost axis that includes 0, and a metric axis that includes 0."""
    max_cost = max([10.0, *(costs[row["method"]] for row in rows)])
    axes.set_xscale("symlog", linthresh=1, linscale=0.9)
    axes.set_xlim(-0.2, 3.5 * max_cost)
    ticks = [0, *(10**power for power in range(7) if 10**power <= 3 * max_cost)]
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks], **letters(color=SOFT))
    axes.xaxis.set_ticks([], minor=True)
    low = min([0.0, *(row["low"] for row in rows)])
    high = max([0.0, *(row["high"] for row in rows)])
    margin = 0.06 * (high - low) or 1.0  # all values may be 0
    chart.set_height(axes, low - margin, high + margin)
    axes.axhline(0, color=INK, linewidth=1.2, linestyle="-", zorder=1)


def _marks(
    chart: Chart, axes: Axes, rows: Sequence[Mapping[str, Any]], costs: Mapping[str, float]
) -> list[Mark]:
    """The marks of the methods, by cost, then by the metric."""
    ranked = sorted(rows, key=lambda row: (costs[row["method"]], -row["mean"]))
    marks = []
    for cost, column in groupby(ranked, lambda row: costs[row["method"]]):
        for number, row in enumerate(column):
            points = [(cost, row[name]) for name in ("mean", "high", "low")]
            places = axes.transData.transform(points).round().astype(int).tolist()
            (x, y), (_, top), (_, bottom) = ((x, _SIZE[1] - up) for x, up in places)
            color = _COLORS[number % len(_COLORS)] if cost >= 1 else _BASELINE
            name = drawable(row["method"])
            width = round(chart.measure(name))
            marks.append(Mark(name, x, y, width, (top, bottom), color))
    return marks


def _places(marks: Sequence[Mark], zero: int) -> list[Box]:
    """Boxes of the names: as near to their marks as possible without overlaps.

    If that is impossible, lines to names may cross. `zero` is the y of the line at zero.
    """
    taken = [Box(m.x - _DOT, m.interval[0], m.x + _DOT, m.interval[1]) for m in marks]
    taken += [Box(m.x - _DOT, m.y - _DOT, m.x + _DOT, m.y + _DOT) for m in marks]
    taken.append(Box(_AREA.left, zero - 2, _AREA.right, zero + 2))
    places: dict[Mark, Box] = {}
    # Begin near the edges, where there is the least space.
    for mark in sorted(marks, key=lambda m: (m.x, -m.y if m.y > _middle(_AREA)[1] else m.y)):
        candidates = _candidates(mark)
        free = [box for box in candidates if not any(_touch(box, other) for other in taken)]
        clear = (
            box
            for box in free
            if not any(_passes(mark, box, other) for other in marks)
            and not any(_meet(mark, box, *line) for line in places.items())
        )
        places[mark] = next(clear, (free or candidates)[0])
        taken.append(places[mark])
    return [places[mark] for mark in marks]


def _candidates(mark: Mark) -> list[Box]:
    """Possible boxes of a name inside the area, the nearest first."""
    half = _LINE // 2
    boxes = []
    for line in range(40):
        for y in dict.fromkeys((mark.y - line * half, mark.y + line * half)):
            for across in (_DOT + 8, _DOT + 32, _DOT + 64, _DOT + 128):
                for left in (mark.x + across, mark.x - across - mark.width):
                    distance = across + 1.5 * line * half
                    boxes.append((distance, Box(left, y - half, left + mark.width, y + half)))
    inside = [
        (distance, box)
        for distance, box in boxes
        if _AREA.left + 6 <= box.left
        and box.right <= _AREA.right - 6
        and _AREA.top + 4 <= box.top
        and box.bottom <= _AREA.bottom - 4
    ]
    return [box for _, box in sorted(inside, key=lambda pair: pair[0])]


def _touch(one: Box, other: Box) -> bool:
    apart_x = one.right + 4 <= other.left or other.right + 4 <= one.left
    return not (apart_x or one.bottom <= other.top or other.bottom <= one.top)


def _end(mark: Mark, place: Box) -> tuple[float, float]:
    """End of the line from a mark to its name."""
    x = place.left - 4 if place.left > mark.x else place.right + 4
    return x, (place.top + place.bottom) / 2


def _passes(mark: Mark, place: Box, other: Mark) -> bool:
    """Whether the line from a mark to its name runs through another mark not overlapping it."""
    if (mark.x - other.x) ** 2 + (mark.y - other.y) ** 2 < (2 * _DOT + 3) ** 2:
        return False
    end_x, end_y = _end(mark, place)
    along_x, along_y = end_x - mark.x, end_y - mark.y
    length = along_x**2 + along_y**2
    part = ((other.x - mark.x) * along_x + (other.y - mark.y) * along_y) / length
    part = min(max(part, 0.0), 1.0)
    gap = (mark.x + part * along_x - other.x) ** 2 + (mark.y + part * along_y - other.y) ** 2
    return gap < (_DOT + 3) ** 2


def _strikes(mark: Mark, place: Box, name: Box) -> bool:
    """Whether the line from a mark to its name runs through another name."""
    (x, y), parts = _end(mark, place), [step / 40 for step in range(41)]
    points = [(mark.x + part * (x - mark.x), mark.y + part * (y - mark.y)) for part in parts]
    return any(name.left < x < name.right and name.top < y < name.bottom for x, y in points)


def _middle(box: Box) -> tuple[float, float]:
    return (box.left + box.right) / 2, (box.top + box.bottom) / 2


def _meet(mark: Mark, place: Box, other: Mark, other_place: Box) -> bool:
    """Whether the line to one name runs through the other name, or the lines to both cross.

    Lines are extended to the middle of the names, so that near misses count, too.
    """
    if _strikes(mark, place, other_place) or _strikes(other, other_place, place):
        return True
    a, b = (mark.x, mark.y), _middle(place)
    c, d = (other.x, other.y), _middle(other_place)

    def side(p: tuple[float, float], q: tuple[float, float], r: tuple[float, float]) -> float:
        return (q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0])

    return side(a, b, c) * side(a, b, d) < 0 and side(c, d, a) * side(c, d, b) < 0


def _draw(chart: Chart, axes: Axes, mark: Mark, place: Box) -> None:
    """Draw a mark with its interval and its name, and a line between them if they are apart."""

    def line(*points: tuple[float, float], **style: Any) -> None:
        upright = [(x, _SIZE[1] - y) for x, y in points]
        axes.plot(*axes.transData.inverted().transform(upright).T, linestyle="-", **style)

    ends = [(mark.x, y) for y in mark.interval]
    line(*ends, color=mark.color, linewidth=2, alpha=0.7, marker="_", markersize=7, zorder=3)
    dot = {"marker": "o", "markersize": 1.5 * _DOT, "markeredgecolor": "white"}
    line((mark.x, mark.y), color=mark.color, markeredgewidth=1, zorder=4, **dot)
    end = _end(mark, place)
    if abs(end[0] - mark.x) > 3 * _DOT or abs(end[1] - mark.y) > _DOT:
        line((mark.x, mark.y), end, color=SOFT, linewidth=0.8, zorder=1.5)
    chart.write(place.left, _middle(place)[1], mark.method, color=mark.color)
