"""Chart of the temporal curve of an explanation."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from staa_cli.render import text
from staa_cli.render.chart import FONT_PX, INK, OTHERS, OWN, SOFT, Chart, drawable, letters
from staa_cli.render.curve import Curve, axis_s, unseen
from staa_cli.render.layout import Box, shorten
from staa_cli.schema import Explanation, Float64

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

_SIZE = (1600, 720)
_AREA = Box(160, 140, 1540, 550)
_MOMENT, _HATCH, _NARROW, _BELOW, _RAW = "#ffe9c4", "#b4b4bc", "#e4e4e9", "#6f93c8", OTHERS[0]
_NUMBERED = 5
"""Number of moments that are numbered."""
_HEADROOM = 0.1
"""Space above the curve for these numbers, as a share of its range."""


def plot(explanation: Explanation, path: Path) -> None:
    """Write the curve: score and weighted score over time, moments shaded.

    As a PNG, SVG, or PDF, by the path's ending. For a model with raw outputs, both curves are equal
    and only one is drawn.

    Raises:
        OutputError: an unknown ending, or the file cannot be written.
    """
    curve_chart(explanation).save(path)


def curve_chart(explanation: Explanation) -> Chart:
    """The chart of an explanation's curve, 1600 x 720."""
    prediction, units = explanation.prediction, explanation.attributions[0].units
    answer = text.answer(prediction.score, prediction.output)
    chart = Chart(_SIZE, prediction.label, facts_line(explanation), answer)
    start_s, end_s = axis_s(explanation)
    axes = chart.axes(_AREA, time_title(end_s), f"score ({units})")
    key = _draw(axes, explanation, chart.shortened(prediction.label, 320))
    chart.set_height(axes, *axes.get_ylim())
    ticks = time_ticks(start_s, end_s)
    axes.set_xticks(ticks, time_words(ticks, end_s), **letters(color=SOFT))
    _write_moments(axes, explanation)
    if explanation.temporal.flat:
        words = _flat_words(explanation)
        axes.text(0.99, 0.96, words, ha="right", va="top", transform=axes.transAxes, **letters())
    chart.legend(list(key.values()), list(key), _AREA.bottom + 118, _AREA.left)
    return chart


def draw_curve(axes: Axes, explanation: Explanation) -> None:
    """Draw the curve on existing axes, with their font."""
    prediction, units = explanation.prediction, explanation.attributions[0].units
    answer = text.answer(prediction.score, prediction.output)
    label = shorten(drawable(prediction.label), 40, 1, lambda words, _: len(words))
    start_s, end_s = axis_s(explanation)
    key = _draw(axes, explanation, label)
    ticks = time_ticks(start_s, end_s, 5)
    axes.set_xticks(ticks, time_words(ticks, end_s))
    axes.set_xlabel(time_title(end_s))
    # Without parse_math, a `$` is drawn as it is.
    axes.set_ylabel(drawable(f"score ({units})"), parse_math=False)
    axes.set_title(f"{label}  {answer}", parse_math=False)
    for words in axes.legend(list(key.values()), list(key)).get_texts():
        words.set_parse_math(False)


def facts_line(explanation: Explanation) -> str:
    """Method, model, and file of an explanation, and whether its curve is flat."""
    methods = sorted({attribution.method for attribution in explanation.attributions})
    parts = [*methods, explanation.model.name, Path(explanation.video.path).name]
    parts += text.doubts(explanation)
    if explanation.coverage.covered_share < 1:
        parts.append(f"{text.percent(explanation.coverage.covered_share)} covered")
    return " · ".join([*parts, _flat_words(explanation)] if explanation.temporal.flat else parts)


def _flat_words(explanation: Explanation) -> str:
    if explanation.temporal.still:
        return "flat: nothing moves"
    return f"flat: varies by {100 * explanation.temporal.coefficient_of_variation:.1f} % only"


def _draw(axes: Axes, explanation: Explanation, label: str) -> dict[str, Artist]:
    """Draw moments, gaps, curves, and seen frames, and set the limits.

    Returns:
        Handles of the legend by text.
    """
    raw, weighted = Curve.of(explanation, weighted=False), Curve.of(explanation)
    low, high = min(raw.low, weighted.low), max(raw.high, weighted.high)
    headroom = _HEADROOM * (high - low)
    axes.set_xlim(weighted.start_s, weighted.end_s)
    axes.set_ylim(low - headroom * (low < 0), high + headroom)
    if low < 0:
        axes.axhline(0, color=INK, linewidth=1.6, linestyle="-", zorder=2.5)
    key: dict[str, Artist] = {}
    _draw_spans(axes, explanation, key)
    differs = explanation.prediction.is_probability
    _draw_curves(axes, raw if differs else None, weighted, label, key)
    _draw_seen_frames(axes, explanation, key)
    return key


def _draw_spans(axes: Axes, explanation: Explanation, key: dict[str, Artist]) -> None:
    """Draw moments shaded and gaps hatched."""
    second_px = _AREA.width / (axes.get_xlim()[1] - axes.get_xlim()[0])
    for moment in explanation.moments:
        # The edge keeps a short moment visible.
        key["moment"] = axes.axvspan(
            moment.start_s, moment.end_s, color=_MOMENT, linewidth=2, zorder=0.2
        )
    for start, stop in unseen(explanation):
        # A narrow gap has no room for hatching.
        wide = (stop - start) * second_px > 12
        key["not seen"] = axes.axvspan(
            start,
            stop,
            facecolor="none" if wide else _NARROW,
            edgecolor=_HATCH if wide else _NARROW,
            hatch="///" if wide else None,
            linewidth=0,
            zorder=0.3,
        )


def _draw_curves(
    axes: Axes, raw: Curve | None, weighted: Curve, label: str, key: dict[str, Artist]
) -> None:
    """Draw the weighted curve, filled, with another color below zero, and the raw one if given.

    NaN breaks the line.
    """
    times, values = _thinned(*_polyline(weighted))
    thick, thin = (2.4, 1.4) if len(times) <= 2 * _AREA.width else (1.4, 1.0)
    axes.fill_between(times, values.clip(min=0), color=OWN, alpha=0.35, linewidth=0, zorder=2)
    axes.fill_between(times, values.clip(max=0), color=_BELOW, alpha=0.5, linewidth=0, zorder=2)
    words = f"score x p({label})" if raw is not None else "score"
    (key[words],) = axes.plot(times, values, color=OWN, linewidth=thick, linestyle="-", zorder=4)
    if raw is not None:
        times, values = _thinned(*_polyline(raw))
        (key["score"],) = axes.plot(
            times, values, color=_RAW, linewidth=thin, linestyle="-", zorder=3
        )


def _polyline(curve: Curve) -> tuple[Float64, Float64]:
    """Times and values of every run up to the end of its last frame, with NaN after each run."""
    ends_s = np.append(curve.times_s, curve.end_s)
    times = [np.append(ends_s[start : stop + 1], ends_s[stop]) for start, stop in curve.runs]
    values = [
        np.append(curve.values[start:stop], [curve.values[stop - 1], np.nan])
        for start, stop in curve.runs
    ]
    return np.concatenate(times), np.concatenate(values)


def _thinned(times_s: Float64, values: Float64) -> tuple[Float64, Float64]:
    """Of many frames in one pixel column, keep the lowest, the highest, and one NaN."""
    column = np.floor((times_s - times_s[0]) * (_AREA.width / max(np.ptp(times_s), 1e-9)))
    if len(times_s) <= 4 * _AREA.width:
        return times_s, values
    kept: set[int] = set()
    edges = [*np.flatnonzero(np.diff(column, prepend=-1)), len(times_s)]
    for first, end in pairwise(edges):
        part = values[first:end]
        kept |= {first + int(i) for i in np.flatnonzero(np.isnan(part))[:1]}
        if not np.isnan(part).all():
            kept |= {first + int(np.nanargmin(part)), first + int(np.nanargmax(part))}
    indices = sorted(kept)
    return times_s[indices], values[indices]


def _draw_seen_frames(axes: Axes, explanation: Explanation, key: dict[str, Artist]) -> None:
    """Draw a tick for every frame that the model saw, unless they would overlap."""
    seen = explanation.frames.times_s[explanation.frames.seen]
    low, high = axes.get_xlim()
    if len(seen) > 1 and np.diff(seen).min() * _AREA.width / (high - low) < 5:
        return
    transform = axes.get_xaxis_transform()
    axes.vlines(seen, 0, 0.035, color=INK, linewidth=1.2, transform=transform, zorder=5)
    from matplotlib.lines import Line2D

    key["seen frame"] = Line2D(
        [], [], color=INK, marker="|", markersize=12, markeredgewidth=1.4, linestyle="none"
    )


def _write_moments(axes: Axes, explanation: Explanation) -> None:
    """Write the ranks of the first moments at their peaks, except where they would overlap."""
    low, high = axes.get_xlim()
    drawn: list[float] = []
    for rank, moment in enumerate(explanation.moments[:_NUMBERED], start=1):
        x = float(np.clip((moment.peak_s - low) / (high - low), 0.008, 0.992))
        if all(abs(x - other) * _AREA.width > 1.2 * FONT_PX for other in drawn):
            drawn.append(x)
            axes.text(
                x, 0.98, f"{rank}", ha="center", va="top", transform=axes.transAxes, **letters()
            )


def time_title(end_s: float) -> str:
    """Title of the time axis."""
    return "time (s)" if end_s < 60 else "time (min:s)" if end_s < 3600 else "time (h:min:s)"


def time_ticks(start_s: float, end_s: float, parts: int = 10) -> list[float]:
    """Round times from start to end: seconds by 1, 2, 5, then 15 s, 30 s, minutes."""
    rough = (end_s - start_s) / parts
    longer = [s for s in (15, 30, 60, 120, 300, 600, 1800, 3600) if s >= rough]
    step = _round_step(rough) if rough <= 10 else longer[0] if longer else _round_step(rough)
    first, last = int(np.ceil(start_s / step - 1e-9)), int(end_s / step + 1e-9)
    return [i * step for i in range(first, last + 1)]


def _round_step(rough: float) -> float:
    magnitude = 10.0 ** np.floor(np.log10(rough))
    return float(next(m * magnitude for m in (1, 2, 5, 10) if m * magnitude >= rough * 0.999))


def time_words(ticks: list[float], end_s: float) -> list[str]:
    """The times with as many decimals as distinguish them, without a unit."""
    step = ticks[1] - ticks[0] if len(ticks) > 1 else 1.0
    decimals = max(0, -int(np.floor(np.log10(step) + 1e-9)))
    return [text.clock(tick, end_s, decimals).removesuffix(" s") for tick in ticks]
