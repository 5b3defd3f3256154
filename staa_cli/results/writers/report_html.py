"""report.html: the video, its heat, the curve, and the facts, in one file for browsers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from staa_cli.files import PAGE, atomic_path
from staa_cli.results.writers.base import Writer, wanted_files
from staa_cli.schema import Explanation, UInt8

if TYPE_CHECKING:
    from staa_cli.results.pages.stills import Still

_POSTER_PX, _STILL_PX = 640, 320
"""Longest side of the poster and of a moment's picture."""


class ReportHtml(Writer):
    """The page of an explanation; it keeps only the small pictures of frames."""

    file = PAGE

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        from staa_cli.render.storyboard import highest, storyboard_indices

        self._highest = highest(self.explanation)
        self._shown = storyboard_indices(self.explanation)
        self._poster: Still | None = None
        self._stills: dict[int, Still] = {}

    @classmethod
    def frames(cls, explanation: Explanation) -> Sequence[int]:
        """Frames of the top moments, and the one with the highest score."""
        from staa_cli.render.storyboard import highest, storyboard_indices

        return sorted({highest(explanation), *storyboard_indices(explanation)})

    def add(self, index: int, picture: UInt8) -> None:
        """Draw the heat on a frame; only the small picture is kept."""
        if index == self._highest:
            self._poster = self._drawn(index, picture, _POSTER_PX)
        if index in self._shown:
            self._stills[index] = self._drawn(index, picture, _STILL_PX)

    def write(self, path: Path) -> None:
        """Write the page.

        Raises:
            VideoError: a copy of the video is needed, and no frame decodes.
            OutputError: the file cannot be written.
        """
        from staa_cli.results.pages.explanation import explanation_page
        from staa_cli.results.pages.media import media_of

        assert self._poster is not None
        explanation = self.explanation
        if self.reproducible:
            explanation = replace(explanation, run=None)
        html = explanation_page(
            [explanation],
            media_of(explanation, path.parent, reproducible=self.reproducible),
            self._poster,
            self._stills,
            self.settings.render,
            files=[name for name in wanted_files(self.settings.output) if name != PAGE],
        )
        with atomic_path(path) as part:
            part.write_text(html, encoding="utf-8")

    def _drawn(self, index: int, picture: UInt8, longest: int) -> Still:
        from PIL.Image import Resampling, fromarray

        from staa_cli.render.painter import Painter
        from staa_cli.render.storyboard import fitted, painted, shown_size
        from staa_cli.results.pages.stills import Still

        shown = shown_size(self.explanation, picture)
        side = min(longest, max(shown))
        size = fitted(shown, (side, side))
        look = replace(self.settings.render, view="heat", strip="none")
        plain = fromarray(picture).resize(size, Resampling.LANCZOS)
        time_s = float(self.explanation.video.times_s[index])
        return Still.of(painted(Painter(self.explanation, look, size), plain, time_s))
