"""Chart of an explanation's deletion and insertion curves, compared with baselines."""

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
"""Top of the table, and height of a row."""
_COLUMNS = ((880, "insertion ↑"), (1120, "deletion ↓"), (1550, "SRG, insertion - deletion ↑"))
"""Right edges and titles of its columns."""
_COLORS = (OWN, *OTHERS)


def faithfulness_plot(explanation: Explanation, path: Path) -> None:
    """Write the deletion curves (left) and the insertion curves (right).

    As a PNG, SVG, or PDF, by the path's ending.

    Raises:
        OutputError: nothing was measured, an unknown ending, or the file cannot be written.
    """
    if explanation.faithfulness is None:
        raise OutputError(
            f"{path} cannot be drawn: faithfulness was not measured",
            "--faithfulness or --quick-faithfulness",
        )
    faithfulness_chart(explanation, explanation.faithfulness).save(path)


def faithfulness_chart(explanation: Explanation, measured: Faithfulness) -> Chart:
    """The chart of measured faithfulness, 1600 pixels wide; the height depends on its rows."""
    prediction = explanation.prediction
    versus = (
        f"not above {', '.join(measured.beaten_by)}"
        if measured.beaten_by
        else "above all baselines"
    )
    row, count = measured.rows[0], len(measured.clips)
    gain = with_interval(row.srg, row.srg_low, row.srg_high, prediction.output)
    head = f"symmetric relevance gain {gain}, {versus}"
    clips = f"mean of {count} clips, 95 % interval" if count > 1 else "one clip, no interval"
    about = f"{prediction.label} · {facts_line(explanation)} · {clips}"
    about += " · quick check" if measured.quick else ""
    chart = Chart((_WIDTH, _TABLE + _ROW * (len(measured.rows) + 1)), head, about)
    label = chart.shortened(prediction.label, 300)
    score = f"p({label})" if prediction.is_probability else f"score of {label}"
    low, high = _range(explanation, measured)
    for box, title, x_title, curves in zip(
        _PANELS,
        ("deletion: lower is better", "insertion: higher is better"),
        (f"tokens replaced by {measured.replacement} (%)", "tokens brought back (%)"),
        ([row.deletion for row in measured.rows], [row.insertion for row in measured.rows]),
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
    _write_table(chart, measured, prediction.output)
    return chart


def _range(explanation: Explanation, measured: Faithfulness) -> tuple[float, float]:
    """The y range: 0 to 1 for probabilities; for raw values their range with a margin."""
    if explanation.prediction.is_probability:
        return 0.0, 1.0
    values = np.concatenate(
        [curve for row in measured.rows for curve in (row.deletion, row.insertion)]
    )
    low, high = float(values.min()), float(values.max())
    margin = 0.05 * (high - low) or 0.5 * abs(high) or 0.5
    return low - margin, high + margin


def _write_table(chart: Chart, measured: Faithfulness, output: Output) -> None:
    """Below the curves, a table of the areas under them, one row per method."""
    chart.write(_PANELS[0].left, _TABLE, "area under the curve", color=SOFT)
    for right, name in _COLUMNS:
        chart.write(right, _TABLE, name, color=SOFT, align="right")
    largest = max(abs(row.srg) for row in measured.rows)
    decimals = _decimals(largest, 2) if output == "identity" else 2
    for index, (row, color) in enumerate(zip(measured.rows, _COLORS, strict=False)):
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
    """Number of decimals that show `digits` digits of a value."""
    return min(max(digits - 1 - math.floor(math.log10(abs(value) or 1.0)), 0), 6)
