"""Draw the top moments of an explanation as one PNG."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from staa_cli.render import text
from staa_cli.render.color import planes_to_rgb, rgb_to_planes
from staa_cli.render.layer import Canvas
from staa_cli.render.layout import Box, shorten
from staa_cli.render.painter import Painter
from staa_cli.render.plot import facts_line
from staa_cli.render.stills import write_png
from staa_cli.schema import Explanation, UInt8

if TYPE_CHECKING:
    from staa_cli.config.settings import RenderSettings

_TILES, _COLUMNS = 6, 3
_FIT = (480, 360)
_GAP, _HEAD_PX = 28, 120
_FONT_PX, _TITLE_PX = 22, 34
_CAPTION_PX = 250
"""Minimum width of the text next to the small picture."""
_CLOSE_S = 0.15
"""Times closer than this are written with one more digit."""
_PAPER = (255, 255, 255, 255)
_INK = (25, 25, 30, 255)
_SOFT = (105, 105, 115, 255)


def storyboard_indices(explanation: Explanation, count: int = _TILES) -> list[int]:
    """Positions in the video of the frames of a storyboard, ascending, at most `count`.

    The peaks of the highest moments or, without moments, evenly spread covered frames and the
    highest one.
    """
    if explanation.moments:
        return sorted({_position(explanation, m.peak_s) for m in explanation.moments[:count]})
    known = np.flatnonzero(explanation.frames.covered) + explanation.frames.first
    count = min(count, len(known))
    spread = {int(known[int((i + 0.5) * len(known) / count)]) for i in range(count)}
    if explanation.temporal.peak_s is not None:  # a peak that is not a moment
        peak = highest(explanation)
        far = sorted(spread - {peak}, key=lambda other: abs(other - peak), reverse=True)
        spread = {peak, *far[: count - 1]}
    return sorted(spread)


def highest(explanation: Explanation) -> int:
    """Position in the video of the frame with the highest score, also for a flat curve."""
    peak_s = explanation.temporal.peak_s
    if peak_s is None:
        return explanation.frames.first + int(np.nanargmax(explanation.frames.weighted_score))
    return _position(explanation, peak_s)


def _position(explanation: Explanation, time_s: float) -> int:
    """Position in the video of the frame that is nearest to a time."""
    return int(np.abs(explanation.video.times_s - time_s).argmin())


def storyboard(
    explanation: Explanation, frames: Mapping[int, UInt8], path: Path, settings: RenderSettings
) -> None:
    """Write the top moments as a PNG: with and without heat, times, and shares.

    Args:
        explanation: of the video.
        frames: upright RGB [H, W, 3] by position, including `storyboard_indices`.
        path: of the PNG.
        settings: color map, opacity, and scale of the heat.

    Raises:
        OutputError: the file cannot be written.
    """
    image = storyboard_image(explanation, frames, settings)
    write_png(image, path)


def storyboard_image(
    explanation: Explanation, frames: Mapping[int, UInt8], settings: RenderSettings
) -> Image.Image:
    """The RGB picture of an explanation's moments."""
    indices = storyboard_indices(explanation)
    first = frames[indices[0]]
    size = fitted(shown_size(explanation, first), _FIT)
    painter = Painter(explanation, replace(settings, view="heat", strip="none"), size)
    shown_s = explanation.video.times_s[indices]
    decimals = 2 if len(indices) > 1 and np.diff(shown_s).min() < _CLOSE_S else 1
    tiles = [_tile(explanation, i, frames[i], painter, size, decimals) for i in indices]
    columns, (width, height) = min(_COLUMNS, len(tiles)), tiles[0].size
    rows = -(-len(tiles) // columns)
    sheet_size = (
        max(_GAP + columns * (width + _GAP), 640),
        _HEAD_PX + rows * (height + _GAP),
    )
    image = Image.new("RGBA", sheet_size, _PAPER)
    _write_head(image, explanation)
    for number, tile in enumerate(tiles):
        row, column = divmod(number, columns)
        image.paste(tile, (_GAP + column * (width + _GAP), _HEAD_PX + row * (height + _GAP)))
    return image.convert("RGB")


def shown_size(explanation: Explanation, frame: UInt8) -> tuple[int, int]:
    """Width and height of a frame [H, W, 3] with square pixels, as a player shows it."""
    across, down = explanation.video.sample_aspect_ratio
    return max(1, round(frame.shape[1] * across / down)), frame.shape[0]


def fitted(size: tuple[int, int], limit: tuple[int, int]) -> tuple[int, int]:
    """Width and height scaled to fit a limit, both even."""
    scale = min(limit[0] / size[0], limit[1] / size[1])
    width, height = (max(2, 2 * round(edge * scale / 2)) for edge in size)
    return width, height


def painted(painter: Painter, picture: Image.Image, time_s: float) -> Image.Image:
    """Annotate an RGB picture of the painter's size, shown at `time_s`."""
    planes = Canvas(*rgb_to_planes(np.asarray(picture), hd=False))
    return Image.fromarray(planes_to_rgb(*painter.paint(time_s, planes, hd=False), hd=False))


def _tile(
    explanation: Explanation,
    index: int,
    frame: UInt8,
    painter: Painter,
    size: tuple[int, int],
    decimals: int,
) -> Image.Image:
    time_s = float(explanation.video.times_s[index])
    plain = Image.fromarray(frame).resize(size, Image.Resampling.LANCZOS)
    small = plain.resize((max(1, size[0] // 3), max(1, size[1] // 3)), Image.Resampling.LANCZOS)
    line = round(1.4 * _FONT_PX)
    width = max(size[0], small.width + 16 + _CAPTION_PX)
    tile = Image.new("RGBA", (width, size[1] + 10 + max(small.height, 3 * line)), _PAPER)
    tile.paste(painted(painter, plain, time_s), (0, 0))
    tile.paste(small, (0, size[1] + 10))
    left, top = small.width + 16, size[1] + 10
    for row, (words, color) in enumerate(_caption(explanation, index, time_s, decimals)):
        place = Box(left, top + row * line, width, top + (row + 1) * line)
        cut = shorten(words, place.width, _FONT_PX, text.measure)
        text.write(tile, place, cut, _FONT_PX, color)
    return tile


def _caption(
    explanation: Explanation, index: int, time_s: float, decimals: int
) -> list[tuple[str, tuple[int, int, int, int]]]:
    total = explanation.video.duration_s
    lines = [(text.clock(time_s, total, decimals), _INK)]
    for rank, moment in enumerate(explanation.moments[:_TILES], start=1):
        if _position(explanation, moment.peak_s) == index:
            span = f"{text.clock(moment.start_s, total)} to {text.clock(moment.end_s, total)}"
            share = f"{text.percent(moment.share)} of the evidence"
            return [(f"{rank}  at {lines[0][0]}", _INK), (span, _SOFT), (share, _SOFT)]
    peak_s = explanation.temporal.peak_s
    if peak_s is not None and _position(explanation, peak_s) == index:
        lines.append(("the highest, but no moment", _SOFT))
    return lines


def _write_head(image: Image.Image, explanation: Explanation) -> None:
    room = image.width - 2 * _GAP
    prediction = explanation.prediction
    answer = f"  {text.answer(prediction.score, prediction.output)}"
    label = shorten(
        text.drawable(prediction.label),
        room - text.measure(answer, _TITLE_PX),
        _TITLE_PX,
        text.measure,
    )
    text.write(image, Box(_GAP, 22, image.width - _GAP, 66), label + answer, _TITLE_PX, _INK)
    line, moments = facts_line(explanation), len(explanation.moments)
    if moments > _TILES:
        line = f"{_TILES} of {moments} moments · {line}"
    facts = shorten(text.drawable(line), room, _FONT_PX, text.measure)
    text.write(image, Box(_GAP, 70, image.width - _GAP, 104), facts, _FONT_PX, _SOFT)
