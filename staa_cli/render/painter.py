"""Draw an explanation on frames: heat, the crop's edge, title, strip, and playhead."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from staa_cli.render import strip as strips
from staa_cli.render.curve import unseen
from staa_cli.render.heat import Draw, HeatField, inside_text, view
from staa_cli.render.layer import BLACK, GREY, WHITE, Canvas, Layer, blend
from staa_cli.render.layout import Box, font_size, plan
from staa_cli.render.text import measure
from staa_cli.schema import Explanation, Float32

if TYPE_CHECKING:
    from staa_cli.config.settings import RenderSettings
    from staa_cli.video.pixels import YuvPlanes

_DIM = np.uint16(184)
"""Brightness outside the model's crop, in 256ths."""
_UNKNOWN = 72
"""Luma where there is no map."""
_NOT_SEEN = "not seen by the model"
_FLAT = "flat: no place stands out"
_HAIRLINE = np.uint16(120), np.uint16(136 * WHITE)


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """What a picture shows otherwise if it is one of several, or of a stream."""

    field: HeatField
    axis: tuple[float, float] | None
    """Lowest and highest value of the strip; None for those of the panel's curve."""
    words: dict[str, str]
    """Texts by field of `Texts` that replace those of the explanation."""
    clock: Callable[[float], str] | None = None
    """Text of the clock at a time; None for the time and the duration."""
    note: Callable[[float], str] | None = None
    """Note at a time; None for those about the map."""


class Painter:
    """Draws one explanation on the YUV planes of frames.

    Args:
        explanation: to draw.
        settings: of the drawing.
        picture: width and height of the frames if not the video's (for a thumbnail); odd sides are
            rounded up to even, as in the planes.
        panel: what the picture shows otherwise.
    """

    def __init__(
        self,
        explanation: Explanation,
        settings: RenderSettings,
        picture: tuple[int, int] | None = None,
        panel: Panel | None = None,
    ) -> None:
        width, height = picture or (explanation.video.width, explanation.video.height)
        self._explanation, self._settings = explanation, settings
        self._frame = Box(0, 0, width + width % 2, height + height % 2)
        self._crop = crop_box(explanation.maps.box, width, height)
        # The crop without padding around the picture.
        self._seen = Box(
            max(self._crop.left, 0),
            max(self._crop.top, 0),
            min(self._crop.right, self._frame.width),
            min(self._crop.bottom, self._frame.height),
        )
        self._field = panel.field if panel else HeatField(explanation, settings.scale)
        self._axis = panel.axis if panel else None
        self._clock, self._own_note = (panel.clock, panel.note) if panel else (None, None)
        note = max(self._notes(), key=len, default="")
        self._texts = strips.texts_of(explanation, *self._field.ends(settings.view), note)
        if panel:
            self._texts = replace(self._texts, **panel.words)
        copies = 2 if settings.view == "side-by-side" else 1
        side = copies * self._frame.width, self._frame.height
        self.layout = plan(side, font_size(*side), self._texts, measure, settings.strip)
        self._brushes: dict[bool, _Brushes] = {}

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of annotated frames, both even; includes a strip below."""
        return self.layout.size

    def draw(self, index: int, time_s: float, planes: YuvPlanes) -> YuvPlanes:
        """Return an annotated copy of one upright frame.

        Args:
            index: the frame's position in the video.
            time_s: its time from the first frame.
            planes: y [H, W], u and v [H/2, W/2] in limited range.
        """
        hd = planes.matrix == "bt709"
        y, u, v = self.paint(time_s, Canvas(planes.y, planes.u, planes.v), hd)
        return replace(planes, y=y, u=u, v=v)

    def paint(self, time_s: float, picture: Canvas, hd: bool) -> Canvas:
        """Annotated planes of a frame; `hd` says that they are BT.709.

        Raises:
            ValueError: the planes do not have the size of the picture.
        """
        if picture.y.shape != (self._frame.height, self._frame.width):
            raise ValueError(f"planes of {picture.y.shape[::-1]} for {self._frame[2:]}")
        if hd not in self._brushes:
            self._brushes[hd] = self._prepare_brushes(hd)
        brushes = self._brushes[hd]
        canvas = self._background(picture)
        width, height = self.size[0], self._frame.height
        frame = canvas.part(width - self._frame.width, 0, width, height)
        levels = self._field.at(time_s)
        if levels is not None:  # otherwise the model has not seen it: leave it unchanged
            self._frame_crop(frame)
            self._heat(frame, brushes.heat, levels, time_s)
        elif self._settings.view == "map":  # black would mean no evidence
            frame.part(*self._seen).y[:] = _UNKNOWN
        for layer in brushes.layers:
            layer.over(canvas)
        if brushes.playhead:
            brushes.playhead.draw(canvas, time_s, self._note(levels, time_s))
        return canvas

    def _notes(self) -> list[str]:
        """All notes that the strip may show."""
        notes = [_NOT_SEEN] if unseen(self._explanation) else []
        if self._explanation.spatial.flat:
            return [*notes, _FLAT]
        return [*notes, inside_text(0)] if self._settings.view == "contour" else notes

    def _note(self, levels: Float32 | None, time_s: float) -> str:
        """The note of the strip for one frame."""
        if self._own_note is not None:
            return self._own_note(time_s)
        if levels is None:
            return _NOT_SEEN
        if self._explanation.spatial.flat:
            return _FLAT
        return self._field.inside(levels, time_s) if self._settings.view == "contour" else ""

    def _heat(self, picture: Canvas, draw: Draw, levels: Float32, time_s: float) -> None:
        """Draw levels [h, w] on the crop, without its padding outside the picture."""
        crop, seen = self._crop, picture.part(*self._seen)
        if self._seen == crop:
            draw(seen, levels, time_s)
            return
        padded = Canvas.black(crop.width, crop.height)
        inner = padded.part(*strips.within(self._seen, crop))
        for plane, part in zip(inner, seen, strict=True):
            plane[:] = part
        draw(padded, levels, time_s)
        for plane, part in zip(seen, inner, strict=True):
            plane[:] = part

    def _background(self, picture: Canvas) -> Canvas:
        canvas = Canvas.black(*self.size)
        if self._settings.view != "map":
            for left in range(0, self.size[0], self._frame.width):
                right = left + self._frame.width
                part = canvas.part(left, 0, right, self._frame.height)
                for plane, source in zip(part, picture, strict=True):
                    plane[:] = source
        return canvas

    def _frame_crop(self, picture: Canvas) -> None:
        for margin in margins(self._frame, self._seen):
            _dim(picture.part(*margin))
        for line in hairlines(self._frame, self._seen, max(1, self._frame.height // 540)):
            blend(picture.y[line.top : line.bottom, line.left : line.right], *_HAIRLINE)

    def _prepare_brushes(self, hd: bool) -> _Brushes:
        heat = view(self._settings, self._field, (self._crop.width, self._crop.height), hd)
        layers, playhead, layout = [], None, self.layout
        if layout.strip:
            image = strips.strip_image(
                layout.strip, layout, self._texts, self._explanation, self._settings, self._axis
            )
            layers.append(Layer.of(image, layout.strip.plate.left, layout.strip.plate.top, hd))
            playhead = strips.Playhead(layout.strip, layout, self._explanation, hd, self._clock)
        if layout.title:  # on the strip if that is below
            image = strips.title_image(layout.title, layout, self._texts)
            layers.append(Layer.of(image, layout.title.plate.left, layout.title.plate.top, hd))
        return _Brushes(heat, tuple(layers), playhead)


@dataclass(frozen=True, slots=True)
class _Brushes:
    """Prepared drawings in the colors of one matrix."""

    heat: Draw
    layers: tuple[Layer, ...]
    playhead: strips.Playhead | None


def crop_box(part: tuple[float, float, float, float], width: int, height: int) -> Box:
    """The nearest box with even edges, in pixels, to fractions of a picture."""
    left, top, right, bottom = part
    edges = (left * width, top * height, right * width, bottom * height)
    x0, y0, x1, y1 = (2 * round(edge / 2) for edge in edges)
    return Box(x0, y0, max(x1, x0 + 2), max(y1, y0 + 2))


def margins(picture: Box, crop: Box) -> list[Box]:
    """The area outside the crop, in up to four boxes."""
    sides = (
        picture._replace(bottom=crop.top),
        picture._replace(top=crop.bottom),
        Box(picture.left, crop.top, crop.left, crop.bottom),
        Box(crop.right, crop.top, picture.right, crop.bottom),
    )
    return [side for side in sides if side.width > 0 and side.height > 0]


def hairlines(picture: Box, crop: Box, px: int) -> list[Box]:
    """Lines just outside the crop's edges, except at the picture's edges."""
    lines = []
    if crop.left > picture.left:
        lines.append(crop._replace(left=max(crop.left - px, 0), right=crop.left))
    if crop.right < picture.right:
        lines.append(crop._replace(left=crop.right, right=crop.right + px))
    if crop.top > picture.top:
        lines.append(crop._replace(top=max(crop.top - px, 0), bottom=crop.top))
    if crop.bottom < picture.bottom:
        lines.append(crop._replace(top=crop.bottom, bottom=crop.bottom + px))
    return lines


def _dim(part: Canvas) -> None:
    for plane, dark in zip(part, (BLACK, GREY, GREY), strict=True):
        blend(plane, _DIM, np.uint16((256 - _DIM) * dark))
