"""Writing pictures."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from staa_cli.files import atomic_path


def write_png(image: Image.Image, path: Path) -> None:
    """An RGB picture in, a PNG at `path` out.

    Raises:
        OutputError: the file cannot be written.
    """
    with atomic_path(path) as part:
        image.save(part, "PNG")
