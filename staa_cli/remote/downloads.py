"""Local copies of files at URLs, in a cache.

A copy is `<cache>/<hash of the URL>/<version>/<name>`. The version is a hash of what the server
says about the content: its ETag, else its time, and its size. A changed file is another copy, so
that a process which reads the older one is not disturbed. Copies appear under their names only when
they are complete, and are never changed.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from staa_cli.errors import InputError, UnavailableError
from staa_cli.files import atomic_path, parts_of
from staa_cli.formatting import megabytes
from staa_cli.remote.addresses import Address
from staa_cli.remote.storage import file_system, remote_errors

_BLOCK = 1 << 20
_ABANDONED_S = 24 * 3600.0
"""Age from which an incomplete download counts as left behind by a killed process."""
_TAGS = ("ETag", "etag", "generation", "Content-MD5", "md5Hash")
_TIMES = ("LastModified", "Last-Modified", "last_modified", "updated", "mtime", "created")
"""What identifies a version of a file, by the names that file systems of fsspec have for it."""
_PAGES = (b"<!doctype html", b"<html")

OnBytes = Callable[[int, int], None]
"""Called with the bytes that have arrived, and with the expected ones, 0 if not known."""


def default_cache() -> Path:
    """`staa` in `$XDG_CACHE_HOME`, which is by default `~/.cache`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "staa"


@dataclass(frozen=True, slots=True)
class Download:
    """What has to be downloaded to have a copy."""

    copy: Path
    size: int | None
    """None if the server does not say."""


@dataclass(frozen=True, slots=True)
class Cache:
    """Copies of files at URLs, downloaded when first needed.

    Args:
        folder: of all copies.
        limit_bytes: size of the largest file that is downloaded.
        offline: use only what is there.
        announce: called with one line about what is downloaded, before each download.
    """

    folder: Path
    limit_bytes: float
    offline: bool = False
    announce: Callable[[str], None] = lambda line: None

    def find(self, address: Address) -> Path | Download:
        """The copy of the current version, or what has to be downloaded for it.

        Offline, it is the copy that was downloaded last.

        Raises:
            InputError: it is not found or not readable, too large, or a web page.
            UnavailableError: there is no copy, and none may be downloaded; or a package is missing.
        """
        folder = self.folder / "downloads" / _digest(address.identity)
        if self.offline:
            return _newest(folder, address)
        files = file_system(address)
        with remote_errors(address):
            facts: Mapping[str, Any] = files.info(address.url)
        size, version = facts.get("size"), _version(facts)
        copy = folder / _digest(version) / address.name
        if version and copy.is_file():
            return copy
        if facts.get("type") == "directory":
            raise InputError("is a folder there, not a file", "end the URL of a folder with /")
        if facts.get("mimetype") == "text/html":
            raise _web_page()
        if size is not None and size > self.limit_bytes:
            raise self._too_large(f"it has {megabytes(size)}")
        return Download(copy, size)

    def fetch(self, address: Address, on_bytes: OnBytes = lambda done, expected: None) -> Path:
        """The copy of the current version, downloaded if there is none.

        Raises:
            InputError: as `find`, or the download is incomplete or turns out to be too large.
            OutputError: the copy cannot be written.
            UnavailableError: as `find`.
        """
        found = self.find(address)
        if isinstance(found, Path):
            return found
        size = found.size
        words = "of unknown size" if size is None else f"({megabytes(size)})"
        self.announce(f"downloading {address.shown} {words}")
        with atomic_path(found.copy) as part:
            _remove_abandoned(found.copy)
            self._write(address, size, part, on_bytes)
        return found.copy

    def _write(self, address: Address, size: int | None, part: Path, on_bytes: OnBytes) -> None:
        done, files = 0, file_system(address)
        # In one request where possible: some web servers support no others.
        how = {} if address.is_store else {"block_size": 0, "size": size}
        with remote_errors(address):
            source = files.open(address.url, "rb", **how)
        with source, part.open("wb") as file:
            while True:
                with remote_errors(address, _broke_off(done, size)):
                    block = source.read(_BLOCK)
                if not block:
                    break
                if not done and block.lstrip()[:20].lower().startswith(_PAGES):
                    raise _web_page()
                done += len(block)
                if done > self.limit_bytes:
                    raise self._too_large("it did not end before the limit")
                file.write(block)
                on_bytes(done, size or 0)
        if size is not None and done != size:
            raise InputError(_broke_off(done, size), "run the same command again")

    def _too_large(self, reason: str) -> InputError:
        return InputError(
            f"larger than the limit for downloads of {megabytes(self.limit_bytes)}: {reason}",
            "raise it with --max-download GB",
        )


def _broke_off(done: int, size: int | None) -> str:
    of_size = "" if size is None else f" of {megabytes(size)}"
    return f"the download broke off after {megabytes(done)}{of_size}"


def _web_page() -> InputError:
    return InputError(
        "a web page, not a video", "give the URL of the file itself, as for a download"
    )


def _newest(folder: Path, address: Address) -> Path:
    copies = [copy for copy in folder.glob("*/*") if copy.name == address.name]
    if not copies:
        raise UnavailableError(
            "not in the cache, and downloads are disabled offline",
            "run the same command once without --offline",
        )
    return max(copies, key=lambda copy: copy.stat().st_mtime_ns)


def _version(facts: Mapping[str, Any]) -> str:
    """What identifies the version of a file; empty if nothing does."""
    tags = [str(facts[name]) for name in _TAGS if facts.get(name)]
    times = [str(facts[name]) for name in _TIMES if facts.get(name)]
    size = facts.get("size")
    return "\n".join([*(tags or times)[:1], *([] if size is None else [str(size)])])


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _remove_abandoned(copy: Path) -> None:
    """Remove old incomplete downloads; younger ones may belong to a running process."""
    for part in parts_of(copy):
        with suppress(OSError):
            if time.time() - part.stat().st_mtime > _ABANDONED_S:
                part.unlink()
