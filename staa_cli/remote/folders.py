"""Folders of object stores that receive files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from staa_cli.errors import InputError, OutputError
from staa_cli.remote.addresses import Address
from staa_cli.remote.storage import file_system, remote_errors


@dataclass(frozen=True, slots=True)
class RemoteFolder:
    """A folder of an object store.

    All methods raise `OutputError` if the store does not do what they ask for, and
    `UnavailableError` if a package is missing.
    """

    address: Address

    def sizes(self) -> dict[str, int]:
        """The files in the folder, without subfolders, with their sizes in bytes."""
        files = file_system(self.address)
        with self._errors("listed"):
            files.invalidate_cache(files._strip_protocol(self.address.url))
            # Listing a missing folder lists its parent, with all the other results.
            found = files.isdir(self.address.url)
            rows = files.ls(self.address.url, detail=True) if found else []
        return {
            row["name"].rstrip("/").rpartition("/")[2]: row["size"] or 0
            for row in rows
            if row["type"] == "file"
        }

    def read(self, name: str) -> bytes:
        """The content of a file."""
        with self._errors("read"):
            content: bytes = file_system(self.address).cat_file(self._url(name))
        return content

    def upload(self, file: Path, name: str) -> None:
        """Upload a file; it appears, or replaces another one, when it is complete."""
        with self._errors("written"):
            file_system(self.address).put_file(str(file), self._url(name))

    def remove(self, name: str) -> None:
        """Remove a file; one that is missing is no error."""
        with self._errors("written"):
            try:
                file_system(self.address).rm_file(self._url(name))
            except FileNotFoundError:
                return

    def _url(self, name: str) -> str:
        return self.address.below(name).url

    @contextmanager
    def _errors(self, done: str) -> Iterator[None]:
        try:
            with remote_errors(self.address):
                yield
        except InputError as error:
            raise OutputError(
                f"{self.address.shown} cannot be {done}: {error.cause}", error.hint
            ) from error.__cause__
