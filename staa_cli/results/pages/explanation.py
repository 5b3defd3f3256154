"""The page of an explained video: report.html.

It takes a list of explanations of one video, which differ in their method: the first one says what
was predicted, and each of them has a row on the time axis and maps to choose from.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from staa_cli import __version__
from staa_cli.config.settings import RenderSettings
from staa_cli.formatting import answer, clock, counted, number, percent
from staa_cli.render.color import colormap
from staa_cli.render.heat import HeatField
from staa_cli.results.pages import timeline
from staa_cli.results.pages.arrays import (
    SCALES,
    method_arrays,
    packed,
    score_range,
    shared_arrays,
)
from staa_cli.results.pages.charts import faithfulness_section
from staa_cli.results.pages.facts import facts_sections
from staa_cli.results.pages.media import Media
from staa_cli.results.pages.page import base64_block, data_block, escaped, page, words
from staa_cli.schema import Explanation, Moment

STYLES, SCRIPTS = ("page.css", "viewer.css"), ("heat.js", "player.js", "viewer.js")
_SHOWN_MOMENTS = 6
_MORE_MOMENTS = 24
_SHOWN_CLIPS = 60
_QUALITY = 78


def explanation_page(
    explanations: Sequence[Explanation],
    media: Media,
    poster: Image.Image,
    stills: Mapping[int, Image.Image],
    settings: RenderSettings,
    *,
    files: Sequence[str] = (),
) -> str:
    """HTML of the page.

    Args:
        explanations: of one video, by different methods; at least one.
        media: the video.
        poster: frame of the highest score with heat.
        stills: frames with heat, by position in the video, in the order of time.
        settings: color map, opacity, and scale at the beginning.
        files: names of further files of the result in the same folder.
    """
    explanation = explanations[0]
    name = Path(explanation.video.path).name
    arrays = shared_arrays(explanation, settings)
    for number_, one in enumerate(explanations):
        arrays |= method_arrays(one, number_)
    table, content = packed(arrays)
    body = (
        f"{timeline.HATCH}{_header(explanation, name)}"
        '<main class="columns"><div class="viewer" data-viewer>'
        f"{_stage(explanation, media, poster)}{_controls(explanations, settings)}"
        f"{_lanes(explanations)}"
        f"{_moments(explanation, stills)}</div>"
        f"<aside>{''.join(_panel(explanation, media))}</aside></main>{_footer(files)}{_HELP}"
        f"{data_block('data', _data(explanations, media, settings) | {'arrays': table})}"
        f"{base64_block('arrays', content)}"
    )
    title = f"{explanation.prediction.label} · {name} · staa"
    return page(title, body, styles=STYLES, scripts=SCRIPTS, media=media.policy)


def _data(
    explanations: Sequence[Explanation], media: Media, settings: RenderSettings
) -> dict[str, Any]:
    """What the scripts need, except for the arrays."""
    explanation = explanations[0]
    return {
        "start_s": explanation.start_s,
        "end_s": explanation.end_s,
        "first": explanation.part.start,
        "offset_s": media.offset_s,
        "peak_s": _peak_s(explanation),
        "opacity": settings.opacity,
        "scale": settings.scale,
        "methods": [
            {
                "name": one.attributions[0].method,
                "grid": list(one.maps.values.shape[1:]),
                "box": list(one.maps.box),
                "spans": [list(span) for span in one.frames.spans()],
                "scores": list(score_range(one)),
                "flat": one.spatial.flat,
                "ends": {scale: HeatField(one, scale).ends("heat") for scale in SCALES},
            }
            for one in explanations
        ],
    }


def _peak_s(explanation: Explanation) -> float:
    from staa_cli.render.storyboard import highest

    return float(explanation.video.times_s[highest(explanation)])


def _header(explanation: Explanation, name: str) -> str:
    prediction = explanation.prediction
    reason = {
        "top-1": "most probable class",
        "named": "class asked for",
        "index": "class asked for",
    }
    how = "highest score" if not prediction.is_probability else reason["top-1"]
    how = how if prediction.reason == "top-1" else reason[prediction.reason]
    method, model = explanation.attributions[0].method, explanation.model.name
    return (
        f'<header><h1>{words(prediction.label)} <span class="answer">'
        f"{escaped(answer(prediction.score, prediction.output))}</span></h1>"
        f'<p class="soft">{escaped(how)} · {words(name)} · {words(method)} · {words(model)}</p>'
        "</header>"
    )


def _stage(explanation: Explanation, media: Media, poster: Image.Image) -> str:
    info = explanation.video
    across, down = info.sample_aspect_ratio
    width, height = max(1, round(info.width * across / down)), info.height
    source = f' src="{escape(media.address)}"' if media.address else ""
    video = (
        f'<video controls playsinline preload="auto" width="{width}" height="{height}" '
        f'poster="{jpeg(poster)}"{source} aria-label="{escaped(Path(info.path).name)}"></video>'
    )
    return (
        f'<div class="stage"><div class="picture">{video}'
        '<div class="crop" hidden><canvas></canvas></div>'
        '<p class="badge" hidden></p><p class="problem" role="alert" hidden></p></div></div>'
    )


def _controls(explanations: Sequence[Explanation], settings: RenderSettings) -> str:
    """Controls, which scripts show."""
    field = HeatField(explanations[0], settings.scale)
    low, high = field.ends("heat")
    names = [one.attributions[0].method for one in explanations]
    return (
        '<div class="controls" hidden>'
        '<div class="transport">'
        '<button class="play" type="button" aria-label="Play" title="Play (space)"></button>'
        '<button class="step" type="button" data-step="-1" aria-label="Previous frame" '
        'title="Previous frame (←)"></button>'
        '<button class="step" type="button" data-step="1" aria-label="Next frame" '
        'title="Next frame (→)"></button>'
        '<span class="clock"></span><span class="frame soft"></span>'
        '<button class="help" type="button" aria-label="Keys" title="Keys (?)">?</button></div>'
        '<div class="look"><label class="switch"><input type="checkbox" class="heat" checked> heat'
        '</label><label>opacity <input class="opacity" type="range" min="0" max="1" step="0.05" '
        f'value="{settings.opacity:g}"></label>'
        '<label>from level <input class="threshold" type="range" min="0" max="0.95" step="0.05" '
        f'value="0"></label>{_select("scale", SCALES, settings.scale)}'
        f"{_select('method', names, names[0]) if len(names) > 1 else ''}"
        f'<span class="legend" title="evidence"><span class="low">{escaped(low)}</span>'
        f'{_color_bar(settings.colormap)}<span class="high">{escaped(high)}</span></span>'
        "</div></div>"
    )


def _select(name: str, choices: Sequence[str], chosen: str) -> str:
    options = "".join(
        f"<option{' selected' if choice == chosen else ''}>{escaped(choice)}</option>"
        for choice in choices
    )
    return f'<label>{name} <select class="{name}">{options}</select></label>'


def _color_bar(name: str) -> str:
    colors = colormap(name)[::15]
    stops = "".join(
        f'<stop offset="{place / (len(colors) - 1):.3g}" stop-color="#{bytes(color).hex()}"/>'
        for place, color in enumerate(colors)
    )
    return (
        '<svg class="bar" aria-hidden="true"><defs><linearGradient id="colors">'
        f'{stops}</linearGradient></defs><rect width="100%" height="100%" fill="url(#colors)"/>'
        "</svg>"
    )


def _lanes(explanations: Sequence[Explanation]) -> str:
    """The time axis with a row for each method."""
    explanation = explanations[0]
    rows = "".join(
        f'<div class="lane" data-method="{place}"><p class="name">'
        f"{words(one.attributions[0].method)}{_flat_note(one)}</p>{timeline.curve_lane(one)}</div>"
        for place, one in enumerate(explanations)
    )
    clips = timeline.clip_lane(explanation)
    captions = [timeline.seen_words(explanation)]
    captions += [timeline.clip_words(explanation)] if clips else []
    return (
        f'<section aria-label="Time" class="time"><div class="lanes">{rows}'
        f"{timeline.seen_lane(explanation)}{clips}"
        '<div class="playhead" hidden></div><div class="pointer" hidden></div></div>'
        f"{timeline.time_axis(explanation)}"
        f'<p class="soft">{escaped(" · ".join(captions))}</p></section>'
    )


def _flat_note(explanation: Explanation) -> str:
    if not explanation.temporal.flat:
        return ""
    return f' <span class="note">{escaped(timeline.flat_words(explanation))}</span>'


def _moments(explanation: Explanation, stills: Mapping[int, Image.Image]) -> str:
    """Cards that seek, with pictures, and all moments as a table."""
    total = explanation.video.duration_s
    cards = "".join(_card(explanation, index, still) for index, still in stills.items())
    moments = explanation.moments
    more = "".join(
        f'<button type="button" class="chip" data-seek="{moment.peak_s:.6f}"><b>{rank}</b> '
        f"{escaped(clock(moment.peak_s, total))}</button>"
        for rank, moment in enumerate(moments[: _MORE_MOMENTS + _SHOWN_MOMENTS], start=1)
        if rank > _SHOWN_MOMENTS
    )
    chips = f'<p class="chips">{more}</p>' if more else ""
    title = "Top moments" if moments else "Frames"
    return (
        f'<section class="moments"><h2>{title}</h2><div class="cards">{cards}</div>'
        f"{chips}{_moments_table(moments, total)}</section>"
    )


def _card(explanation: Explanation, index: int, still: Image.Image) -> str:
    time_s, total = float(explanation.video.times_s[index]), explanation.video.duration_s
    moment = next((m for m in explanation.moments if abs(m.peak_s - time_s) < 1e-6), None)
    rank, text, place = "", "", ""
    if moment is not None:
        rank = f"<b>{explanation.moments.index(moment) + 1}</b> "
        span = f"{clock(moment.start_s, total)} to {clock(moment.end_s, total)}"
        text = f'<span class="soft">{span} · {percent(moment.share)} of the evidence</span>'
        place = f", heat {_place(moment.center)}"
    when = clock(time_s, total, 2)
    width, height = still.size
    return (
        f'<button type="button" class="card" data-seek="{time_s:.6f}"><img src="{jpeg(still)}" '
        f'width="{width}" height="{height}" alt="Frame at {when}{place}">'
        f"<span>{rank}at {when}</span>{text}</button>"
    )


def _moments_table(moments: Sequence[Moment], total: float) -> str:
    if not moments:
        return '<p class="soft">No moment stands out; these frames are spread over the video.</p>'
    rows = "".join(
        f"<tr><td>{rank}</td><td>{clock(moment.peak_s, total, 2)}</td><td>"
        f"{clock(moment.start_s, total, 2)} to {clock(moment.end_s, total, 2)}</td><td>"
        f"{percent(moment.share)}</td><td>{number(moment.peak_score)}</td>"
        f"<td>{_place(moment.center)}</td></tr>"
        for rank, moment in enumerate(moments[: _SHOWN_MOMENTS + _MORE_MOMENTS], start=1)
    )
    names = ("rank", "peak", "span", "share", "peak score", "place")
    heads = "".join(f'<th scope="col">{name}</th>' for name in names)
    return (
        '<details><summary>as a table</summary><div class="scroll"><table><thead><tr>'
        f"{heads}</tr></thead><tbody>{rows}</tbody></table></div></details>"
    )


def _place(center: tuple[float, float]) -> str:
    """A place in the picture in words."""
    x, y = (min(2, int(3 * share)) if share >= 0 else 0 for share in center)
    row, column = ("upper", "", "lower")[y], ("left", "", "right")[x]
    return " ".join(part for part in (row, column) if part) or "center"


def _panel(explanation: Explanation, media: Media) -> Iterator[str]:
    """The sections beside the video."""
    yield f'<section><h2>Prediction</h2><ol class="top">{"".join(_top(explanation))}</ol></section>'
    if explanation.warnings:
        rows = "".join(
            f"<li><b>{escaped(warning.code)}</b> {words(warning.text)}</li>"
            for warning in explanation.warnings
        )
        title = f"Warning{'s'[: len(explanation.warnings) != 1]}"
        yield f'<section class="warnings"><h2>{title}</h2><ul>{rows}</ul></section>'
    if explanation.faithfulness is not None:
        charts = faithfulness_section(explanation.faithfulness, explanation.prediction.output)
        yield f"<section><h2>Faithfulness</h2>{charts}</section>"
    yield _clips(explanation)
    yield from facts_sections(explanation, media.note)


def _top(explanation: Explanation) -> Iterator[str]:
    prediction = explanation.prediction
    top = prediction.top()
    if prediction.target not in [index for index, _, _ in top]:
        top.append((prediction.target, prediction.label, prediction.score))
    for index, label, score in top:
        name = f"<b>{words(label)}</b>" if index == prediction.target else words(label)
        meter = ""
        if prediction.is_probability:
            bar = f'<rect width="{100 * score:.4g}%" height="100%"/>'
            meter = f'<svg class="meter" aria-hidden="true">{bar}</svg>'
        kind = ' class="target"' if index == prediction.target else ""
        yield (
            f"<li{kind}><span>{name}</span><span>{escaped(answer(score, prediction.output))}</span>"
            f"{meter}</li>"
        )


def _clips(explanation: Explanation) -> str:
    """The prediction of each clip; of very many, those with the highest scores of the target."""
    total, output = explanation.video.duration_s, explanation.prediction.output
    target = explanation.prediction.target
    pairs = list(zip(explanation.clips, explanation.clip_predictions, strict=True))
    shown = sorted(pairs, key=lambda pair: -float(pair[1].scores[target]))[:_SHOWN_CLIPS]
    shown.sort(key=lambda pair: pair[0].index)
    rows = []
    for clip, prediction in shown:
        ((_, label, score),) = prediction.top(1)
        of_target = answer(float(prediction.scores[target]), output)
        rows.append(
            f'<tr><td><button type="button" class="link" data-seek="{clip.start_s:.6f}">'
            f"{clock(clip.start_s, total, 2)}</button></td><td>{words(label)}</td>"
            f"<td>{escaped(answer(score, output))}</td><td>{escaped(of_target)}</td>"
            "</tr>"
        )
    hidden = len(pairs) - len(shown)
    note = f'<p class="soft">{counted(hidden, "more clip")} in report.json</p>' if hidden else ""
    target_label = words(explanation.prediction.label)
    return (
        f"<details{' open' if len(pairs) <= 8 else ''}><summary><h2>{counted(len(pairs), 'clip')}"
        '</h2></summary><div class="scroll"><table><thead><tr><th scope="col">from</th>'
        '<th scope="col">label</th><th scope="col"></th>'
        f'<th scope="col">{target_label}</th></tr></thead><tbody>{"".join(rows)}</tbody></table>'
        f"</div>{note}</details>"
    )


def _footer(files: Sequence[str]) -> str:
    links = "".join(f' · <a href="{escaped(name)}">{escaped(name)}</a>' for name in files)
    return f'<footer class="soft">staa {escaped(__version__)}{links}</footer>'


_KEYS = (
    ("space", "play or pause"),
    ("← →", "previous or next frame; with shift, a second"),
    ("home end", "first or last frame"),
    ("h", "heat on or off"),
    ("m", "next method"),
    ("[ ]", "less or more opaque"),
    ("?", "this list"),
)
_HELP = (
    '<dialog class="keys" aria-label="Keys"><dl>'
    + "".join(
        f"<dt><kbd>{'</kbd><kbd>'.join(keys.split())}</kbd></dt><dd>{text}</dd>"
        for keys, text in _KEYS
    )
    + '</dl><form method="dialog"><button>close</button></form></dialog>'
)


def jpeg(picture: Image.Image) -> str:
    """A picture as a data URL."""
    content = BytesIO()
    picture.save(content, "JPEG", quality=_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode()}"
