"""Small pictures of many results, a hundred in one JPEG, so that a page decodes only a few."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from staa_cli.files import ANNOTATED, PAGE
from staa_cli.results.index.document import Entry
from staa_cli.results.pages.stills import jpeg, stored_poster
from staa_cli.results.writers.storyboard_png import StoryboardPng

ACROSS, DOWN = 10, 10
"""Pictures of a sheet."""
_QUALITY = 70
_DAMAGED = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)
"""Errors of Pillow for a picture that is damaged."""
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

    def add(self, folder: Path, entry: Entry) -> int:
        """Add the picture of a result; its number, or -1 if the result has none.

        It is the one that report.html begins with, or else one of the annotated video, or else the
        storyboard.
        """
        picture = (
            stored_poster(folder / PAGE)
            or _key_frame(folder / ANNOTATED, entry)
            or _opened(folder / StoryboardPng.file)
        )
        number = len(self.sizes) // 2
        try:
            if picture is None:
                return -1
            picture.draft("RGB", self.cell)
            small = picture.convert("RGB")
        except _DAMAGED:
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


def _key_frame(path: Path, entry: Entry) -> Image.Image | None:
    """The last key frame before the highest score, without the strip below; others take long."""
    if not path.is_file():
        return None
    import av

    try:
        with av.open(path) as container:
            stream = container.streams.video[0]
            stream.codec_context.skip_frame = "NONKEY"
            after_s = max((entry.peak_s or entry.start_s) - entry.start_s, 0)
            container.seek(int(after_s * av.time_base))
            frame = next(container.decode(stream))
            picture = Image.fromarray(frame.to_ndarray(format="rgb24"))
    except (av.FFmpegError, OSError, ValueError, IndexError, StopIteration):  # damaged
        return None
    height = min(picture.height, max(1, round(picture.width / entry.aspect_ratio)))
    return picture.crop((0, 0, picture.width, height))


def _opened(path: Path) -> Image.Image | None:
    try:
        return Image.open(path)
    except _DAMAGED:
        return None
