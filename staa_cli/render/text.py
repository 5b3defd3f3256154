"""Text for pictures: the font, widths, and supported characters."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

from PIL import Image, ImageDraw, ImageFont

from staa_cli.errors import UnavailableError
from staa_cli.formatting import answer, clock, figure, number, percent, raw
from staa_cli.paths import as_text
from staa_cli.render.layout import ELLIPSIS, Box
from staa_cli.schema import Explanation

__all__ = [
    "RGBA",
    "answer",
    "clock",
    "drawable",
    "figure",
    "font",
    "measure",
    "number",
    "percent",
    "raw",
    "write",
]

RGBA = tuple[int, int, int, int]

_REPLACED = {"ß": "ss", "æ": "ae", "Æ": "AE", "ø": "o", "Ø": "O"} | {
    "\u2013": "-",  # dashes
    "\u2014": "-",
    "\u2018": "'",  # quotation marks
    "\u2019": "'",
    "\u201c": '"',
    "\u201d": '"',
}
_SUPPORTED = {chr(code) for code in range(0x20, 0x7F)} | {ELLIPSIS, "·"}


@lru_cache
def font(size_px: int) -> ImageFont.FreeTypeFont:
    """Pillow's built-in scalable font at a height in pixels.

    Raises:
        UnavailableError: this Pillow was built without FreeType.
    """
    default = ImageFont.load_default(size_px)
    if not isinstance(default, ImageFont.FreeTypeFont):
        raise UnavailableError("this Pillow cannot scale fonts", "install a Pillow with FreeType")
    return default


def measure(text: str, size_px: int) -> float:
    """Width of a text in pixels."""
    times = _oversampling(size_px)
    return font(times * size_px).getlength(text) / times


def write(image: Image.Image, box: Box, words: str, size_px: int, color: RGBA) -> None:
    """Write text into an RGBA image, at a box's left edge and vertically centered."""
    times = _oversampling(size_px)
    width = min(box.width + size_px, image.width - box.left)
    mask = Image.new("L", (width * times, box.height * times))
    ImageDraw.Draw(mask).text((0, mask.height / 2), words, 255, font(times * size_px), anchor="lm")
    image.paste(color, box[:2], mask.reduce(times))


def _oversampling(size_px: int) -> int:
    """Scale at which text is drawn: hinting would distort the spacing of small text."""
    return 4 if size_px < 26 else 1


def drawable(text: str) -> str:
    """The text on one line in supported characters: without accents, others as `?`."""
    spelled = "".join(_REPLACED.get(char, char) for char in as_text(text))
    plain = unicodedata.normalize("NFKD", " ".join(spelled.split()))
    kept = (char for char in plain if char.isprintable() and not unicodedata.combining(char))
    return "".join(char if char in _SUPPORTED else "?" for char in kept)


def doubts(explanation: Explanation) -> list[str]:
    """Notes for a picture whose class has a low confidence."""
    codes = {warning.code for warning in explanation.warnings}
    return ["low confidence"] if "low-confidence" in codes else []
