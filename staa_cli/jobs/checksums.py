"""Checksums of videos that were read before, so that a finished one need not be read again."""

from __future__ import annotations

import os
import time
from contextlib import closing
from pathlib import Path

from staa_cli.files import sha256_of

FILE = "checksums.sqlite"
_LARGE = 1 << 20
"""Bytes from which a file takes longer to read than a checksum to find."""
_RECENT_S = 2.0
"""A file that changed so recently may change again without another time."""
_WAIT_S = 5.0
_CREATE = """CREATE TABLE IF NOT EXISTS checksums (
    device INTEGER, inode INTEGER, size INTEGER, modified_ns INTEGER, changed_ns INTEGER,
    sha256 TEXT, PRIMARY KEY (device, inode))"""
_FIND = """SELECT sha256 FROM checksums WHERE device = ? AND inode = ? AND size = ?
    AND modified_ns = ? AND changed_ns = ?"""
_KEEP = "INSERT OR REPLACE INTO checksums VALUES (?, ?, ?, ?, ?, ?)"


class Checksums:
    """SHA-256 of files; those of large files are remembered between calls.

    A file is known by its device and inode, size, and both of its times. The time of the last
    change of its inode cannot be set, so that other content with an earlier modification time is
    noticed, too. Where nothing can be remembered, as in a folder that cannot be written, files are
    read each time.

    Args:
        folder: of the database; created when the first checksum is kept.
        verify: read every file anyway.
    """

    def __init__(self, folder: Path, verify: bool = False) -> None:
        self._path, self._verify = folder / FILE, verify

    def of(self, path: Path) -> str:
        """SHA-256 of the content of a file.

        Raises:
            OSError: it cannot be read.
        """
        before = path.stat()
        if before.st_size < _LARGE:
            return sha256_of(path)
        if not self._verify and (known := self._known(_key(before))) is not None:
            return known
        checksum = sha256_of(path)
        latest = max(before.st_mtime, before.st_ctime)
        if _key(path.stat()) == _key(before) and latest < time.time() - _RECENT_S:
            self._keep(_key(before), checksum)
        return checksum

    def _known(self, key: tuple[int, ...]) -> str | None:
        if not self._path.is_file():
            return None
        import sqlite3  # not before there is a large video

        try:
            with closing(sqlite3.connect(self._path, _WAIT_S)) as database:
                found = database.execute(_FIND, key).fetchone()
        except (sqlite3.Error, OverflowError):
            return None
        return None if found is None else str(found[0])

    def _keep(self, key: tuple[int, ...], checksum: str) -> None:
        import sqlite3

        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self._path, _WAIT_S)) as database, database:
                database.execute("PRAGMA synchronous = OFF")  # what is lost is computed again
                database.execute(_CREATE)
                database.execute(_KEEP, (*key, checksum))
        except sqlite3.DatabaseError as error:
            if not isinstance(error, sqlite3.OperationalError):  # it is no database: begin anew
                self._path.unlink(missing_ok=True)
        except (OSError, OverflowError):
            pass


def _key(status: os.stat_result) -> tuple[int, ...]:
    times = status.st_mtime_ns, status.st_ctime_ns
    return (status.st_dev, status.st_ino, status.st_size, *times)
