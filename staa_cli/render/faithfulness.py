"""Explanation -> picture of its deletion and insertion curves beside those of baselines."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from staa_cli.errors import OutputError
from staa_cli.formatting import with_interval
from staa_cli.render import text
from staa_cli.render.chart import INK, OTHERS, OWN, SOFT, TITLE_PX, Chart, letters
from staa_cli.render.layout import Box
from staa_cli.render.plot import facts_line
from staa_cli.schema import Explanation, Faithfulness, Output

_WIDTH = 1600
_PANELS = (Box(150, 190, 780, 580), Box(920, 190, 1550, 580))
_TABLE, _ROW = 690, 42
"""Where the table begins, and from row to row."""
_COLUMNS = ((880, "insertion ↑"), (1120, "deletion ↓"), (1550, "SRG, insertion - deletion ↑"))
"""Where its figures end, and of what they are."""
_COLORS = (OWN, *OTHERS)


def faithfulness_plot(explanation: Explanation, path: Path) -> None:
    """Writes both curves: on the left what is lost, on the right what comes back.

    As a PNG, SVG, or PDF, by the path's ending.

    Raises:
        OutputError: nothing was measured, another ending, or the file cannot be written.
    """
    if explanation.faithfulness is None:
        raise OutputError(
            f"{path} cannot be drawn: faithfulness was not measured",
            "--faithfulness or --quick-faithfulness",
        )
    faithfulness_chart(explanation, explanation.faithfulness).save(path)


def faithfulness_chart(explanation: Explanation, found: Faithfulness) -> Chart:
    """The chart of what was measured: 1600 pixels wide, as high as its rows need."""
    prediction = explanation.prediction
    beside = f"not above {', '.join(found.beaten_by)}" if found.beaten_by else "above all baselines"
    own, count = found.rows[0], len(found.clips)
    gain = with_interval(own.srg, own.srg_low, own.srg_high, prediction.output)
    head = f"symmetric relevance gain {gain}, {beside}"
    clips = f"mean of {count} clips, 95 % interval" if count > 1 else "one clip, no interval"
    about = f"{prediction.label} · {facts_line(explanation)} · {clips}"
    about += " · quick check" if found.quick else ""
    chart = Chart((_WIDTH, _TABLE + _ROW * (len(found.rows) + 1)), head, about)
    label = chart.shortened(prediction.label, 300)
    score = f"p({label})" if prediction.is_probability else f"score of {label}"
    low, high = _range(explanation, found)
    for box, title, x_title, curves in zip(
        _PANELS,
        ("deletion: lower is better", "insertion: higher is better"),
        (f"tokens replaced by {found.replacement} (%)", "tokens brought back (%)"),
        ([row.deletion for row in found.rows], [row.insertion for row in found.rows]),
        strict=True,
    ):
        chart.write(box.left, 160, title)
        axes = chart.axes(box, f"{x_title}, most relevant first", score)
        axes.set_xlim(0, 100)
        parts = range(0, 101, 20)
        axes.set_xticks(parts, [f"{part}" for part in parts], **letters(color=SOFT))
        chart.set_height(axes, low, high)
        for number, (curve, color) in enumerate(zip(curves, _COLORS, strict=False)):
            axes.plot(
                np.linspace(0, 100, len(curve)),
                curve,
                color=color,
                linewidth=1.6 if number else 3,
                linestyle="-",
                zorder=4 - 0.1 * number,
                clip_on=False,
            )
    _write_table(chart, found, prediction.output)
    return chart


def _range(explanation: Explanation, found: Faithfulness) -> tuple[float, float]:
    """From 0 to 1 for probabilities; for raw values as far as they go, and a little beyond."""
    if explanation.prediction.is_probability:
        return 0.0, 1.0
    values = np.concatenate(
        [curve for row in found.rows for curve in (row.deletion, row.insertion)]
    )
    low, high = float(values.min()), float(values.max())
    room = 0.05 * (high - low) or 0.5 * abs(high) or 0.5
    return low - room, high + room


def _write_table(chart: Chart, found: Faithfulness, output: Output) -> None:
    """Below the curves: the areas under them by name, a row a method."""
    chart.write(_PANELS[0].left, _TABLE, "area under the curve", color=SOFT)
    for right, name in _COLUMNS:
        chart.write(right, _TABLE, name, color=SOFT, align="right")
    most = max(abs(row.srg) for row in found.rows)
    decimals = _decimals(most, 2) if output == "identity" else 2
    for index, (row, color) in enumerate(zip(found.rows, _COLORS, strict=False)):
        y = _TABLE + _ROW * (index + 1)
        chart.write(_PANELS[0].left, y, "\N{BLACK SQUARE}", color=color, px=TITLE_PX)
        name = chart.shortened(row.method, 450)
        chart.write(_PANELS[0].left + 44, y, name, color=INK)
        ends = () if row.srg_low is None or row.srg_high is None else (row.srg_low, row.srg_high)
        areas = ((row.insertion_area,), (row.deletion_area,), (row.srg, *ends))
        for (right, _), (area, *interval) in zip(_COLUMNS, areas, strict=True):
            figures = [f"{value:z.{decimals}f}" for value in (area, *interval)]
            if max(map(chart.measure, figures)) >= (100 if interval else 210):
                figures = [text.raw(value) for value in (area, *interval)]
            brackets = f" ({' to '.join(figures[1:])})" if interval else ""
            chart.write(right, y, figures[0] + brackets, align="right")


def _decimals(value: float, digits: int) -> int:
    """How many show so many digits of a value."""
    return min(max(digits - 1 - math.floor(math.log10(abs(value) or 1.0)), 0), 6)
