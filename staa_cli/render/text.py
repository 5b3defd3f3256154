"""Text for pictures: the one font, its widths, and what it can spell."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

from PIL import Image, ImageDraw, ImageFont

from staa_cli.errors import UnavailableError
from staa_cli.paths import as_text
from staa_cli.render.layout import ELLIPSIS, Box
from staa_cli.schema import Output

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


def write(image: Image.Image, box: Box, words: str, size_px: int, colour: RGBA) -> None:
    """Text into an RGBA image: from a box's left edge, in the middle of its height."""
    times = _oversampling(size_px)
    width = min(box.width + size_px, image.width - box.left)
    mask = Image.new("L", (width * times, box.height * times))
    ImageDraw.Draw(mask).text((0, mask.height / 2), words, 255, font(times * size_px), anchor="lm")
    image.paste(colour, box[:2], mask.reduce(times))


def _oversampling(size_px: int) -> int:
    """Small letters are drawn large and scaled down: hinting would push them out of step."""
    return 4 if size_px < 26 else 1


def drawable(text: str) -> str:
    """The text on one line in characters that the font has: accents dropped, the rest as `?`."""
    spelled = "".join(_SPELLED.get(char, char) for char in as_text(text))
    plain = unicodedata.normalize("NFKD", " ".join(spelled.split()))
    kept = (char for char in plain if char.isprintable() and not unicodedata.combining(char))
    return "".join(char if char in _DRAWN else "?" for char in kept)


def percent(share: float) -> str:
    """A probability as it is written: `87 %`, and never 100 % or 0 % for what is neither."""
    if 0 < share < 0.01:
        return "<1 %"
    if 0.99 < share < 1:
        return ">99 %"
    return f"{100 * share:.0f} %"


def answer(score: float, output: Output) -> str:
    """What a model answers as it is written: `87 %`; of a raw value `score 1.55`."""
    return f"score {raw(score)}" if output == "identity" else percent(score)


def figure(value: float, output: Output) -> str:
    """A mean of scores, or a difference of two: in hundredths, or as a raw value."""
    return raw(value) if output == "identity" else f"{value:z.2f}"


def raw(value: float) -> str:
    """A value of any size: three digits, and up to a million all before the point."""
    return f"{value:z.0f}" if 999.5 <= abs(value) < 1e6 else f"{value:z.3g}"


def number(value: float) -> str:
    """A value of any size in few characters."""
    return f"{value:.2g}"


def clock(time_s: float, total_s: float, decimals: int = 1) -> str:
    """A time as `3.2 s`, or `2:03.2` and `1:02:03.2` where the whole lasts that long."""
    whole = round(time_s * 10**decimals)
    minutes, rest = divmod(whole, 60 * 10**decimals)
    seconds = rest / 10**decimals
    digits = 2 + (decimals + 1 if decimals else 0)
    if total_s < 60:
        return f"{whole / 10**decimals:.{decimals}f} s"
    if total_s < 3600:
        return f"{minutes}:{seconds:0{digits}.{decimals}f}"
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds:0{digits}.{decimals}f}"
