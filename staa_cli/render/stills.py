"""Write pictures."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from staa_cli.files import atomic_path


def write_png(image: Image.Image, path: Path) -> None:
    """Write an RGB picture as a PNG.

    Raises:
        OutputError: the file cannot be written.
    """
    with atomic_path(path) as part:
        image.save(part, "PNG")
