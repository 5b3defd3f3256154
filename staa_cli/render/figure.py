"""A figure that a notebook shows as it is; imported late, since it brings matplotlib."""

from __future__ import annotations

from io import BytesIO

from matplotlib.figure import Figure


class ChartFigure(Figure):
    """A figure of matplotlib's, apart from pyplot: nobody has to close it.

    A notebook knows the figures of pyplot alone, and shows others as one line of text.
    """

    def _repr_png_(self) -> bytes:
        """What a notebook shows."""
        content = BytesIO()
        self.savefig(content, format="png", dpi=self.dpi)
        return content.getvalue()
