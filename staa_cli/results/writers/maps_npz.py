"""maps.npz: raw attributions and the stitched maps, for other programs and for redrawing."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from staa_cli.files import MAPS, atomic_path
from staa_cli.results.arrays import arrays_of
from staa_cli.results.writers.base import Writer


class MapsNpz(Writer):
    """The arrays of an explanation, without pickle."""

    file = MAPS

    def write(self, path: Path) -> None:
        """Write the arrays.

        Raises:
            OutputError: the file cannot be written.
        """
        arrays = arrays_of(self.explanation)
        with atomic_path(path) as part, part.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)
