"""The curve's chart: what stands where, in any length, any script, and any units."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from explanations import explanation
from PIL import Image

from staa_cli.render.chart import INK, Chart, drawable
from staa_cli.render.plot import curve_chart, plot, time_ticks, time_words
from staa_cli.schema import Explanation, Moment

ROOT = Path(__file__).parent.parent.parent


def moments(*peaks_s: float) -> tuple[Moment, ...]:
    return tuple(
        Moment(t - 0.2, t, t + 0.2, 1.0, 0.2, (0.5, 0.5), (0.4, 0.4, 0.6, 0.6)) for t in peaks_s
    )


def scored(source: Explanation, values: np.ndarray, weight: float = 0.5) -> Explanation:
    values = values.astype(np.float32)
    frames = replace(source.frames, score=values, weighted_score=values * np.float32(weight))
    return replace(source, frames=frames)


def words_of(chart: Chart) -> list[str]:
    return [text.get_text() for text in chart.figure.texts]


def key_of(chart: Chart) -> list[str]:
    (legend,) = chart.figure.legends
    return [text.get_text() for text in legend.get_texts()]


@pytest.mark.parametrize(
    "more",
    [{}, {"flat": True}, {"frames": 1}, {"signed": True}, {"labels": ("<i>é滑$x_{" * 90, "b")},
     {"strength": lambda t: 0.0}, {"frames": 3000, "clip_starts": [9, 600, 610, 2500]},
     {"frames": 60000, "clip_starts": range(0, 60000, 300)}],
)  # fmt: skip
def test_it_is_a_png_of_a_fixed_size_and_equal_bytes(more: dict[str, Any], tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        plot(explanation(**more), tmp_path / name)
    with Image.open(tmp_path / "a.png") as image:
        assert (image.format, image.size) == ("PNG", (1600, 720))
        assert not image.info.get("Software")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_nothing_of_it_is_global(tmp_path: Path) -> None:
    """Not its settings, not the caller's; and where no cache can be kept, nothing is said of it."""
    script = (
        "import sys; sys.path[:0] = ['tests/support']\n"
        "from pathlib import Path\n"
        "from explanations import explanation\n"
        "from staa_cli.render.plot import plot\n"
        "assert 'matplotlib' not in sys.modules\n"
        "plot(explanation(), Path(sys.argv[1]))\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    (tmp_path / "rc").write_text(
        "font.size: 40\nfont.family: serif\nlines.linestyle: --\naxes.facecolor: red\n"
        "axes.grid: True\ntext.usetex: True\nsavefig.dpi: 30\naxes.labelsize: 50\n"
        "figure.facecolor: blue\naxes.spines.top: False\nxtick.minor.visible: True\n"
    )
    for name, more in (
        ("a.png", {"MPLCONFIGDIR": "/dev/null/none"}),
        ("b.png", {"MATPLOTLIBRC": str(tmp_path / "rc")}),
    ):
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", script, str(tmp_path / name)],
            capture_output=True,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), **more},
        )
        assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_a_probability_has_two_lines_and_a_raw_value_one() -> None:
    probable = curve_chart(explanation(confidence=0.55))
    assert key_of(probable)[1:3] == ["score x p(windsurfing)", "score"]
    assert len(probable.figure.axes[0].lines) == 2
    assert words_of(probable)[0] == "windsurfing  55 %"
    raw = curve_chart(explanation(output="identity", confidence=0.55, labels=("quality",)))
    assert key_of(raw)[1] == "score"
    assert len(raw.figure.axes[0].lines) == 1
    assert words_of(raw)[0] == "quality  score 0.55"
    for chart in (probable, raw):
        assert {"score (attention)", "time (s)"} <= set(words_of(chart))


def test_lines_are_the_scores() -> None:
    source = scored(explanation(frames=90), np.linspace(0.1, 0.9, 90))
    weighted, raw = curve_chart(source).figure.axes[0].lines
    known = ~np.isnan(np.asarray(raw.get_ydata()))
    np.testing.assert_allclose(np.asarray(raw.get_xdata())[known], [*source.frames.times_s, 3.0])
    np.testing.assert_allclose(
        np.asarray(raw.get_ydata())[known][:-1], np.linspace(0.1, 0.9, 90), rtol=1e-6
    )
    np.testing.assert_allclose(
        np.asarray(weighted.get_ydata()), 0.5 * np.asarray(raw.get_ydata()), rtol=1e-6
    )


@pytest.mark.parametrize("frames", [90, 20_000])
def test_lines_break_where_there_is_no_score(frames: int, tmp_path: Path) -> None:
    source = explanation(frames=frames)
    unknown = slice(frames // 3, frames // 2)
    for values, missing in (
        (source.frames.score, np.nan),
        (source.frames.weighted_score, np.nan),
        (source.frames.covered, False),
    ):
        values[unknown] = missing
    chart = curve_chart(source)
    for line in chart.figure.axes[0].lines:
        times, heights = line.get_data()
        (end,) = np.flatnonzero(np.isnan(heights))[:-1]  # the last one ends the line
        assert times[end - 1] == pytest.approx(frames / 90, abs=0.6)
        assert times[end + 1] == pytest.approx(frames / 60, abs=0.6)
    chart.save(tmp_path / "a.png")


def test_a_single_frame_between_unknown_ones_is_drawn() -> None:
    source = explanation(frames=90)
    unknown = np.arange(90) != 40
    source.frames.covered[unknown] = False
    source.frames.weighted_score[unknown] = np.nan
    times, values = curve_chart(source).figure.axes[0].lines[0].get_data()
    assert times[:2] == pytest.approx([40 / 30, 41 / 30])
    assert values[0] == values[1] == source.frames.weighted_score[40]


def test_a_curve_of_two_hours_keeps_every_peak() -> None:
    source = explanation(frames=216_000, clip_starts=range(0, 216_000, 3000))
    source.frames.covered[:] = True
    values = np.full(216_000, 0.1)
    values[[1234, 100_001, 215_000]] = (0.9, 0.8, 0.7)
    axes = curve_chart(scored(source, values)).figure.axes[0]
    line = axes.lines[1]
    assert np.size(line.get_xdata()) < 10_000
    for peak in (0.9, 0.8, 0.7):
        assert np.isclose(line.get_ydata(), peak).sum() == 1
    assert axes.get_xlim() == (0, 7200)


@pytest.mark.parametrize("low", [-0.4, 0.0])
def test_what_goes_below_zero_has_a_line_at_zero(low: float) -> None:
    source = explanation(frames=300)
    axes = curve_chart(scored(source, np.linspace(low, 0.5, 300))).figure.axes[0]
    at_zero = [line for line in axes.lines if line.get_color() == INK]
    assert [np.asarray(line.get_ydata()).tolist() for line in at_zero] == (
        [[0, 0]] if low < 0 else []
    )
    assert axes.get_ylim()[0] == pytest.approx(1.1 * low + 0.1 * low * 0.5 / 0.4, abs=1e-6)


def test_a_flat_curve_is_level_and_says_so() -> None:
    axes = curve_chart(explanation(flat=True)).figure.axes[0]
    assert all(len({*np.asarray(line.get_ydata())[:-1].tolist()}) == 1 for line in axes.lines)
    assert any(text.get_text().startswith("flat: varies by") for text in axes.texts)
    assert not curve_chart(explanation()).figure.axes[0].texts[0].get_text().startswith("flat")


def test_moments_are_shaded_where_they_are_and_numbered_without_touching(tmp_path: Path) -> None:
    source = replace(explanation(frames=18_000), moments=moments(100, 101, 300, 305, 440, 590, 599))
    chart = curve_chart(source)
    axes = chart.figure.axes[0]
    numbers = [text for text in axes.texts if text.get_text().isdigit()]
    assert [text.get_text() for text in numbers] == ["1", "3", "5"]
    assert [round(600 * text.get_position()[0]) for text in numbers] == [100, 300, 440]
    for name, shown in (("with.png", moments(2.5)), ("without.png", ())):
        plot(replace(explanation(), moments=shown), tmp_path / name)
    pictures = []
    for name in ("with.png", "without.png"):
        with Image.open(tmp_path / name) as image:
            pictures.append(np.asarray(image.convert("RGB")).astype(int)[140:550])
    columns = np.nonzero((pictures[0] != pictures[1]).any(axis=(0, 2)))[0]
    assert columns.mean() == pytest.approx(160 + 2.5 / 10 * (1540 - 160), abs=3)
    assert np.ptp(columns) == pytest.approx(0.4 / 10 * 1380, abs=5)


def test_seen_frames_have_ticks_where_those_do_not_run_together() -> None:
    assert "seen frame" in key_of(curve_chart(explanation(frames=300)))
    assert "seen frame" not in key_of(curve_chart(explanation(frames=18_000)))


def test_gaps_are_hatched_and_named() -> None:
    gaps = explanation(frames=900, clip_starts=[0, 600])
    assert "not seen" in key_of(curve_chart(gaps))
    assert any(patch.get_hatch() for patch in curve_chart(gaps).figure.axes[0].patches)
    assert "not seen" not in key_of(curve_chart(explanation()))


@pytest.mark.parametrize(
    ("start_s", "end_s", "ticks", "words"),
    [
        (0, 10, [*range(11)], "9"),
        (0, 0.4, [0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4], "0.35"),
        (0, 139.4, [0, 15, 30, 45, 60, 75, 90, 105, 120, 135], "2:00"),
        (0, 600, [*range(0, 601, 60)], "9:00"),
        (0, 7200, [*range(0, 7201, 1800)], "1:30:00"),
        (302.2, 305, [302.5, 303, 303.5, 304, 304.5, 305], "5:04.5"),
    ],
)
def test_times_on_the_axis_are_round(
    start_s: float, end_s: float, ticks: list[float], words: str
) -> None:
    found = time_ticks(start_s, end_s)
    assert found == pytest.approx(ticks)
    assert time_words(found, end_s)[-2] == words


@pytest.mark.parametrize("seconds", [3, 59, 61, 600, 3599, 7200, 40_000])
def test_ticks_do_not_touch_each_other_or_the_edge(seconds: int) -> None:
    chart = curve_chart(explanation(frames=seconds, rate=1.0, stride=1))
    renderer = chart.figure.canvas.get_renderer()  # type: ignore[attr-defined]
    labels = chart.figure.axes[0].get_xticklabels()
    boxes = [label.get_window_extent(renderer) for label in labels]
    assert len(boxes) >= 3
    for one, other in pairwise(boxes):
        assert one.x1 + 8 < other.x0
    assert boxes[-1].x1 <= chart.size[0]


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("pouring  milk\n", "pouring milk"),
        ("Straße é Кухня ψ", "Straße é Кухня ψ"),
        ("滑雪", "??"),
        ("\u05e9\u05dc", "??"),  # from right to left
        ("e\u0301t\u200be", "éte"),
        ("$x^2$", "$x^2$"),
    ],
)
def test_words_are_spelled_with_what_the_font_has(words: str, wanted: str) -> None:
    assert drawable(words) == wanted
