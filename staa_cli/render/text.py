"""Text for pictures: the one font, its widths, and what it can spell."""

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

_SPELLED = {"ß": "ss", "æ": "ae", "Æ": "AE", "ø": "o", "Ø": "O"} | {
    "\u2013": "-",  # dashes
    "\u2014": "-",
    "\u2018": "'",  # quotation marks
    "\u2019": "'",
    "\u201c": '"',
    "\u201d": '"',
}
_DRAWN = {chr(code) for code in range(0x20, 0x7F)} | {ELLIPSIS, "·"}


@lru_cache
def font(size_px: int) -> ImageFont.FreeTypeFont:
    """Pillow's own scalable font at a height in pixels.

    Raises:
        UnavailableError: this Pillow was built without FreeType.
    """
    found = ImageFont.load_default(size_px)
    if not isinstance(found, ImageFont.FreeTypeFont):
        raise UnavailableError("this Pillow cannot scale fonts", "install a Pillow with FreeType")
    return found


def measure(text: str, size_px: int) -> float:
    """Width of a text in pixels."""
    times = _oversampling(size_px)
    return font(times * size_px).getlength(text) / times


def write(image: Image.Image, box: Box, words: str, size_px: int, color: RGBA) -> None:
    """Text into an RGBA image: from a box's left edge, in the middle of its height."""
    times = _oversampling(size_px)
    width = min(box.width + size_px, image.width - box.left)
    mask = Image.new("L", (width * times, box.height * times))
    ImageDraw.Draw(mask).text((0, mask.height / 2), words, 255, font(times * size_px), anchor="lm")
    image.paste(color, box[:2], mask.reduce(times))


def _oversampling(size_px: int) -> int:
    """Small letters are drawn large and scaled down: hinting would push them out of step."""
    return 4 if size_px < 26 else 1


def drawable(text: str) -> str:
    """The text on one line in characters that the font has: accents dropped, the rest as `?`."""
    spelled = "".join(_SPELLED.get(char, char) for char in as_text(text))
    plain = unicodedata.normalize("NFKD", " ".join(spelled.split()))
    kept = (char for char in plain if char.isprintable() and not unicodedata.combining(char))
    return "".join(char if char in _DRAWN else "?" for char in kept)


def doubts(explanation: Explanation) -> list[str]:
    """What a picture says where the model hardly says the class that it is about."""
    codes = {warning.code for warning in explanation.warnings}
    return ["low confidence"] if "low-confidence" in codes else []
