"""curve.png: the temporal curve as a picture."""

from __future__ import annotations

from pathlib import Path

from staa_cli.results.writers.base import Writer


class CurvePng(Writer):
    """The chart of the curve."""

    file = "curve.png"

    def write(self, path: Path) -> None:
        """Draw the curve.

        Raises:
            OutputError: the file cannot be written.
        """
        from staa_cli.render.plot import plot

        plot(self.explanation, path)
