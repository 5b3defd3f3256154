"""Maps of a part of the picture on another grid, with their energy kept."""

from __future__ import annotations

import numpy as np

from staa_cli.results.document import Box
from staa_cli.schema import Float64


def resampled(maps: Float64, box: Box, rows: Float64, columns: Float64) -> Float64:
    """Maps [..., h, w] over a box as maps with other edges, [R + 1] and [C + 1]; sums are kept.

    A box is left, top, right, bottom as shares of the picture. Each cell is divided among the new
    cells by the area that they cover of it; the new edges must enclose the box.
    """
    down = _overlaps(rows, box[1], box[3], maps.shape[-2])
    across = _overlaps(columns, box[0], box[2], maps.shape[-1])
    return np.asarray(down @ maps @ across.T, np.float64)


def _overlaps(edges: Float64, low: float, high: float, count: int) -> Float64:
    """[n, count] share of each of `count` equal cells that lies between two of n + 1 edges."""
    own = np.linspace(low, high, count + 1)
    upper = np.minimum(edges[1:, None], own[None, 1:])
    lower = np.maximum(edges[:-1, None], own[None, :-1])
    return np.asarray((upper - lower).clip(0.0) / np.diff(own), np.float64)
