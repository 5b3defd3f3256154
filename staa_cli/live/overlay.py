"""Draw the latest maps on every frame of a stream."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from staa_cli.config.settings import RenderSettings
from staa_cli.live.explainer import ExplainedWindow
from staa_cli.live.frames import LiveFrame
from staa_cli.render.heat import HeatField
from staa_cli.render.layout import SEPARATOR
from staa_cli.render.painter import Painter, Panel
from staa_cli.render.text import doubts, drawable
from staa_cli.schema import Explanation, Float32, VideoInfo
from staa_cli.video.pixels import Converter, YuvPlanes

_LONGEST_AGE = "maps 99.9 s old"
_LONGEST_S = 359_999.9
"""Longest time for which there is room on the clock."""


class LatestMaps:
    """The newest explanation, ready to be drawn on frames that are newer than it.

    Args:
        explained: the newest window.
        recent: the explanation of the last seconds up to it; its curve is drawn.
        settings: of the drawing.
    """

    def __init__(
        self, explained: ExplainedWindow, recent: Explanation, settings: RenderSettings
    ) -> None:
        self.explained, self.recent = explained, recent
        self.field = _Held(recent, settings.scale)
        """Levels over time, on the scale of the last seconds."""
        panel = Panel(
            field=self.field,
            axis=None,
            words={
                "method": _method(explained, recent),
                "clock": clock(_LONGEST_S),
                "note": _LONGEST_AGE,
            },
            clock=clock,
            note=_noting_age(explained.window.completed.time_s),
        )
        self._painter = Painter(recent, settings, panel=panel)

    def age_s(self, time_s: float) -> float:
        """Seconds of the stream from the last frame that the model saw to a time."""
        return _age_s(self.explained.window.completed.time_s, time_s)

    def draw(self, time_s: float, planes: YuvPlanes) -> YuvPlanes:
        """An annotated copy of an upright frame at a time of the stream."""
        return self._painter.draw(0, time_s, planes)


class Overlay:
    """Draws on the frames of one stream, which keep their size.

    Args:
        info: metadata of the stream.
    """

    def __init__(self, info: VideoInfo) -> None:
        self._convert = Converter(info)

    def draw(self, frame: LiveFrame, latest: LatestMaps | None) -> tuple[YuvPlanes, YuvPlanes]:
        """The upright planes of a frame, without and with the latest maps."""
        plain = self._convert.planes(frame.picture)
        return plain, plain if latest is None else latest.draw(frame.time_s, plain)


class _Held(HeatField):
    """A field that keeps its last levels after its end."""

    def at(self, time_s: float) -> Float32 | None:
        """The levels at a time, those of the last knot afterwards."""
        return super().at(min(time_s, float(self.times_s[-1])))


def _age_s(seen_s: float, time_s: float) -> float:
    return max(0.0, time_s - seen_s)


def _noting_age(seen_s: float) -> Callable[[float], str]:
    """A function that notes the age of maps at a time.

    It does not hold the maps: with a cycle of references, they would stay in memory for long.
    """
    return lambda time_s: f"maps {min(_age_s(seen_s, time_s), 99.9):.1f} s old"


def _method(explained: ExplainedWindow, recent: Explanation) -> str:
    """The method, the model, and the window that the maps come from."""
    clip = explained.window.clip
    window = f"{clock(clip.start_s)} to {clock(clip.end_s)}"
    items = [explained.attribution.method, recent.model.name, window, *doubts(recent)]
    return drawable(SEPARATOR.join(items))


def clock(time_s: float) -> str:
    """Time since the beginning of a stream."""
    minutes, seconds = divmod(round(time_s, 1), 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02}:{seconds:04.1f}" if hours else f"{minutes}:{seconds:04.1f}"


def live_look(settings: RenderSettings) -> RenderSettings:
    """How a stream is drawn: pictures keep their size, so that no text changes it."""
    if settings.strip == "below":
        settings = replace(settings, strip="over")
    return replace(settings, view="heat") if settings.view == "side-by-side" else settings
