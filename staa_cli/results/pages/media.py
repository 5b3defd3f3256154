"""The video of a page: the source's own bytes where browsers play them, otherwise a small copy."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote, unquote_to_bytes, urlsplit

from staa_cli.schema import Explanation
from staa_cli.video.frame_source import VideoFile, source_of
from staa_cli.video.playback import browser_type, copy_for_browsers, encode_for_browsers

EMBEDDED_BYTES = 25_000_000
"""Larger videos are linked, or become smaller copies."""


@dataclass(frozen=True, slots=True)
class Media:
    """A video as a page refers to it."""

    address: str
    """A data URL or a relative link; empty if there is no video."""
    offset_s: float
    """Time in the source of the beginning of the video."""
    note: str
    """What it is, for people."""

    @property
    def policy(self) -> str:
        """Its sources, for the page's content security policy."""
        # A blob is a second try of browsers that do not play data URLs.
        return "data: blob:" if self.address.startswith("data:") else "'self' file:"


def media_of(explanation: Explanation, folder: Path, *, reproducible: bool = False) -> Media:
    """The video for a page in `folder`.

    Raises:
        VideoError: no frame decodes.
        OutputError: a temporary file cannot be written.
    """
    source = source_of(explanation)
    info, part = source.info, explanation.part
    is_file = isinstance(source, VideoFile)
    if is_file and (media_type := browser_type(info)) is not None:
        if info.size_bytes <= EMBEDDED_BYTES:
            address = _data_url(Path(info.path).read_bytes(), media_type)
            return Media(address, -info.start_s, "the source's own bytes")
        return Media(link(Path(info.path), folder), -info.start_s, "linked, as it is large")
    if is_file and info.size_bytes <= EMBEDDED_BYTES:
        copied = _written(lambda path: copy_for_browsers(info, path))
        if copied is not None and len(copied) <= EMBEDDED_BYTES:
            return Media(_data_url(copied), 0.0, "the source's frames in an MP4")
    encoded = _written(
        lambda path: encode_for_browsers(
            source, path, part, EMBEDDED_BYTES, repeatable=reproducible
        )
    )
    if encoded is None:
        return Media("", 0.0, "left out: browsers do not play it, and it is too long for a copy")
    return Media(
        _data_url(encoded), explanation.start_s, "a small copy, as browsers do not play it"
    )


def _written(write: Callable[[Path], bool]) -> bytes | None:
    """The content of a file, None if `write` says that there is none."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "video.mp4"
        return path.read_bytes() if write(path) else None


def _data_url(content: bytes, media_type: str = "video/mp4") -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def link(file: Path, folder: Path) -> str:
    """A relative link from a page in `folder` to a file; a complete one to another drive."""
    try:
        relative = os.path.relpath(file.absolute(), folder.absolute())
    except ValueError:
        return file.absolute().as_uri()
    # A first segment with a colon would be taken for a scheme.
    return "./" + quote(os.fsencode(relative.replace(os.sep, "/")))


def linked(address: str, folder: Path) -> Path | None:
    """The file that a page in `folder` links to, None for a video in the page itself, or none."""
    if address.startswith("data:") or not address:
        return None
    return folder / os.fsdecode(unquote_to_bytes(urlsplit(address).path))
