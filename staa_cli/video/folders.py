"""Find videos in a folder."""

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
"""Endings of videos in a folder; a file given by its name can have any ending."""


def walk_videos(
    folder: Path,
    *,
    recursive: bool,
    skip: Path | None = None,
    on_error: Callable[[OSError], object] | None = None,
) -> Iterator[Path]:
    """The videos in a folder, sorted, without hidden files and videos written by staa.

    Args:
        folder: to search.
        recursive: also search subfolders.
        skip: absolute path of a subfolder to leave out.
        on_error: called with the error of a folder that cannot be read.
    """
    for here, subfolders, names in os.walk(folder, onerror=on_error):
        visible = (name for name in subfolders if not name.startswith("."))
        subfolders[:] = sorted(name for name in visible if absolute(Path(here, name)) != skip)
        has_results = any(
            is_own(Path(here, name)) for name in (REPORT, COMPARISON, MARK) if name in names
        )
        for name in sorted(names):
            is_video = Path(name).suffix.lower() in VIDEO_ENDINGS and not name.startswith(".")
            if is_video and not (has_results and name in WRITTEN_VIDEOS):
                yield Path(here, name)
        if not recursive:
            return


def absolute(path: Path) -> Path:
    """The absolute path, without resolving links."""
    return Path(os.path.abspath(path))  # noqa: PTH100
