"""Writing pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from staa_cli.files import atomic_path


def write_png(image: Image.Image, path: Path) -> None:
    """An RGB picture in, a PNG at `path` out.

    Raises:
        OutputError: the file cannot be written.
    """
    import imageio.v3 as iio  # late: only stills need it

    with atomic_path(path) as part:
        iio.imwrite(part, np.asarray(image), extension=".png")
