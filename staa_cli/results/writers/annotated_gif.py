"""annotated.gif: eight seconds around the highest moments."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from staa_cli.files import GIF
from staa_cli.results.writers.base import Writer
from staa_cli.schema import Explanation, UInt8


class AnnotatedGif(Writer):
    """A short animation."""

    file = GIF

    def __init__(self, *arguments: Any, **options: Any) -> None:
        from staa_cli.render.animation import Animation

        super().__init__(*arguments, **options)
        self._animation = Animation(self.explanation, self.settings.render)

    @classmethod
    def frames(cls, explanation: Explanation) -> Sequence[int]:
        """About ten per second."""
        from staa_cli.render.animation import gif_indices

        return gif_indices(explanation)

    def add(self, index: int, picture: UInt8) -> None:
        """Draw on a frame; only the small picture is kept."""
        self._animation.add(index, picture)

    def write(self, path: Path) -> None:
        """Write the GIF.

        Raises:
            OutputError: the file cannot be written.
        """
        self._animation.save(path)
