"""What all charts have in common: paper, ink, one font, and a file whose bytes repeat.

Drawn with matplotlib's objects alone. Whatever its settings could change is said here, so that
nothing global is read, and no chart of the caller's looks different afterwards.
"""

from __future__ import annotations

import logging
import math
import unicodedata
from functools import cache
from itertools import pairwise
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from staa_cli.errors import OutputError
from staa_cli.files import atomic_path
from staa_cli.paths import as_text
from staa_cli.render import text
from staa_cli.render.layout import Box, shorten

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.font_manager import FontProperties

PAPER, INK, SOFT, GRID = "#ffffff", "#19191e", "#5f5f69", "#e2e2e6"
OWN, OTHERS = "#cb5318", ("#465aa0", "#3c8c6e", "#966eaa", "#78787f")
FONT_PX, TITLE_PX = 22, 32
_DPI = 100
_LEFT_PX = 40
_NUMBER_PX = 80
"""Room for a number beside an axis."""
_UNDATED: dict[str, dict[str, str | None]] = {
    "png": {"Software": None},
    "svg": {"Creator": None, "Date": None},
    "pdf": {"Creator": None, "Producer": None, "CreationDate": None},
}
"""Kinds of files, and what would differ in them from day to day or version to version."""
_LETTERS_AND_NAMES: dict[Any, Any] = {
    "svg.hashsalt": "staa",
    "svg.fonttype": "path",
    "pdf.fonttype": 42,
    "pdf.use14corefonts": False,
    "pdf.compression": 6,
}
_VECTORS = Lock()
"""matplotlib's settings belong to all threads."""


class Chart:
    """A sheet of paper with two lines at its head, on which axes and words are put by pixels.

    Args:
        size: width and height in pixels.
        title: the first line, cut where it is too long.
        about: the second one, smaller.
        answer: stands behind the title and is never cut.
    """

    def __init__(self, size: tuple[int, int], title: str, about: str, answer: str = "") -> None:
        # Late: most runs draw no chart. Its remarks on caches of fonts are for its own developers.
        logging.getLogger("matplotlib").addHandler(logging.NullHandler())
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        from staa_cli.render.figure import ChartFigure

        self.size = size
        inches = (size[0] / _DPI, size[1] / _DPI)
        self.figure = ChartFigure(figsize=inches, dpi=_DPI, facecolor=PAPER, edgecolor=PAPER)
        self._canvas = FigureCanvasAgg(self.figure)
        room = size[0] - 2 * _LEFT_PX
        tail = f"  {answer}" if answer else ""
        cut = self.shortened(title, room - self.measure(tail, TITLE_PX), TITLE_PX)
        self.write(_LEFT_PX, 46, cut + tail, px=TITLE_PX)
        self.write(_LEFT_PX, 92, self.shortened(about, room), color=SOFT)

    def axes(self, box: Box, x_title: str, y_title: str, gap_px: int = 110) -> Axes:
        """Axes in a box of the sheet, a grid behind them; `gap_px` from their left to the title."""
        width, height = self.size
        part = (
            box.left / width,
            1 - box.bottom / height,
            box.width / width,
            box.height / height,
        )
        axes = self.figure.add_axes(part, facecolor=PAPER)
        for spine in axes.spines.values():
            spine.set(color=SOFT, linewidth=1, visible=True)
        axes.set_axisbelow(True)
        axes.grid(False)
        axes.grid(True, axis="y", color=GRID, linewidth=1, linestyle="-")
        sides: dict[str, Any] = {"bottom": True, "left": True, "top": False, "right": False}
        sides |= {f"label{side}": on for side, on in sides.items()}
        axes.tick_params(direction="out", color=SOFT, width=1, length=6, pad=6, **sides)
        axes.minorticks_off()
        middle = (box.top + box.bottom) // 2
        self.write((box.left + box.right) // 2, box.bottom + 58, x_title, align="center")
        cut = self.shortened(y_title, box.height + 40)
        self.write(box.left - gap_px, middle, cut, align="center", rotation=90)
        return axes

    def set_height(self, axes: Axes, low: float, high: float) -> None:
        """From low to high, with round numbers and as many decimals as tell them apart.

        In short where there is no room for those.
        """
        from matplotlib.ticker import MaxNLocator

        axes.set_ylim(low, high)
        ticks = [
            float(value)
            for value in MaxNLocator(5, steps=[1, 2, 5, 10]).tick_values(low, high)
            if low <= value <= high
        ]
        apart = min((b - a for a, b in pairwise(ticks)), default=1.0)
        decimals = max(0, -math.floor(math.log10(apart) + 1e-6))
        words = [f"{value:z.{decimals}f}" for value in ticks]
        if max(map(self.measure, words), default=0) > _NUMBER_PX:
            words = [text.number(value) for value in ticks]
        axes.set_yticks(ticks, words, **letters(color=SOFT))

    def write(
        self,
        x: float,
        y: float,
        words: str,
        *,
        px: int = FONT_PX,
        color: str = INK,
        align: str = "left",
        rotation: float = 0,
    ) -> None:
        """Words at a place of the sheet, in pixels from its upper left corner to their middle."""
        width, height = self.size
        self.figure.text(
            x / width,
            1 - y / height,
            words,
            ha=align,
            va="center",
            rotation=rotation,
            rotation_mode="anchor",
            **letters(px, color),
        )

    def legend(self, handles: Sequence[Artist], words: Sequence[str], y: float, x: float) -> None:
        """What lines and fillings mean, in one row that begins at a place of the sheet."""
        found = self.figure.legend(
            handles,
            words,
            loc="center left",
            bbox_to_anchor=(x / self.size[0], 1 - y / self.size[1]),
            ncols=len(words),
            prop=_font(FONT_PX),
            labelcolor=SOFT,
            frameon=False,
            borderpad=0,
            borderaxespad=0,
            handlelength=1.8,
            handletextpad=0.5,
            columnspacing=1.6,
        )
        for label in found.get_texts():
            label.set(parse_math=False, usetex=False)

    def measure(self, words: str, px: int = FONT_PX) -> float:
        """Width in pixels."""
        pen: Any = self._canvas  # its types are not told
        width, _, _ = pen.get_renderer().get_text_width_height_descent(
            words or " ", _font(px), ismath=False
        )
        return float(width)

    def shortened(self, words: str, room_px: float, px: int = FONT_PX) -> str:
        """Words as the font has them, cut with an ellipsis where they are wider."""
        return shorten(drawable(words), room_px, px, self.measure)

    def save(self, path: Path) -> None:
        """Write a PNG, SVG, or PDF, by the path's ending; a PNG where it has none.

        Raises:
            OutputError: another ending, or the file cannot be written.
        """
        from matplotlib import rc_context

        kind = path.suffix.lower().removeprefix(".") or "png"
        if kind not in _UNDATED:
            raise OutputError(
                f"{path} is not a PNG, SVG, or PDF file",
                "use a name that ends in .png, .svg, or .pdf",
            )
        # What makes letters and names in vector files can be said in no other way.
        with atomic_path(path) as part, _VECTORS, rc_context(_LETTERS_AND_NAMES):
            self.figure.savefig(part, format=kind, dpi=_DPI, metadata=_UNDATED[kind])


def letters(px: int = FONT_PX, color: str = INK) -> dict[str, Any]:
    """How words are set: a `$` is one, and nothing is looked up."""
    return {"fontproperties": _font(px), "color": color, "parse_math": False, "usetex": False}


def drawable(words: str) -> str:
    """Words on one line in characters that the font has; the others as pictures spell them.

    What is read from right to left would stand the wrong way round.
    """
    known = _known()
    line = " ".join(unicodedata.normalize("NFC", as_text(words)).split())
    return "".join(
        char
        if ord(char) in known
        and char.isprintable()
        and not unicodedata.combining(char)
        and unicodedata.bidirectional(char) not in ("R", "AL")
        else text.drawable(char)
        for char in line
    )


@cache
def _font(px: int) -> FontProperties:
    """The font that matplotlib brings along, from its file: others are not searched for."""
    from matplotlib.font_manager import FontProperties

    return FontProperties(fname=_file(), size=px * 72 / _DPI)


def _file() -> str:
    import matplotlib

    return str(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"))


@cache
def _known() -> frozenset[int]:
    """Code points that the font has."""
    from matplotlib.font_manager import get_font

    return frozenset(get_font(_file()).get_charmap())
