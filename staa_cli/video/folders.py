"""Videos below a folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from staa_cli.files import COMPARISON, MARK, REPORT, WRITTEN_VIDEOS, is_own

_ENDINGS = """
.3g2 .3gp .asf .avi .divx .dv .f4v .flv .gif .m2ts .m2v .m4v .mjpeg .mkv .mov .mp4 .mpeg .mpg .mts
.mxf .ogg .ogv .qt .rm .rmvb .ts .vob .webm .wmv .y4m
"""
VIDEO_ENDINGS = frozenset(_ENDINGS.split())
"""What counts as a video in a folder; a file that is named itself is taken whatever its ending."""


def walk_videos(
    folder: Path,
    *,
    recursive: bool,
    skip: Path | None = None,
    on_error: Callable[[OSError], object] | None = None,
) -> Iterator[Path]:
    """The videos in a folder, sorted; hidden ones and what staa wrote beside a report left out.

    Args:
        folder: to look into.
        recursive: whether in its subfolders, too.
        skip: absolute path of a subfolder that is left out.
        on_error: told of a folder that cannot be read.
    """
    for here, subfolders, names in os.walk(folder, onerror=on_error):
        inner = (name for name in subfolders if not name.startswith("."))
        subfolders[:] = sorted(name for name in inner if absolute(Path(here, name)) != skip)
        own = any(is_own(Path(here, name)) for name in (REPORT, COMPARISON, MARK) if name in names)
        for name in sorted(names):
            video = Path(name).suffix.lower() in VIDEO_ENDINGS and not name.startswith(".")
            if video and not (own and name in WRITTEN_VIDEOS):
                yield Path(here, name)
        if not recursive:
            return


def absolute(path: Path) -> Path:
    """The path from the root, links left as they are: a link is a name of its own."""
    return Path(os.path.abspath(path))  # noqa: PTH100
