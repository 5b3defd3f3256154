r"""The result folder of a video, from its path and the argument that named it.

The folder is `<relative path>/<file name without its ending>`. It does not depend on the other
inputs of a call, so that single calls and shards use the same folders as one call over everything.
It depends on the other files in the video's folder:

- If another video differs only in its ending, the ending is kept: `a.mp4`, `a.avi`.
- If another name differs only in case or in Unicode form, a hash of the name is appended, because
  some file systems treat the two as equal.
- A name with bytes that are not text, such as `a\xff.mp4`, gets the hash, too, because different
  bytes have the same replacement.
"""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from staa_cli.video.folders import VIDEO_ENDINGS, absolute

_NAME_BYTES = 240  # file systems allow 255; leaves room for the hash


class ResultFolders:
    """Names result folders; lists a folder of inputs again only after it has changed."""

    def __init__(self) -> None:
        self._listings: dict[Path, tuple[int, _Listing]] = {}

    def name(self, video: Path, base: Path) -> Path:
        """The folder of a video's results, relative to the output folder.

        Args:
            video: its path; links are not resolved.
            base: the folder below which the path is mirrored. A path outside it is mirrored from
                the root of the file system.
        """
        video, base = absolute(video), absolute(base)
        if not video.is_relative_to(base):
            base = Path(video.anchor)
        return _mirrored(
            video.relative_to(base).parts, lambda parents: self._listing(base.joinpath(*parents))
        )

    def _listing(self, folder: Path) -> _Listing:
        try:
            changed = folder.stat().st_mtime_ns
        except (OSError, ValueError):  # the video in it will report the problem
            return _EMPTY
        cached = self._listings.get(folder)
        if cached is None or cached[0] != changed:
            self._listings[folder] = cached = (changed, _Listing.of(folder))
        return cached[1]


def mirrored(parts: tuple[str, ...], listings: Mapping[tuple[str, ...], _Listing]) -> Path:
    """The folder of a video's results from its path as names, and `listings_of` its folders."""
    return _mirrored(parts, lambda parents: listings.get(parents, _EMPTY))


def listings_of(paths: Iterable[tuple[str, ...]]) -> dict[tuple[str, ...], _Listing]:
    """The names in each folder of a tree, from the paths of its files as names."""
    names: dict[tuple[str, ...], set[str]] = {}
    for path in paths:
        for depth, name in enumerate(path):
            names.setdefault(path[:depth], set()).add(name)
    return {folder: _Listing.of_names(frozenset(inside)) for folder, inside in names.items()}


def _mirrored(parts: tuple[str, ...], listing_of: Callable[[tuple[str, ...]], _Listing]) -> Path:
    *parents, name = parts
    folders = [
        _folder_name(listing_of(parts[:depth]), parent) for depth, parent in enumerate(parents)
    ]
    return Path(*folders, _video_name(listing_of(tuple(parents)), name))


def _folder_name(listing: _Listing, name: str) -> str:
    return _with_hash(name, name) if listing.has_equivalent(name) else _plain_or_hashed(name, name)


def _video_name(listing: _Listing, name: str) -> str:
    stem = Path(name).stem
    if listing.has_equivalent(name):
        return _with_hash(name, name)
    if set(stem) != {"."} and not listing.is_claimed(stem, name):
        return _plain_or_hashed(stem, name)
    # A video has priority for its full name, but other files do not.
    if _claims(name) or not listing.is_claimed(name, name):
        return _plain_or_hashed(name, name)
    return _with_hash(name, name)


@dataclass(frozen=True, slots=True)
class _Listing:
    """Names in a folder, with counts of equivalent ones."""

    names: frozenset[str]
    equivalent: Counter[str]
    """All names, by case-folded key."""
    claims: Counter[str]
    """Folder names that videos may use, with and without the ending, by key."""

    @classmethod
    def of(cls, folder: Path) -> _Listing:
        try:
            names = frozenset(os.listdir(folder))  # noqa: PTH208 (names, not paths)
        except OSError:
            return _EMPTY
        return cls.of_names(names)

    @classmethod
    def of_names(cls, names: frozenset[str]) -> _Listing:
        claims = Counter(key for name in names for key in _claims(name))
        return cls(names, Counter(map(_key, names)), claims)

    def has_equivalent(self, name: str) -> bool:
        """Whether another name differs from this one in case or Unicode form only."""
        return self.equivalent[_key(name)] > (name in self.names)

    def is_claimed(self, text: str, name: str) -> bool:
        """Whether a video other than `name` may use `text` as its folder name."""
        claims_itself = name in self.names and _key(text) in _claims(name)
        return self.claims[_key(text)] > claims_itself


def _claims(name: str) -> set[str]:
    path = Path(name)
    return {_key(name), _key(path.stem)} if path.suffix.lower() in VIDEO_ENDINGS else set()


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


_EMPTY = _Listing(frozenset(), Counter(), Counter())


def _plain_or_hashed(text: str, name: str) -> str:
    """A name, or its stem, as a folder name: unchanged, or with a hash if it is not text."""
    return text if _safe(text) == text else _with_hash(text, name)


def _with_hash(text: str, name: str) -> str:
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{_safe(text).encode()[:_NAME_BYTES].decode(errors='ignore')}~{digest}"


def _safe(name: str) -> str:
    """A name with control characters and invalid UTF-8 bytes replaced by `_`."""
    return "".join("_" if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") else c for c in name)
