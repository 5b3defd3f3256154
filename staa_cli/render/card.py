"""The self-contained HTML that a notebook shows for an explanation.

It has no script, style sheet, or ids, so that one page can contain many of them. Font and
background are the notebook's, light or dark; all other colors are visible on both.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from html import escape
from io import BytesIO
from typing import TYPE_CHECKING

from PIL import Image

from staa_cli.formatting import counted
from staa_cli.paths import as_text
from staa_cli.render import text
from staa_cli.render.chart import OWN
from staa_cli.render.curve import Curve, unseen
from staa_cli.render.layout import ELLIPSIS
from staa_cli.render.plot import facts_line, time_ticks, time_words
from staa_cli.render.storyboard import highest
from staa_cli.schema import Explanation, UInt8

if TYPE_CHECKING:
    from staa_cli.errors import InputError

POSTER_PX = 480
"""Longer side of the poster: even noise takes only 180 kB in base64."""
_QUALITY = 75
_WIDTH, _HEIGHT = 640, 120
"""Size of the curve in SVG units; it scales to the notebook's width."""
_MOMENT, _UNSEEN = "#c07a1a", "#808080"
_WARNINGS, _WARNING_CHARACTERS, _NAME_CHARACTERS = 12, 600, 160
_SOFT = "opacity:.75"


def card(explanation: Explanation, poster: UInt8 | InputError) -> str:
    """HTML of at most 300 kB: prediction, poster, curve, and warnings.

    Args:
        explanation: of the video.
        poster: RGB [H, W, 3] of the highest moment, `POSTER_PX` at most; or why there is none.
    """
    prediction = explanation.prediction
    answer = text.answer(prediction.score, prediction.output)
    parts = (
        f'<div style="font-size:1.4em"><b>{_escaped(prediction.label)}</b> {escape(answer)}</div>',
        f'<div style="{_SOFT}">{_escaped(facts_line(explanation), 2 * _NAME_CHARACTERS)}</div>',
        '<div style="display:flex;flex-wrap:wrap;gap:1em;margin:.6em 0">',
        f'<div style="max-width:{POSTER_PX}px">{_poster(explanation, poster)}</div>',
        f'<div style="flex:1;min-width:14em;max-width:28em">{"".join(_top(explanation))}</div>',
        "</div>",
        _curve(explanation),
        *_warnings(explanation),
    )
    style = "max-width:960px;overflow-wrap:anywhere;line-height:1.4"
    return f'<div style="{style}">{"".join(parts)}</div>'


def _escaped(words: str, limit: int = _NAME_CHARACTERS) -> str:
    """Escape user text for HTML, on one line and cut if long.

    ``bdi`` keeps right-to-left text, such as an Arabic name, from reordering its surroundings.
    """
    line = " ".join(as_text(words).split())
    cut = line if len(line) <= limit else line[: limit - 1] + ELLIPSIS
    return f"<bdi>{escape(cut)}</bdi>"


def _poster(explanation: Explanation, poster: UInt8 | InputError) -> str:
    if isinstance(poster, Exception):
        return f"No picture: {_escaped(str(poster), _WARNING_CHARACTERS)}."
    content = BytesIO()
    Image.fromarray(poster).save(content, "JPEG", quality=_QUALITY)
    data = base64.b64encode(content.getvalue()).decode()
    time_s = float(explanation.video.times_s[highest(explanation)])
    words = f"highest score, at {text.clock(time_s, explanation.video.duration_s)}"
    height, width = poster.shape[:2]
    return (
        f'<img src="data:image/jpeg;base64,{data}" alt="{words}" width="{width}" height="{height}"'
        f' style="max-width:100%;height:auto;margin:0"><div style="{_SOFT}">{words}</div>'
    )


def _top(explanation: Explanation) -> Iterator[str]:
    """The classes with the highest scores, one per line; probabilities with a bar."""
    prediction = explanation.prediction
    for index, label, score in prediction.top():
        name = f"<b>{_escaped(label)}</b>" if index == prediction.target else _escaped(label)
        answer = escape(text.answer(score, prediction.output))
        yield (
            '<div style="display:flex;justify-content:space-between;gap:1em">'
            f'<span>{name}</span><span style="white-space:nowrap">{answer}</span></div>'
        )
        if prediction.is_probability:
            bar = f"background:{OWN};height:4px;width:{100 * score:.1f}%;margin-bottom:.4em"
            yield f'<div style="{bar}"></div>'


def _curve(explanation: Explanation) -> str:
    """The temporal score, as in the strip of annotated.mp4, with times below it."""
    curve = Curve.of(explanation)
    end_s, lines = curve.end_s, curve.joined(_WIDTH, _HEIGHT)
    moments = _spans(curve, [(moment.start_s, moment.end_s) for moment in explanation.moments], 2)
    gaps = _spans(curve, unseen(explanation), 0)
    zero = curve.y(0, _HEIGHT)
    steps = ["L".join(f"{x:.1f} {y:.1f}" for x, y in line) for line in lines]
    areas = "".join(
        f"M{line[0][0]:.1f} {zero:.1f}L{step}L{line[-1][0]:.1f} {zero:.1f}Z"
        for line, step in zip(lines, steps, strict=True)
    )
    points = "".join(f"M{step}h0" for step in steps)  # h0 draws a single point as a dot
    unit = "s" if end_s < 60 else "min:s" if end_s < 3600 else "h:min:s"
    words = f"Score over time ({unit}), {text.number(curve.low)} to {text.number(curve.high)}"
    words += "; moments are shaded" if moments else ""
    words += "; what no clip reaches is gray" if gaps else ""
    return (
        f'<svg viewBox="0 -2 {_WIDTH} {_HEIGHT + 4}" role="img" aria-label="{words}"'
        ' style="width:100%;display:block">'
        f'<path d="{gaps}" fill="{_UNSEEN}" fill-opacity=".3"/>'
        f'<path d="{moments}" fill="{_MOMENT}" fill-opacity=".3"/>'
        f'<path d="{areas}" fill="{OWN}" fill-opacity=".35"/>'
        f'<path d="{points}" fill="none" stroke="{OWN}" stroke-width="1.6" stroke-linecap="round"/>'
        f'<path d="M0 {zero:.1f}H{_WIDTH}" stroke="{_UNSEEN}"/></svg>'
        f'<div style="position:relative;height:1.5em">{"".join(_times(curve))}</div>'
        f'<div style="{_SOFT}">{words}</div>'
    )


def _times(curve: Curve) -> Iterator[str]:
    """Round times below the curve, as HTML rather than SVG to keep the font size."""
    ticks = time_ticks(curve.start_s, curve.end_s, 6)
    for tick, words in zip(ticks, time_words(ticks, curve.end_s), strict=True):
        share = 100 * curve.x(tick, _WIDTH) / _WIDTH
        shift = 0 if share < 2 else 100 if share > 98 else 50
        style = f"position:absolute;white-space:nowrap;left:{share:.1f}%;"
        style += f"transform:translateX(-{shift}%)"
        yield f'<span style="{style}">{escape(words)}</span>'


def _spans(curve: Curve, spans: list[tuple[float, float]], min_px: int) -> str:
    """Time spans as full-height boxes, rounded to pixels, which limits their number."""
    edges = {(round(curve.x(start, _WIDTH)), round(curve.x(stop, _WIDTH))) for start, stop in spans}
    return "".join(
        f"M{left} 0h{max(right - left, min_px)}v{_HEIGHT}H{left}Z"
        for left, right in sorted(edges)
        if right - left + min_px > 0
    )


def _warnings(explanation: Explanation) -> Iterator[str]:
    """The first warnings, and the number of further ones."""
    warnings = explanation.warnings
    for warning in warnings[:_WARNINGS]:
        words = _escaped(warning.text, _WARNING_CHARACTERS)
        yield (
            f'<div style="border-left:3px solid {OWN};padding-left:.6em;margin-top:.6em">'
            f"<b>{_escaped(warning.code)}</b>: {words}</div>"
        )
    if remaining := len(warnings[_WARNINGS:]):
        yield f"<div>and {counted(remaining, 'more warning')}, in <code>.warnings</code></div>"
