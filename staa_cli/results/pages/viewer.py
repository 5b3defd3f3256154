"""The viewer: a video with its heat, controls, and time axis, and the data of its scripts.

Its moving parts are in `assets/viewer.js`. Without scripts, there is a video with a poster, and a
time axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from staa_cli.config.settings import RenderSettings
from staa_cli.render.color import colormap
from staa_cli.render.curve import axis_s
from staa_cli.render.heat import Heat, HeatField
from staa_cli.render.storyboard import highest
from staa_cli.results.document import Video
from staa_cli.results.pages import timeline
from staa_cli.results.pages.arrays import (
    SCALES,
    method_arrays,
    packed,
    score_range,
    shared_arrays,
)
from staa_cli.results.pages.media import Media
from staa_cli.results.pages.page import base64_block, data_block, escaped, keys_dialog, words
from staa_cli.results.pages.stills import Still
from staa_cli.schema import Explanation, VideoInfo

STYLES, SCRIPTS = ("viewer.css",), ("heat.js", "player.js", "viewer.js")
"""Its assets."""


def viewer(
    explanations: Sequence[Explanation],
    media: Media,
    poster: Still,
    settings: RenderSettings,
    below: str = "",
    name: str = "viewer",
) -> str:
    """HTML of a viewer.

    Args:
        explanations: of one video, by different methods; at least one.
        media: the video.
        poster: frame of the highest score with heat.
        settings: color map, opacity, and scale at the beginning.
        below: HTML that follows the time axis.
        name: unique in the page.
    """
    arrays = shared_arrays(explanations[0], settings)
    for place, one in enumerate(explanations):
        arrays |= method_arrays(one, place)
    table, content = packed(arrays)
    names = [one.attributions[0].method for one in explanations]
    return (
        f'<div class="viewer" data-viewer="{name}">{_stage(explanations[0], media, poster)}'
        f"{controls(settings, _legend(explanations[0], settings), names)}"
        f"{_lanes(explanations)}{below}</div>"
        f"{data_block(f'{name}-data', _data(explanations, media) | {'arrays': table})}"
        f"{base64_block(f'{name}-arrays', content)}"
    )


def _data(explanations: Sequence[Explanation], media: Media) -> dict[str, Any]:
    """What the scripts need, except for the arrays."""
    explanation = explanations[0]
    return {
        "start_s": explanation.start_s,
        "end_s": explanation.end_s,
        "first": explanation.part.start,
        "offset_s": media.offset_s,
        "media": media.note,
        "peak_s": float(explanation.video.times_s[highest(explanation)]),
        "methods": [
            {"name": one.attributions[0].method, "scores": list(score_range(one))} | field_data(one)
            for one in explanations
        ],
    }


def field_data(heat: Heat) -> dict[str, Any]:
    """What the scripts need to draw maps, except for the arrays."""
    return {
        "grid": list(heat.maps.values.shape[1:]),
        "box": list(heat.maps.box),
        "spans": [list(span) for span in heat.frames.spans()],
        "flat": heat.spatial.flat,
        "ends": {scale: HeatField(heat, scale).ends("heat") for scale in SCALES},
    }


def _stage(explanation: Explanation, media: Media, poster: Still) -> str:
    info = explanation.video
    shown = video_element(info, media, f' poster="{poster.address}"')
    return f'<div class="stage">{picture(shown)}</div>'


def video_element(info: VideoInfo | Video, media: Media, poster: str = "") -> str:
    """The video, in the shape that players show."""
    across, down = info.sample_aspect_ratio
    width, height = max(1, round(info.width * across / down)), info.height
    source = f' src="{escape(media.address)}"' if media.address else ""
    return (
        f'<video controls playsinline preload="auto" width="{width}" height="{height}"'
        f'{poster}{source} aria-label="{escaped(Path(info.path).name)}"></video>'
    )


def picture(content: str, method: int | None = None) -> str:
    """A picture with heat over it: of that method, or else of the one that is chosen."""
    fixed = "" if method is None else f' data-method="{method}"'
    return (
        f'<div class="picture"{fixed}>{content}'
        '<div class="crop" hidden><canvas class="hue"></canvas><canvas class="glow"></canvas></div>'
        '<p class="badge" hidden></p><p class="problem" role="alert" hidden></p></div>'
    )


def _legend(explanation: Explanation, settings: RenderSettings) -> str:
    low, high = HeatField(explanation, settings.scale).ends("heat")
    return (
        f'<span class="legend" title="evidence"><span class="low">{escaped(low)}</span>'
        f'{color_bar(settings.colormap)}<span class="high">{escaped(high)}</span></span>'
    )


def controls(settings: RenderSettings, legend: str, methods: Sequence[str] = ()) -> str:
    """Controls, which scripts show.

    Args:
        settings: what they are set to at the beginning.
        legend: HTML.
        methods: names to choose from.
    """
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
        f"{_select('method', methods, methods[0]) if len(methods) > 1 else ''}"
        f"{legend}</div></div>"
    )


def _select(name: str, choices: Sequence[str], chosen: str) -> str:
    options = "".join(
        f"<option{' selected' if choice == chosen else ''}>{escaped(choice)}</option>"
        for choice in choices
    )
    return f'<label>{name} <select class="{name}">{options}</select></label>'


def color_bar(name: str, identity: str = "colors") -> str:
    """The colors of a map from the lowest to the highest level; `identity` is its own in a page."""
    colors = colormap(name)[::15]
    stops = "".join(
        f'<stop offset="{place / (len(colors) - 1):.3g}" stop-color="#{bytes(color).hex()}"/>'
        for place, color in enumerate(colors)
    )
    return (
        f'<svg class="bar" aria-hidden="true"><defs><linearGradient id="{identity}">'
        f'{stops}</linearGradient></defs><rect width="100%" height="100%" fill="url(#{identity})"/>'
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
        f"{timeline.time_axis(*axis_s(explanation))}"
        f'<p class="soft">{escaped(" · ".join(captions))}</p></section>'
    )


def _flat_note(explanation: Explanation) -> str:
    if not explanation.temporal.flat:
        return ""
    return f' <span class="note">{escaped(timeline.flat_words(explanation))}</span>'


HELP = keys_dialog(
    {
        "space": "play or pause",
        "← →": "previous or next frame; with shift, a second",
        "home end": "first or last frame",
        "h": "heat on or off",
        "m": "next method",
        "[ ]": "less or more opaque",
        "?": "this list",
    }
)
"""The list of keys, once in a page."""
