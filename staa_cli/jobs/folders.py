r"""Where the results of a video go, from the video and the argument that named it alone.

The folder is `<relative path>/<file name without its ending>`. Which other inputs a call has makes
no difference, so that single calls and shards find what one call over everything has written. What
lies beside the video on the disk does:

- Beside another video of the same name but for the ending, the ending stays: `a.mp4`, `a.avi`.
- Beside a name that differs in case or in Unicode form only, a mark made from the name is added,
  because some file systems hold the two to be one.
- A name with what is no text, such as `a\xff.mp4`, has that mark, too: what is put in the place of
  such a byte could stand for others.
"""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from staa_cli.video.folders import VIDEO_ENDINGS, absolute

_NAME_BYTES = 240  # file systems take 255; the rest is room for a mark


class ResultFolders:
    """Names the folders of results; a folder of inputs is listed again only when it has changed."""

    def __init__(self) -> None:
        self._listings: dict[Path, tuple[int, _Listing]] = {}

    def name(self, video: Path, base: Path) -> Path:
        """The folder of a video's results, relative to that of all results.

        Args:
            video: its path; a link is a name of its own.
            base: the folder below which the path is mirrored. What does not lie there is mirrored
                from the root of the file system.
        """
        video, base = absolute(video), absolute(base)
        if not video.is_relative_to(base):
            base = Path(video.anchor)
        *above, name = video.relative_to(base).parts
        parts = []
        for part in above:
            parts.append(self._folder_name(base, part))
            base /= part
        return Path(*parts, self._video_name(base, name))

    def _folder_name(self, parent: Path, name: str) -> str:
        return _marked(name, name) if self._listing(parent).is_alike(name) else _plain(name, name)

    def _video_name(self, parent: Path, name: str) -> str:
        stem, listing = Path(name).stem, self._listing(parent)
        if listing.is_alike(name):
            return _marked(name, name)
        if set(stem) != {"."} and not listing.is_claimed(stem, name):
            return _plain(stem, name)
        # The whole name of a video is left to it by all others, but not that of any other file.
        if _claims(name) or not listing.is_claimed(name, name):
            return _plain(name, name)
        return _marked(name, name)

    def _listing(self, folder: Path) -> _Listing:
        try:
            changed = folder.stat().st_mtime_ns
        except (OSError, ValueError):  # what is wrong with it is told by the video that it holds
            return _NOTHING
        known = self._listings.get(folder)
        if known is None or known[0] != changed:
            self._listings[folder] = known = (changed, _Listing.of(folder))
        return known[1]


@dataclass(frozen=True, slots=True)
class _Listing:
    """Names in a folder, and how many of them come to the same."""

    names: frozenset[str]
    alike: Counter[str]
    """Of all names."""
    claims: Counter[str]
    """Of what videos may go by: their names with and without the ending."""

    @classmethod
    def of(cls, folder: Path) -> _Listing:
        try:
            names = frozenset(os.listdir(folder))  # noqa: PTH208 (names, not paths)
        except OSError:
            return _NOTHING
        claims = Counter(key for name in names for key in _claims(name))
        return cls(names, Counter(map(_key, names)), claims)

    def is_alike(self, name: str) -> bool:
        """Whether another name differs from this one in case or Unicode form only."""
        return self.alike[_key(name)] > (name in self.names)

    def is_claimed(self, text: str, name: str) -> bool:
        """Whether another video than the one of that name may go by a text."""
        own = name in self.names and _key(text) in _claims(name)
        return self.claims[_key(text)] > own


def _claims(name: str) -> set[str]:
    path = Path(name)
    return {_key(name), _key(path.stem)} if path.suffix.lower() in VIDEO_ENDINGS else set()


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


_NOTHING = _Listing(frozenset(), Counter(), Counter())


def _plain(text: str, name: str) -> str:
    """A name, or its stem, as the name of a folder: as it is, or marked where it is no text."""
    return text if _safe(text) == text else _marked(text, name)


def _marked(text: str, name: str) -> str:
    mark = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{_safe(text).encode()[:_NAME_BYTES].decode(errors='ignore')}~{mark}"


def _safe(name: str) -> str:
    """A name without characters that are no text: controls, and bytes that are no UTF-8."""
    return "".join("_" if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") else c for c in name)
