"""A figure that notebooks show as an image; import it late, as it imports matplotlib."""

from __future__ import annotations

from io import BytesIO

from matplotlib.figure import Figure


class ChartFigure(Figure):
    """A matplotlib figure outside pyplot, which does not have to be closed.

    By default, notebooks show only pyplot figures as images.
    """

    def _repr_png_(self) -> bytes:
        """PNG for notebooks."""
        content = BytesIO()
        self.savefig(content, format="png", dpi=self.dpi)
        return content.getvalue()
