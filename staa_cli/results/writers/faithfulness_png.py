"""faithfulness.png: deletion and insertion curves as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from staa_cli.results.writers.base import Writer

if TYPE_CHECKING:
    from staa_cli.config.settings import OutputSettings


class FaithfulnessPng(Writer):
    """The chart of measured faithfulness."""

    file = "faithfulness.png"

    @classmethod
    def is_wanted(cls, output: OutputSettings) -> bool:
        """If faithfulness is measured, in full or quickly."""
        return output.depth is not None

    def write(self, path: Path) -> None:
        """Draw the curves.

        Raises:
            OutputError: nothing was measured, or the file cannot be written.
        """
        from staa_cli.render.faithfulness import faithfulness_plot

        faithfulness_plot(self.explanation, path)
