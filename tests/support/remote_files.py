"""Files at URLs without a network: a bucket in memory, and a web server on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any, ClassVar

import fsspec
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.registry import _registry
from local_server import serving

from staa_cli.remote import storage


class Bucket(MemoryFileSystem):  # type: ignore[misc]
    """The object store at s3:// URLs, in memory; records what is opened."""

    protocol = "s3"
    cachable = False
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    opened: ClassVar[list[str]] = []
    """What has been opened, as `rb bucket/key`, in order."""
    broken: ClassVar[dict[str, Exception]] = {}
    """Errors of opening, by what is opened."""

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return "/" + path.removeprefix("s3://").strip("/")

    def _open(self, path: str, mode: str = "rb", **how: Any) -> Any:
        opened = f"{mode} {path.lstrip('/')}"
        self.opened.append(opened)
        if opened in self.broken:
            raise self.broken[opened]
        return super()._open(path, mode, **how)

    @classmethod
    @contextmanager
    def registered(cls) -> Iterator[dict[str, bytes]]:
        """Serve s3:// URLs from an empty store; files are put into it as `bucket/key`."""
        for kept in (cls.store, cls.opened, cls.broken):
            kept.clear()
        cls.pseudo_dirs[:] = [""]
        known = _registry.get("s3")
        fsspec.register_implementation("s3", cls, clobber=True)
        storage._file_system.cache_clear()
        try:
            yield Files()
        finally:
            _registry.pop("s3")
            if known is not None:
                fsspec.register_implementation("s3", known)
            storage._file_system.cache_clear()


class Files(dict[str, bytes]):
    """Contents of the bucket by `bucket/key`: written through, read from the store."""

    def __setitem__(self, key: str, content: bytes) -> None:
        Bucket().pipe_file(f"s3://{key}", content)
        Bucket.opened.pop()

    def __getitem__(self, key: str) -> bytes:
        return bytes(Bucket().cat_file(f"s3://{key}"))

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(name.lstrip("/") for name in Bucket.store))

    def __contains__(self, key: object) -> bool:
        return f"/{key}" in Bucket.store

    def __delitem__(self, key: str) -> None:
        Bucket().rm_file(f"s3://{key}")


@dataclass
class Page:
    """An answer of the web server."""

    content: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    status: int = 200
    states_length: bool = True
    answers_head: bool = True
    cut: int | None = None
    """Bytes after which the connection breaks."""
    redirects_to: str | None = None


class WebServer:
    """Serves pages by path and query, and records the requests."""

    def __init__(self) -> None:
        self.pages: dict[str, Page] = {}
        self.asked: list[str] = []
        self.url = ""

    @contextmanager
    def running(self) -> Iterator[WebServer]:
        with serving(self.answer) as self.url:
            yield self

    def answer(self, request: BaseHTTPRequestHandler, *, body: bool) -> None:
        self.asked.append(f"{request.command} {request.path}")
        page = self.pages.get(request.path, Page(status=404))
        if not body and not page.answers_head:
            page = Page(status=405)
        content, status, headers = page.content, page.status, dict(page.headers)
        if page.redirects_to is not None:
            status, headers["Location"] = 302, page.redirects_to
        if "bytes" in headers.get("Accept-Ranges", "") and (span := request.headers.get("Range")):
            first, _, last = span.removeprefix("bytes=").partition("-")
            end = int(last) + 1 if last else len(content)
            headers["Content-Range"] = f"bytes {first}-{end - 1}/{len(content)}"
            content, status = content[int(first) : end], 206
        request.send_response(status)
        if page.states_length:
            headers["Content-Length"] = str(len(content))
        for name, value in headers.items():
            request.send_header(name, value)
        request.end_headers()
        if body:
            request.wfile.write(content[: page.cut])
