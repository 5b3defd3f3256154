"""storyboard.png: the top moments with their times."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from staa_cli.results.writers.base import Writer
from staa_cli.schema import Explanation, UInt8


class StoryboardPng(Writer):
    """A picture of some frames."""

    file = "storyboard.png"

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._pictures: dict[int, UInt8] = {}

    @classmethod
    def frames(cls, explanation: Explanation) -> Sequence[int]:
        """Frames of the top moments."""
        from staa_cli.render.storyboard import storyboard_indices

        return storyboard_indices(explanation)

    def add(self, index: int, picture: UInt8) -> None:
        """Keep a frame."""
        self._pictures[index] = picture

    def write(self, path: Path) -> None:
        """Draw the storyboard.

        Raises:
            OutputError: the file cannot be written.
        """
        from staa_cli.render.storyboard import storyboard

        storyboard(self.explanation, self._pictures, path, self.settings.render)
