"""The viewer of two results of one video: both heats and both curves on one clock, and what moved.

There is one video. Beside it, scripts show copies of the same decoded frame, so that old, new, and
their difference are at the same time by construction.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from staa_cli.config.settings import RenderSettings
from staa_cli.formatting import clock, place
from staa_cli.render.color import DIFFERENCE, colormap
from staa_cli.render.curve import Curve
from staa_cli.render.heat import Heat
from staa_cli.results.diff.measures import durations
from staa_cli.results.diff.moved import Curves, Span, map_gain, places
from staa_cli.results.diff.pairs import Result
from staa_cli.results.document import Point, Report
from staa_cli.results.pages.arrays import heat_arrays, packed, signed_arrays, steps_us
from staa_cli.results.pages.media import Media
from staa_cli.results.pages.page import base64_block, data_block, escaped, words
from staa_cli.results.pages.timeline import STRETCHED, paths, time_axis
from staa_cli.results.pages.viewer import color_bar, controls, field_data, picture, video_element
from staa_cli.schema import Clip, FrameScores, HeatMaps, SpatialStats

_OLD, _NEW, _MOVED = range(3)


@dataclass(frozen=True, slots=True, eq=False)
class _MeanHeat:
    """The heat of a report without maps: its mean map at any time."""

    maps: HeatMaps
    frames: FrameScores
    clips: tuple[Clip, ...]
    spatial: SpatialStats

    @classmethod
    def of(cls, report: Report) -> _MeanHeat:
        """From the report alone."""
        rows, spatial = report.frames, report.spatial
        times_s = np.array(rows.time_s)
        scores = np.array(rows.score, np.float32)  # NaN where no clip reaches
        end_s = float(times_s[-1] + durations(times_s)[-1])
        covered, first = ~np.isnan(scores), rows.index[0]
        values = np.array([spatial.mean_map], np.float32)
        clips = (
            Clip(clip.index, tuple(clip.frame_indices), tuple(clip.times_s))
            for clip in report.sampling.clips
        )
        return cls(
            HeatMaps(times_s[:1], values, spatial.box),
            FrameScores(times_s, scores, scores, np.array(rows.seen), covered, end_s, first),
            tuple(clips),
            SpatialStats(spatial.coefficient_of_variation, spatial.flat),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """Two results of a video, and what has moved between them."""

    old: Result
    new: Result
    curves: Curves
    spans: tuple[Span, Span] | None
    """Time that has lost most importance, and time that has gained most."""
    places: tuple[Point, Point] | None
    """Place that has lost most, and place that has gained most."""

    @classmethod
    def of(cls, old: Result, new: Result) -> Compared:
        """Find what has moved."""
        curves = Curves.of(old, new)
        return cls(old, new, curves, curves.spans(), places(old, new))

    def when(self) -> str:
        """`0.4 to 0.8 s → 1.2 to 1.5 s`, empty if nothing has moved in time."""
        return " → ".join(map(self._span_words, self.spans or ()))

    def where(self) -> str:
        """`upper left → center`, empty if nothing has moved in the picture."""
        return " → ".join(map(place, self.places or ()))

    def _span_words(self, span: Span) -> str:
        """A span of time."""
        start, end = (clock(time_s, self.curves.end_s) for time_s in span)
        return f"{start.removesuffix(' s')} to {end}"


def pair_viewer(compared: Compared, media: Media, name: str) -> str:
    """HTML of a viewer.

    Args:
        compared: the two results.
        media: the video, if there is one.
        name: unique in the page.
    """
    settings = RenderSettings()
    before, after = _heat(compared.old), _heat(compared.new)
    gain, start_s = map_gain(compared.old, compared.new), compared.curves.start_s
    arrays: dict[str, NDArray[Any]] = {
        "frame_us": steps_us(compared.curves.times_s, start_s),
        "seen": np.zeros(len(compared.curves.times_s), np.uint8),
        "colors": colormap(settings.colormap),
        "signed_colors": colormap(DIFFERENCE),
        "importance_0": compared.curves.old.astype(np.float32),
        "importance_1": compared.curves.new.astype(np.float32),
    }
    arrays |= heat_arrays(before, start_s, _OLD) | heat_arrays(after, start_s, _NEW)
    table, content = packed(arrays | signed_arrays(gain, start_s, _MOVED))
    legend = (
        '<span class="legend">less heat '
        f"{color_bar(settings.colormap, f'{name}-colors')} more, each on its own scale</span>"
    )
    data = _data(compared, before, after, gain, media) | {"arrays": table}
    return (
        f'<div class="viewer pair" data-viewer="{name}" data-kind="pair">'
        f"{_pictures(compared, media, name)}{controls(settings, legend)}"
        f"{_time(compared)}</div>"
        f"{data_block(f'{name}-data', data)}{base64_block(f'{name}-arrays', content)}"
    )


def _heat(result: Result) -> Heat:
    return result.explanation or _MeanHeat.of(result.report)


def _data(
    compared: Compared, before: Heat, after: Heat, gain: HeatMaps, media: Media
) -> dict[str, Any]:
    """What the scripts need, except for the arrays."""
    curves = compared.curves
    both = [heat.frames.spans() for heat in (before, after)]
    moved = {
        "grid": list(gain.values.shape[1:]),
        "box": list(gain.box),
        "spans": [[max(spans[0][0] for spans in both), min(spans[-1][1] for spans in both)]],
        "flat": False,
        "signed": True,
        "unseen": "not seen by both models",
    }
    return {
        "start_s": curves.start_s,
        "end_s": curves.end_s,
        "first": curves.index[0],
        "offset_s": media.offset_s,
        "media": media.note,
        "absent": f"{media.note[:1].upper()}{media.note[1:]}",
        "peak_s": _opened_s(curves, gain),
        "methods": [
            {"unseen": "not seen by the old model"} | field_data(before),
            {"unseen": "not seen by the new model"} | field_data(after),
            moved,
        ],
    }


def _opened_s(curves: Curves, gain: HeatMaps) -> float:
    """The time that the viewer begins with: where old and new differ most."""
    if len(gain.times_s) > 1:
        return float(gain.times_s[np.abs(gain.values).sum(axis=(1, 2)).argmax()])
    return float(curves.times_s[np.abs(curves.gain).argmax()])


def _pictures(compared: Compared, media: Media, name: str) -> str:
    """Old and new, and their difference."""
    video = video_element(compared.new.report.video, media)
    both = compared.old.maps is not None and compared.new.maps is not None
    note = "" if both else '<span class="soft">of the mean maps</span>'
    columns = [
        (_OLD, video, f"<b>Old</b> {_side_note(compared.old)}"),
        (_NEW, _copy("new heat"), f"<b>New</b> {_side_note(compared.new)}"),
        (
            _MOVED,
            _copy("difference"),
            '<b>What moved</b> <span class="moved-legend">less '
            f"{color_bar(DIFFERENCE, f'{name}-gain')} more</span>{note}",
        ),
    ]
    figures = "".join(
        f'<figure class="side"><figcaption>{caption}</figcaption>'
        f'<div class="stage">{picture(content, method)}</div></figure>'
        for method, content, caption in columns
    )
    return f'<div class="sides">{figures}</div>'


def _copy(shown: str) -> str:
    return f'<canvas class="copy" role="img" aria-label="The same frame with the {shown}"></canvas>'


def _side_note(result: Result) -> str:
    report = result.report
    note = "" if result.maps is not None else ": mean map, as maps.npz is missing"
    names = f"{words(report.model.name)} · {words(report.method.name)}"
    return f'<span class="soft">{names}{note}</span>'


def _time(compared: Compared) -> str:
    """Both curves in one chart, and their difference, on one time axis."""
    curves = compared.curves
    return (
        '<section aria-label="Time" class="time"><div class="lanes">'
        '<div class="lane both"><p class="name">importance over time: '
        f"{_sample('old')} old {_sample('new')} new</p>{_both(compared)}</div>"
        f'<div class="lane gain"><p class="name">what moved</p>{_gain(compared)}</div>'
        '<div class="playhead" hidden></div><div class="pointer" hidden></div></div>'
        f"{time_axis(curves.start_s, curves.end_s)}"
        '<p class="soft">Each curve is in multiples of its mean, so that the areas below both are '
        "equal; dotted is the mean. Frames that no clip covers have no importance.</p></section>"
    )


def _sample(kind: str) -> str:
    """A piece of a line, for the legend."""
    return (
        f'<svg class="sample" aria-hidden="true" viewBox="0 0 26 8"><path class="{kind}-line" '
        'd="M0 4H26"/></svg>'
    )


def _both(compared: Compared) -> str:
    curves = compared.curves
    top = max(1.0, float(np.nanmax(curves.old)), float(np.nanmax(curves.new)))
    old, new = (_curve(curves, values, 0.0, top) for values in (curves.old, curves.new))
    area, line = paths(new)
    _, old_line = paths(old)
    mean = f"{100 * (1 - 1 / top):.4g}"
    says = escaped(f"Importance over time, old and new: {compared.when() or 'not moved'}")
    return (
        f'<svg class="curve" role="img" aria-label="{says}"><svg y="14%" height="86%" {STRETCHED}>'
        f'<path class="area" d="{area}"/><path class="mean" d="M0 {mean}H1000"/>'
        f'<path class="new-line" d="{line}"/><path class="old-line" d="{old_line}"/></svg></svg>'
    )


def _gain(compared: Compared) -> str:
    """The difference of the curves: above the line where importance was gained."""
    curves, gain = compared.curves, compared.curves.gain
    top = max(float(np.abs(gain).max()), 0.05)
    parts = []
    for kind, values in (("more", np.maximum(gain, 0)), ("less", np.minimum(gain, 0))):
        area, _ = paths(_curve(curves, values, -top, top))
        parts.append(f'<path class="{kind}" d="{area}"/>')
    labels = "".join(_labels(compared))
    return (
        f'<svg class="curve" aria-hidden="true"><svg height="100%" {STRETCHED}>{"".join(parts)}'
        f'<path class="zero" d="M0 50H1000"/></svg>{labels}</svg>'
    )


def _labels(compared: Compared) -> Iterator[str]:
    """Words at the spans that have lost and gained most."""
    curves, spans = compared.curves, compared.spans or ()
    for span, word, y in zip(spans, ("from here", "to here"), (92, 18), strict=False):
        share = (sum(span) / 2 - curves.start_s) / (curves.end_s - curves.start_s)
        at = min(max(100 * share, 4), 96)
        yield f'<text class="rank" x="{at:.4g}%" y="{y}%" text-anchor="middle">{word}</text>'


def _curve(curves: Curves, values: NDArray[np.float64], low: float, high: float) -> Curve:
    known = ~np.isnan(values)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], known, [0]])))
    runs = tuple((int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True))
    return Curve(curves.times_s, values, curves.start_s, curves.end_s, low, high, runs)
