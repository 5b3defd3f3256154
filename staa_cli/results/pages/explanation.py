"""The page of an explained video: report.html.

It takes a list of explanations of one video, which differ in their method: the first one says what
was predicted, and each of them has a row on the time axis and maps to choose from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from staa_cli import __version__
from staa_cli.config.settings import RenderSettings
from staa_cli.formatting import answer, clock, counted, number, percent, place
from staa_cli.results.pages import timeline
from staa_cli.results.pages.charts import faithfulness_section
from staa_cli.results.pages.facts import facts_sections
from staa_cli.results.pages.media import Media
from staa_cli.results.pages.page import escaped, page, words
from staa_cli.results.pages.stills import Still
from staa_cli.results.pages.viewer import HELP, SCRIPTS, STYLES, viewer
from staa_cli.schema import Explanation, Moment

_CARDS, _LISTED = 6, 30
"""Numbers of moments with a card, and of those that are listed."""
_SHOWN_CLIPS = 60


def explanation_page(
    explanations: Sequence[Explanation],
    media: Media,
    poster: Still,
    stills: Mapping[int, Still],
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
    moments = _moments(explanation, stills)
    body = (
        f'{timeline.HATCH}{_header(explanation, name)}<main class="columns">'
        f"{viewer(explanations, media, poster, settings, moments)}"
        f"<aside>{''.join(_panel(explanation, media))}</aside></main>{_footer(files)}{HELP}"
    )
    title = f"{explanation.prediction.label} · {name} · staa"
    styles = ("page.css", *STYLES)
    return page(title, body, styles=styles, scripts=SCRIPTS, media=media.policy)


def _header(explanation: Explanation, name: str) -> str:
    prediction = explanation.prediction
    how = "class asked for"
    if prediction.reason == "top-1":
        how = "most probable class" if prediction.is_probability else "highest score"
    method, model = explanation.attributions[0].method, explanation.model.name
    return (
        f'<header><h1>{words(prediction.label)} <span class="answer">'
        f"{escaped(answer(prediction.score, prediction.output))}</span></h1>"
        f'<p class="soft">{escaped(how)} · {words(name)} · {words(method)} · {words(model)}</p>'
        "</header>"
    )


def _moments(explanation: Explanation, stills: Mapping[int, Still]) -> str:
    """Cards that seek, with pictures, and all moments as a table."""
    total = explanation.video.duration_s
    cards = "".join(_card(explanation, index, still) for index, still in stills.items())
    moments = explanation.moments
    more = "".join(
        f'<button type="button" class="chip" data-seek="{moment.peak_s:.6f}"><b>{rank}</b> '
        f"{escaped(clock(moment.peak_s, total))}</button>"
        for rank, moment in enumerate(moments[:_LISTED], start=1)
        if rank > _CARDS
    )
    chips = f'<p class="chips">{more}</p>' if more else ""
    title = "Top moments" if moments else "Frames"
    return (
        f'<section class="moments"><h2>{title}</h2><div class="cards">{cards}</div>'
        f"{chips}{_moments_table(moments, total)}</section>"
    )


def _card(explanation: Explanation, index: int, still: Still) -> str:
    time_s, total = float(explanation.video.times_s[index]), explanation.video.duration_s
    times_s = explanation.video.times_s
    peaks = [int(np.abs(times_s - moment.peak_s).argmin()) for moment in explanation.moments]
    rank, text, where = "", "", ""
    if index in peaks:
        moment = explanation.moments[peaks.index(index)]
        rank = f"<b>{peaks.index(index) + 1}</b> "
        span = f"{clock(moment.start_s, total)} to {clock(moment.end_s, total)}"
        text = f'<span class="soft">{span} · {percent(moment.share)} of the evidence</span>'
        where = f", heat {place(moment.center)}"
    when = clock(time_s, total, 2)
    width, height = still.size
    return (
        f'<button type="button" class="card" data-seek="{time_s:.6f}"><img src="{still.address}" '
        f'width="{width}" height="{height}" alt="Frame at {when}{where}">'
        f"<span>{rank}at {when}</span>{text}</button>"
    )


def _moments_table(moments: Sequence[Moment], total: float) -> str:
    if not moments:
        return '<p class="soft">No moment stands out; these frames are spread over the video.</p>'
    rows = "".join(
        f"<tr><td>{rank}</td><td>{clock(moment.peak_s, total, 2)}</td><td>"
        f"{clock(moment.start_s, total, 2)} to {clock(moment.end_s, total, 2)}</td><td>"
        f"{percent(moment.share)}</td><td>{number(moment.peak_score)}</td>"
        f"<td>{place(moment.center)}</td></tr>"
        for rank, moment in enumerate(moments[:_LISTED], start=1)
    )
    hidden = len(moments) - _LISTED
    note = f'<p class="soft">{counted(hidden, "more moment")} in report.json</p>'
    names = ("rank", "peak", "span", "share", "peak score", "place")
    heads = "".join(f'<th scope="col">{name}</th>' for name in names)
    return (
        '<details><summary>as a table</summary><div class="scroll"><table><thead><tr>'
        f"{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
        f"{note if hidden > 0 else ''}</details>"
    )


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
        '<th scope="col">label</th><th scope="col">score</th>'
        f'<th scope="col">{target_label}</th></tr></thead><tbody>{"".join(rows)}</tbody></table>'
        f"</div>{note}</details>"
    )


def _footer(files: Sequence[str]) -> str:
    links = "".join(f' · <a href="{escaped(name)}">{escaped(name)}</a>' for name in files)
    return f'<footer class="soft">staa {escaped(__version__)}{links}</footer>'
