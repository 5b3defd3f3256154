"""Small pictures of many results, a hundred in one JPEG, so that a page decodes only a few."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from staa_cli.files import PAGE
from staa_cli.results.pages.stills import jpeg, stored_poster
from staa_cli.results.writers.storyboard_png import StoryboardPng

ACROSS, DOWN = 10, 10
"""Pictures of a sheet."""
_QUALITY = 70
_CELL, _SMALL_CELL, _MANY = (144, 81), (96, 54), 1000
"""Largest size of a picture, and beyond so many of them."""


class Thumbnails:
    """Sheets of small pictures.

    Args:
        count: about how many there will be; many are smaller.
    """

    def __init__(self, count: int) -> None:
        self.cell = _CELL if count <= _MANY else _SMALL_CELL
        self.sheets: list[bytes] = []
        self.sizes: list[int] = []
        """Width and height of each picture, one after the other."""
        self._sheet = self._empty()

    def add(self, folder: Path) -> int:
        """Add the picture of a result; its number, or -1 if the result has none.

        It is the one that report.html begins with, or else the storyboard.
        """
        picture = stored_poster(folder / PAGE) or _opened(folder / StoryboardPng.file)
        number = len(self.sizes) // 2
        try:
            if picture is None:
                return -1
            picture.draft("RGB", self.cell)
            small = picture.convert("RGB")
        except (OSError, SyntaxError, ValueError):  # damaged
            return -1
        small.thumbnail(self.cell, Image.Resampling.LANCZOS)
        row, column = divmod(number % (ACROSS * DOWN), ACROSS)
        self._sheet.paste(small, (column * self.cell[0], row * self.cell[1]))
        self.sizes += small.size
        if number % (ACROSS * DOWN) == ACROSS * DOWN - 1:
            self._finish_sheet()
        return number

    def finish(self) -> None:
        """Complete the last sheet."""
        rest = len(self.sizes) // 2 % (ACROSS * DOWN)
        if rest:
            height = (rest - 1) // ACROSS * self.cell[1] + self.cell[1]
            self._sheet = self._sheet.crop((0, 0, self._sheet.width, height))
            self._finish_sheet()

    def _finish_sheet(self) -> None:
        self.sheets.append(jpeg(self._sheet, _QUALITY))
        self._sheet = self._empty()

    def _empty(self) -> Image.Image:
        return Image.new("RGB", (ACROSS * self.cell[0], DOWN * self.cell[1]))


def _opened(path: Path) -> Image.Image | None:
    try:
        return Image.open(path)
    except (OSError, SyntaxError, ValueError):
        return None
