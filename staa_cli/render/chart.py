"""Shared parts of all charts: colors, one font, and reproducible files.

Uses matplotlib's object interface only. All properties that its global settings could change are
set explicitly, so that these settings are neither read nor changed.
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
"""Room for a number next to an axis."""
_METADATA: dict[str, dict[str, str | None]] = {
    "png": {"Software": None},
    "svg": {"Creator": None, "Date": None},
    "pdf": {"Creator": None, "Producer": None, "CreationDate": None},
}
"""Formats, and the metadata to omit because it changes with the date or version."""
_VECTOR_SETTINGS: dict[Any, Any] = {
    "svg.hashsalt": "staa",
    "svg.fonttype": "path",
    "pdf.fonttype": 42,
    "pdf.use14corefonts": False,
    "pdf.compression": 6,
}
_SETTINGS_LOCK = Lock()
"""matplotlib's settings are shared by all threads."""


class Chart:
    """A page with a title and a subtitle, on which axes and text are placed in pixels.

    Args:
        size: width and height in pixels.
        title: the first line, cut if too long.
        about: the second line, smaller.
        answer: follows the title and is never cut.
    """

    def __init__(self, size: tuple[int, int], title: str, about: str, answer: str = "") -> None:
        # Deferred: most runs draw no chart. The handler silences messages about font caches.
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
        """Axes with a grid in a box of the page; the y title is `gap_px` to their left."""
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
        """Set the y range, with round ticks and as many decimals as distinguish them.

        Numbers are abbreviated if they do not fit.
        """
        from matplotlib.ticker import MaxNLocator

        axes.set_ylim(low, high)
        ticks = [
            float(value)
            for value in MaxNLocator(5, steps=[1, 2, 5, 10]).tick_values(low, high)
            if low <= value <= high
        ]
        step = min((b - a for a, b in pairwise(ticks)), default=1.0)
        decimals = max(0, -math.floor(math.log10(step) + 1e-6))
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
        """Text at a point of the page, in pixels from its upper left corner; y is the middle."""
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
        """A legend in one row that begins at a point of the page."""
        legend = self.figure.legend(
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
        for label in legend.get_texts():
            label.set(parse_math=False, usetex=False)

    def measure(self, words: str, px: int = FONT_PX) -> float:
        """Width in pixels."""
        pen: Any = self._canvas  # not fully typed
        width, _, _ = pen.get_renderer().get_text_width_height_descent(
            words or " ", _font(px), ismath=False
        )
        return float(width)

    def shortened(self, words: str, room_px: float, px: int = FONT_PX) -> str:
        """Text in characters of the font, cut with an ellipsis if too wide."""
        return shorten(drawable(words), room_px, px, self.measure)

    def save(self, path: Path) -> None:
        """Write a PNG, SVG, or PDF, by the path's ending; a PNG if there is none.

        Raises:
            OutputError: an unknown ending, or the file cannot be written.
        """
        from matplotlib import rc_context

        kind = path.suffix.lower().removeprefix(".") or "png"
        if kind not in _METADATA:
            raise OutputError(
                f"{path} is not a PNG, SVG, or PDF file",
                "use a name that ends in .png, .svg, or .pdf",
            )
        # Fonts and ids in vector files can only be controlled by global settings.
        with atomic_path(path) as part, _SETTINGS_LOCK, rc_context(_VECTOR_SETTINGS):
            self.figure.savefig(part, format=kind, dpi=_DPI, metadata=_METADATA[kind])


def letters(px: int = FONT_PX, color: str = INK) -> dict[str, Any]:
    """Text properties: the bundled font, and no markup for `$`."""
    return {"fontproperties": _font(px), "color": color, "parse_math": False, "usetex": False}


def drawable(words: str) -> str:
    """Text on one line in characters of the font; others are replaced as in pictures.

    Right-to-left characters are replaced, too, as they would be drawn in the wrong order.
    """
    glyphs = _glyphs()
    line = " ".join(unicodedata.normalize("NFC", as_text(words)).split())
    return "".join(
        char
        if ord(char) in glyphs
        and char.isprintable()
        and not unicodedata.combining(char)
        and unicodedata.bidirectional(char) not in ("R", "AL")
        else text.drawable(char)
        for char in line
    )


@cache
def _font(px: int) -> FontProperties:
    """The font that matplotlib includes, from its file, without a font search."""
    from matplotlib.font_manager import FontProperties

    return FontProperties(fname=_font_file(), size=px * 72 / _DPI)


def _font_file() -> str:
    import matplotlib

    return str(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"))


@cache
def _glyphs() -> frozenset[int]:
    """Code points that the font has."""
    from matplotlib.font_manager import get_font

    return frozenset(get_font(_font_file()).get_charmap())
