"""Pictures in a page, as data URLs; those of an existing page can be taken over into a new one."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import unescape
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from staa_cli.errors import InputError
from staa_cli.results.pages.media import Media
from staa_cli.schema import Float64

_QUALITY = 78
_JPEG = "data:image/jpeg;base64,"
_POSTER = re.compile(r'<video [^>]*? poster="([^"]*)"(?: src="([^"]*)")?')
_STILL = re.compile(
    r'<button type="button" class="card" data-seek="([\d.]+)">'
    r'<img src="([^"]*)" width="(\d+)" height="(\d+)"'
)
_DATA = re.compile(r'<script type="application/json" id="viewer-data">(.*?)</script>', re.DOTALL)
_HEAD_BYTES = 1_000_000
"""The poster is within these first bytes of a page."""


@dataclass(frozen=True, slots=True)
class Still:
    """A picture of a page."""

    address: str
    """A data URL."""
    size: tuple[int, int]
    """Width and height."""

    @classmethod
    def of(cls, picture: Image.Image) -> Still:
        """Encode a picture."""
        return cls(_JPEG + base64.b64encode(jpeg(picture, _QUALITY)).decode(), picture.size)


def jpeg(picture: Image.Image, quality: int) -> bytes:
    """A picture as JPEG."""
    content = BytesIO()
    picture.save(content, "JPEG", quality=quality)
    return content.getvalue()


@dataclass(frozen=True, slots=True)
class StoredMedia:
    """What a page has from the video, and a new page needs again."""

    media: Media
    poster: Still
    stills: Mapping[int, Still]
    """By position in the video."""


def stored_media(page: Path, times_s: Float64) -> StoredMedia:
    """Read the video and its pictures from a page.

    Args:
        page: report.html.
        times_s: start times of the video's frames.

    Raises:
        InputError: it cannot be read, or is not a page of staa.
    """
    try:
        html = page.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {page}: {error}") from error
    video, data = _POSTER.search(html), _DATA.search(html)
    cards = [match.groups() for match in _STILL.finditer(html)]
    addresses = [address for _, address, _, _ in cards]
    foreign = InputError(f"{page} is not a page of staa", "`staa render` writes it from the video")
    if video is None or data is None or not all(map(_is_jpeg, (video[1], *addresses))):
        raise foreign
    try:
        known = json.loads(data[1])
        offset_s, note = float(known["offset_s"]), str(known["media"])
    except (ValueError, KeyError, TypeError) as error:
        raise foreign from error
    source = unescape(video[2] or "")
    if not source.startswith(("data:video/", "./", "file:")):
        source = ""
    stills = {
        int(np.abs(times_s - float(time_s)).argmin()): Still(address, (int(width), int(height)))
        for time_s, address, width, height in cards
    }
    media = Media(source, offset_s, note)
    return StoredMedia(media, Still(video[1], (0, 0)), stills)


def stored_poster(page: Path) -> Image.Image | None:
    """The picture that a page begins with, None if there is none."""
    try:
        with page.open("rb") as file:
            head = file.read(_HEAD_BYTES).decode("utf-8", "replace")
        video = _POSTER.search(head)
        if video is None or not _is_jpeg(video[1]):
            return None
        return Image.open(BytesIO(base64.b64decode(video[1].removeprefix(_JPEG))))
    except (OSError, ValueError):  # gone, or edited
        return None


def _is_jpeg(address: str) -> bool:
    return re.fullmatch(f"{_JPEG}[A-Za-z0-9+/=]+", address) is not None
