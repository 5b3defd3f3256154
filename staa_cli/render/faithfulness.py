"""Explanation -> PNG of its deletion and insertion curves beside those of baselines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from staa_cli.errors import OutputError
from staa_cli.render import text
from staa_cli.render.layout import Box, shorten
from staa_cli.render.plot import facts_line
from staa_cli.render.stills import write_png
from staa_cli.schema import Explanation, Faithfulness, Float32

_SIZE = (1600, 800)
_PANELS = (Box(110, 190, 770, 590), Box(880, 190, 1540, 590))
_SMOOTH = 3
_FONT_PX, _TITLE_PX = 26, 36

_PAPER = (255, 255, 255)
_INK, _SOFT = (25, 25, 30, 255), (105, 105, 115, 255)
_GRID = (226, 226, 230)
_OWN = (203, 83, 24)
_OTHERS = ((70, 90, 160), (60, 140, 110), (150, 110, 170), (120, 120, 130))


def faithfulness_plot(explanation: Explanation, path: Path) -> None:
    """Writes both curves as a PNG: on the left what is lost, on the right what comes back.

    Raises:
        OutputError: nothing was measured, or the file cannot be written.
    """
    if explanation.faithfulness is None:
        raise OutputError(f"{path} cannot be drawn: faithfulness was not measured", "--check")
    write_png(faithfulness_image(explanation, explanation.faithfulness), path)


def faithfulness_image(explanation: Explanation, found: Faithfulness) -> Image.Image:
    """What was measured in, its picture out: RGB, 1600 x 800."""
    image = Image.new("RGB", _SIZE, _PAPER)
    colours = [_OWN, *_OTHERS]
    for box, curves in zip(
        _PANELS,
        ([row.deletion for row in found.rows], [row.insertion for row in found.rows]),
        strict=True,
    ):
        image.paste(_panel(curves, colours, box), box[:2])
        ImageDraw.Draw(image).rectangle((*box[:2], box.right, box.bottom), outline=_SOFT)
        _write_axes(image, box)
    _write_words(image, explanation, found)
    _write_key(image, found, colours)
    return image


def _panel(curves: list[Float32], colours: list[tuple[int, int, int]], box: Box) -> Image.Image:
    width, height = box.width * _SMOOTH, box.height * _SMOOTH
    image = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(image)
    for part in (0.25, 0.5, 0.75):
        draw.line([(0, height * part), (width, height * part)], _GRID, 3)
    for curve, colour in reversed(list(zip(curves, colours, strict=False))):
        xs = np.linspace(0, width - 1, len(curve))
        ys = (1 - np.clip(curve, 0, 1)) * (height - 1)
        line = list(zip(xs.tolist(), ys.tolist(), strict=True))
        draw.line(line, colour, (4 if colour == _OWN else 2) * _SMOOTH, joint="curve")
    return image.reduce(_SMOOTH)


def _write_axes(image: Image.Image, box: Box) -> None:
    for part in (0.0, 0.5, 1.0):
        words = f"{part:g}"
        width = round(text.measure(words, _FONT_PX))
        y = round(box.bottom - part * box.height)
        place = Box(box.left - 12 - width, y - 18, box.left - 12, y + 18)
        text.write(image, place, words, _FONT_PX, _SOFT)
        words = f"{part:.0%}"
        half = round(text.measure(words, _FONT_PX) / 2)
        x = round(box.left + part * box.width)
        place = Box(x - half, box.bottom + 10, x + half, box.bottom + 46)
        text.write(image, place, words, _FONT_PX, _SOFT)


def _write_words(image: Image.Image, explanation: Explanation, found: Faithfulness) -> None:
    own = found.rows[0]
    beside = f"not above {', '.join(found.beaten_by)}" if found.beaten_by else "above all baselines"
    head = f"faithfulness {own.faithfulness:.2f}, {beside}"
    head = shorten(text.drawable(head), _SIZE[0] - 80, _TITLE_PX, text.measure)
    text.write(image, Box(40, 24, _SIZE[0] - 40, 68), head, _TITLE_PX, _INK)
    line = f"p({text.drawable(explanation.prediction.label)}) · {facts_line(explanation)}"
    line = shorten(text.drawable(line), _SIZE[0] - 80, _FONT_PX, text.measure)
    text.write(image, Box(40, 74, _SIZE[0] - 40, 112), line, _FONT_PX, _SOFT)
    told = (f"tokens removed ({found.fill}), most relevant first", "tokens brought back")
    for box, words in zip(_PANELS, told, strict=True):
        text.write(image, Box(box.left, 140, box.right, 176), words, _FONT_PX, _INK)


def _write_key(
    image: Image.Image, found: Faithfulness, colours: list[tuple[int, int, int]]
) -> None:
    """Method, and its two areas, a column each."""
    draw = ImageDraw.Draw(image)
    width = (_SIZE[0] - 150) // max(len(found.rows), 1)
    for index, (row, colour) in enumerate(zip(found.rows, colours, strict=False)):
        left = _PANELS[0].left + index * width
        draw.line((left, 682, left + 44, 682), colour, 6)
        name = shorten(text.drawable(row.method), width - 80, _FONT_PX, text.measure)
        text.write(image, Box(left + 56, 664, left + width, 700), name, _FONT_PX, _INK)
        areas = f"{row.insertion_area:.2f} - {row.deletion_area:.2f} = {row.faithfulness:.2f}"
        text.write(image, Box(left, 712, left + width, 748), areas, _FONT_PX, _SOFT)
