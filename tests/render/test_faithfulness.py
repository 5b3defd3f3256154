"""The chart of deletion and insertion: what it shows, and that it refuses to show nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from explanations import explanation, measured
from PIL import Image

from staa_cli.errors import OutputError
from staa_cli.render.chart import Chart
from staa_cli.render.faithfulness import faithfulness_chart, faithfulness_plot


def words_of(chart: Chart) -> list[str]:
    """All that stands on the sheet, after a look whether it stays there."""
    renderer = chart.figure.canvas.get_renderer()  # type: ignore[attr-defined]
    for text in chart.figure.texts:
        box = text.get_window_extent(renderer)
        assert 0 <= box.x0 < box.x1 <= chart.size[0], text.get_text()
        assert 0 <= box.y0 < box.y1 <= chart.size[1], text.get_text()
    return [text.get_text() for text in chart.figure.texts]


def test_curves_are_drawn_as_they_are_each_method_in_one_color() -> None:
    found = measured()
    deletion, insertion = faithfulness_chart(explanation(), found).figure.axes
    for axes, name in ((deletion, "deletion"), (insertion, "insertion")):
        assert axes.get_xlim() == (0, 100)
        assert axes.get_ylim() == (0, 1)
        for line, row in zip(axes.lines, found.rows, strict=True):
            np.testing.assert_allclose(np.asarray(line.get_ydata()), getattr(row, name))
            np.testing.assert_allclose(np.asarray(line.get_xdata()), [0, 50, 100])
    assert len({line.get_color() for line in deletion.lines}) == len(found.rows)
    assert [a.get_color() for a in deletion.lines] == [a.get_color() for a in insertion.lines]


def test_axes_areas_and_directions_are_named() -> None:
    words = words_of(faithfulness_chart(explanation(), measured(beaten=False)))
    for title in (
        "symmetric relevance gain 0.50 (0.40 to 0.70), above all baselines",
        "deletion: lower is better",
        "insertion: higher is better",
        "tokens replaced by blur (%), most relevant first",
        "tokens brought back (%), most relevant first",
        "area under the curve",
        "insertion ↑",
        "deletion ↓",
        "SRG, insertion - deletion ↑",
    ):
        assert title in words
    assert words.count("p(windsurfing)") == 2
    row = words.index("staa")
    assert words[row + 1 : row + 4] == ["0.75", "0.25", "0.50 (0.40 to 0.70)"]
    assert any(line.endswith("mean of 2 clips, 95 % interval") for line in words)


def test_it_says_what_it_is_not_above() -> None:
    words = words_of(faithfulness_chart(explanation(), measured(beaten=True)))
    assert "symmetric relevance gain 0.50 (0.40 to 0.70), not above center" in words


def test_of_one_clip_there_is_no_interval_and_it_is_said() -> None:
    words = words_of(faithfulness_chart(explanation(), measured(beaten=False, interval=False)))
    assert "symmetric relevance gain 0.50, above all baselines" in words
    row = words.index("staa")
    assert words[row + 1 : row + 4] == ["0.75", "0.25", "0.50"]
    assert any(line.endswith("one clip, no interval") for line in words)


def test_names_of_any_length_and_script_stay_inside() -> None:
    rows = tuple(replace(row, method="method-" * 40) for row in measured().rows)
    source = explanation(labels=("$滑 \u0645\u0631 _é{" * 30, "b"))
    words = words_of(faithfulness_chart(source, replace(measured(), rows=rows)))
    assert sum(line.endswith("…") for line in words) >= 5


def test_a_file_is_written_and_nothing_measured_is_refused(tmp_path: Path) -> None:
    with_it = replace(explanation(), faithfulness=measured())
    for name in ("f.png", "g.png"):
        faithfulness_plot(with_it, tmp_path / name)
    with Image.open(tmp_path / "f.png") as image:
        assert image.width == 1600
        assert not image.info.get("Software")
    assert (tmp_path / "f.png").read_bytes() == (tmp_path / "g.png").read_bytes()
    with pytest.raises(OutputError, match="not measured"):
        faithfulness_plot(explanation(), tmp_path / "h.png")


@pytest.mark.parametrize("above", [-20.0, 0.25, 700.0])
def test_curves_of_raw_values_fill_their_panels(above: float) -> None:
    """Wherever they lie: both panels share one axis, from the lowest to the highest of all."""
    raw = measured(times=4.0, above=above)  # from above to above + 4
    source = explanation(output="identity", confidence=above + 4, labels=("quality",))
    chart = faithfulness_chart(source, raw)
    for axes in chart.figure.axes:
        assert axes.get_ylim() == pytest.approx((above - 0.2, above + 4.2))
    assert words_of(chart).count("score of quality") == 2


def test_a_value_that_never_changes_is_a_line_in_the_middle() -> None:
    source = explanation(output="identity", confidence=3.0, labels=("quality",))
    axes = faithfulness_chart(source, measured(times=0.0, above=3.0)).figure.axes[0]
    assert np.mean(axes.get_ylim()) == pytest.approx(3.0)


def test_figures_of_raw_values_keep_what_tells_them_apart() -> None:
    source = explanation(output="identity", confidence=-3.6, labels=("quality",))
    words = words_of(faithfulness_chart(source, measured(beaten=False, times=0.02, above=-3.66)))
    row = words.index("staa")
    assert words[row + 1 : row + 4] == ["-3.645", "-3.655", "0.010 (0.008 to 0.014)"]


@pytest.mark.parametrize(("times", "above"), [(0.001, -123456.0), (1e7, -5e6), (1e-6, 0.0)])
def test_figures_of_any_size_stay_in_their_columns(times: float, above: float) -> None:
    source = explanation(output="identity", confidence=-3.6, labels=("quality",))
    chart = faithfulness_chart(source, measured(times=times, above=above))
    words = words_of(chart)
    *areas, gain = words[words.index("staa") + 1 :][:3]
    assert max(map(chart.measure, areas)) < 220
    assert chart.measure(gain) < 400  # where its column begins, the one before it ends
