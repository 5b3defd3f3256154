"""The time axis of a page as SVG, which is readable without scripts; scripts add a playhead.

Positions in time are percentages of the width, so that strokes, text, and hatching keep their size
at any width; only curves are stretched.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

import numpy as np

from staa_cli.formatting import answer, clock, number, percent
from staa_cli.render.curve import Curve, unseen
from staa_cli.render.plot import time_ticks, time_words
from staa_cli.results.pages.page import escaped
from staa_cli.schema import Explanation

_WIDTH, _HEIGHT = 1001, 101
"""Points of a stretched curve; coordinates are 0 to 1000 and 0 to 100."""
STRETCHED = f'viewBox="0 0 {_WIDTH - 1} {_HEIGHT - 1}" preserveAspectRatio="none"'
"""Attributes of an SVG for `paths`, whatever its size."""
_BELOW_RANKS = 'y="18%" height="82%"'
_NUMBERED, _APART = 6, 2.5
"""Number of numbered moments, and the least distance of two numbers in percent."""
_MOST_CLIPS = 400
HATCH = (
    '<svg class="defs" aria-hidden="true"><defs><pattern id="hatch" width="7" height="7" '
    'patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<path class="hatch" d="M0 0V7"/></pattern></defs></svg>'
)
"""Defines the hatching, once in a page."""


def curve_lane(explanation: Explanation) -> str:
    """The curve of one method, with moments shaded and numbered, and what was not seen hatched."""
    curve = Curve.of(explanation)
    zero = curve.y(0, _HEIGHT)
    areas, stroke = paths(curve)
    moments = "".join(_spans(curve, [(m.start_s, m.end_s) for m in explanation.moments], "moment"))
    gaps = "".join(_spans(curve, unseen(explanation), "unseen"))
    return (
        f'<svg class="curve" role="img" aria-label="{escaped(curve_words(explanation))}">'
        f'{moments}{gaps}<svg {_BELOW_RANKS} {STRETCHED}><path class="area" d="{areas}"/>'
        f'<path class="zero" d="M0 {zero:.4g}H{_WIDTH - 1}"/>'
        f'<path class="line" d="{stroke}"/></svg>'
        f"{''.join(_ranks(explanation, curve))}</svg>"
    )


def paths(curve: Curve) -> tuple[str, str]:
    """The area below a curve, and its line, in the coordinates of `STRETCHED`."""
    zero, joined = curve.y(0, _HEIGHT), curve.joined(_WIDTH, _HEIGHT)
    lines = ["L".join(f"{x:.4g} {y:.4g}" for x, y in line) for line in joined]
    ends = [(line[0][0], line[-1][0]) for line in joined]
    areas = "".join(
        f"M{first:.4g} {zero:.4g}L{line}L{last:.4g} {zero:.4g}Z"
        for line, (first, last) in zip(lines, ends, strict=True)
    )
    return areas, "".join(f"M{line}h0" for line in lines)  # h0 draws a single point as a dot


def curve_words(explanation: Explanation) -> str:
    """What the curve shows, in a sentence."""
    frames, total = explanation.frames, explanation.video.duration_s
    if explanation.temporal.flat:
        return f"Score over time: {flat_words(explanation)}"
    scores = frames.weighted_score
    peak_s = float(frames.times_s[int(np.nanargmax(scores))])
    low, high = (number(float(bound)) for bound in (np.nanmin(scores), np.nanmax(scores)))
    return f"Score over time, {low} to {high}, highest at {clock(peak_s, total)}"


def flat_words(explanation: Explanation) -> str:
    """Why a curve counts as flat."""
    if explanation.temporal.still:
        return "flat: nothing moves, so no moment can stand out"
    share = 100 * explanation.temporal.coefficient_of_variation
    return f"flat: it varies by {share:.1f} % only, so no moment stands out"


def seen_lane(explanation: Explanation) -> str:
    """A tick for every frame that the model saw."""
    frames, curve = explanation.frames, Curve.of(explanation)
    columns = sorted({round(curve.x(t, _WIDTH)) for t in frames.times_s[frames.seen]})
    ticks = "".join(f"M{column} 0V1" for column in columns)
    return (
        '<svg class="seen" aria-hidden="true" viewBox="0 0 1000 1" preserveAspectRatio="none">'
        f'<path class="tick" d="{ticks}"/></svg>'
    )


def clip_lane(explanation: Explanation) -> str:
    """The score of the target in every clip, as an opacity; empty for too many clips."""
    clips, curve = explanation.clips, Curve.of(explanation)
    prediction = explanation.prediction
    if len(clips) > _MOST_CLIPS or not prediction.is_probability:
        return ""
    middles = [(clip.start_s + clip.end_s) / 2 for clip in clips]
    edges = [(one + two) / 2 for one, two in itertools.pairwise(middles)]
    boxes = []
    for clip, low, high, predicted in zip(
        clips,
        [curve.start_s, *edges],
        [*edges, curve.end_s],
        explanation.clip_predictions,
        strict=True,
    ):
        start_s = max(low, clip.start_s - clip.interval_s)
        end_s = min(high, clip.end_s + clip.interval_s)
        if end_s > start_s:
            score = float(predicted.scores[prediction.target])
            boxes.append(
                f'<rect class="clip" {_across(curve, start_s, end_s)} height="100%" '
                f'fill-opacity="{0.06 + 0.94 * score:.3g}"/>'
            )
    return f'<svg class="clips" aria-hidden="true">{"".join(boxes)}</svg>'


def time_axis(start_s: float, end_s: float) -> str:
    """Round times on an axis from its start to its end."""
    ticks = time_ticks(start_s, end_s, 6)
    marks = []
    for tick, text in zip(ticks, time_words(ticks, end_s), strict=True):
        share = 100 * (tick - start_s) / (end_s - start_s)
        anchor = "start" if share < 2 else "end" if share > 98 else "middle"
        marks.append(f'<text x="{share:.4g}%" y="12" text-anchor="{anchor}">{escaped(text)}</text>')
    return f'<svg class="axis" aria-hidden="true">{"".join(marks)}</svg>'


def clip_words(explanation: Explanation) -> str:
    """What the lane of clips shows."""
    label = explanation.prediction.label
    scores = [float(p.scores[explanation.prediction.target]) for p in explanation.clip_predictions]
    output = explanation.prediction.output
    ends = f"{answer(min(scores), output)} to {answer(max(scores), output)}"
    return f"“{label}” by clip, {ends}" if len(scores) > 1 else f"“{label}” in the only clip"


def seen_words(explanation: Explanation) -> str:
    """How much the model has seen."""
    coverage = explanation.coverage
    return (
        f"{percent(coverage.seen_share)} of frames seen, "
        f"{percent(coverage.covered_share)} of the time covered"
    )


def _ranks(explanation: Explanation, curve: Curve) -> Iterator[str]:
    """Ranks of the first moments above their peaks, except where they would overlap."""
    drawn: list[float] = []
    for rank, moment in enumerate(explanation.moments[:_NUMBERED], start=1):
        share = min(max(_share(curve, moment.peak_s), 1.0), 99.0)
        if all(abs(share - other) > _APART for other in drawn):
            drawn.append(share)
            side = 'dx="7"' if share < 97 else 'dx="-7" text-anchor="end"'  # of the playhead
            yield f'<text class="rank" x="{share:.4g}%" y="13" {side}>{rank}</text>'


def _spans(curve: Curve, spans: Iterable[tuple[float, float]], kind: str) -> Iterator[str]:
    """Spans of full height; those of the same pixels are drawn once."""
    for box in dict.fromkeys(_across(curve, *span) for span in spans):
        fill = ' fill="url(#hatch)"' if kind == "unseen" else ""
        yield f'<rect class="{kind}" {box} height="100%"{fill}/>'


def _across(curve: Curve, start_s: float, end_s: float) -> str:
    left, right = _share(curve, start_s), _share(curve, end_s)
    return f'x="{left:.4g}%" width="{max(right - left, 0.1):.3g}%"'


def _share(curve: Curve, time_s: float) -> float:
    """Position of a time in percent of the axis."""
    return curve.x(time_s, 101)
