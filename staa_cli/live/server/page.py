"""The live page: the viewer of report.html with a stream in it.

It is sent to whoever asks, so nothing about the stream is in it; that comes over the WebSocket,
and scripts set it as text.
"""

from __future__ import annotations

import base64

from staa_cli.config.settings import RenderSettings
from staa_cli.formatting import raw
from staa_cli.render.color import colormap
from staa_cli.results.pages.page import data_block, keys_dialog, page
from staa_cli.results.pages.viewer import color_bar, picture

_STYLES = ("page.css", "viewer.css", "live.css")
_SCRIPTS = ("heat.js", "live_video.js", "live.js")
_KEYS = {
    "h": "heat on or off",
    "[ ]": "less or more opaque",
    "k": "keep the last seconds",
    "?": "this list",
}


def live_page(settings: RenderSettings, keep_s: float | None) -> str:
    """The whole page.

    Args:
        settings: color map and opacity at the beginning.
        keep_s: seconds that its button keeps; None for no button.
    """
    keys = {key: text for key, text in _KEYS.items() if key != "k" or keep_s is not None}
    data = {
        "colors": base64.b64encode(colormap(settings.colormap).tobytes()).decode(),
        "keep_s": keep_s,
    }
    body = (
        f'{_HEADER}<main class="columns">'
        f'<div class="viewer live"><div class="stage">{picture(_CANVAS)}</div>'
        f"{_controls(settings, keep_s)}{_CURVE}{_WARNINGS}</div><aside>{_ASIDE}</aside></main>"
        f"{keys_dialog(keys)}{data_block('live-data', data)}"
        "<noscript><p>This page needs JavaScript to show a stream.</p></noscript>"
    )
    return page(
        "staa live",
        body,
        styles=_STYLES,
        scripts=_SCRIPTS,
        connect="'self'",
        generator="staa-live",
    )


_HEADER = (
    '<header><div class="state"><span class="dot" aria-hidden="true"></span>'
    '<span class="connection" role="status">connecting</span></div>'
    '<h1><bdi class="label">Waiting for the first window</bdi> <span class="answer"></span></h1>'
    '<p class="soft source"><bdi>&nbsp;</bdi></p>'
    '<p class="said" role="status" aria-live="polite"></p></header>'
)
_CANVAS = '<canvas class="screen" width="640" height="360" role="img" aria-label="Stream"></canvas>'
_CURVE = (
    '<section class="time" aria-label="Score over the last 10 seconds"><div class="lanes">'
    '<div class="lane chosen"><p class="name"><bdi class="method">score</bdi> '
    '<span class="note"></span></p>'
    '<svg class="curve" role="img" aria-label="No score yet" viewBox="0 0 10 100" '
    'preserveAspectRatio="none"><path class="area"/><path class="zero"/><path class="line"/>'
    '</svg></div></div><svg class="axis" aria-hidden="true">'
    '<text x="0" y="12">10 s ago</text><text x="50%" y="12" text-anchor="middle">5 s ago</text>'
    '<text class="now" x="100%" y="12" text-anchor="end">now</text></svg></section>'
)
_ASIDE = (
    '<section><h2>Prediction</h2><ol class="top"><li class="soft">none yet</li></ol></section>'
    '<section class="delays"><h2>Delay</h2><p class="late"><b class="shown50"></b> '
    '<span class="soft">from capture to pixels, half of the frames; 95 % within '
    '<span class="shown95"></span></span></p>'
    "<table><thead><tr><th>stage</th><th>P50</th><th>P95</th></tr></thead><tbody></tbody></table>"
    '</section><section><h2>Stream</h2><dl class="facts"></dl></section>'
)
_WARNINGS = '<section class="warnings" hidden><h2>Warnings</h2><ul></ul></section>'


def _controls(settings: RenderSettings, keep_s: float | None) -> str:
    keep, kept = "", ""
    if keep_s is not None:
        keep = (
            f'<button class="keep" type="button" title="Keep (k)">keep the last {raw(keep_s)} s'
            "</button>"
        )
        kept = '<p class="kept soft" role="status"></p>'
    return (
        '<div class="controls"><div class="look">'
        '<label class="switch"><input type="checkbox" class="heat" checked> heat</label>'
        '<label>opacity <input class="opacity" type="range" min="0" max="1" step="0.05" '
        f'value="{settings.opacity:g}"></label>'
        '<label>from level <input class="threshold" type="range" min="0" max="0.95" step="0.05" '
        'value="0"></label>'
        '<span class="legend" title="evidence"><span class="low"></span>'
        f'{color_bar(settings.colormap)}<span class="high"></span></span></div>'
        '<div class="transport"><span class="clock"></span><span class="age soft"></span>'
        f'<span class="actions">{keep}<button class="help" type="button" aria-label="Keys" '
        f'title="Keys (?)">?</button></span></div>{kept}</div>'
    )
