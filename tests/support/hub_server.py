"""A local server with the parts of the hub API that downloads need."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import unquote, urlparse

from local_server import serving

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """Serves repositories ``{"org/name": folder}`` and records the requests."""

    def __init__(self, repositories: dict[str, Path]) -> None:
        self.repositories = repositories
        self.asked: list[str] = []
        self.breaks_after: int | None = None
        """Number of bytes of a weights file after which the connection breaks, once."""
        self.url = ""

    @contextmanager
    def running(self) -> Iterator[Hub]:
        with serving(self.answer) as self.url:
            yield self

    def answer(self, request: BaseHTTPRequestHandler, *, body: bool) -> None:
        path = unquote(urlparse(request.path).path)
        self.asked.append(f"{request.command} {path}")
        for repo, folder in self.repositories.items():
            if path.startswith(f"/api/models/{repo}"):
                revision = path.partition("/revision/")[2] or "main"
                return self._facts(request, repo, folder, revision)
            if path.startswith(f"/{repo}/resolve/"):
                revision, _, name = path.removeprefix(f"/{repo}/resolve/").partition("/")
                if (folder / name).is_file() and revision in ("main", "v1", COMMIT):
                    return self._file(request, folder / name, body)
                return self._fail(request, "EntryNotFound")
        return self._fail(request, "RepoNotFound")

    def _facts(
        self, request: BaseHTTPRequestHandler, repo: str, folder: Path, revision: str
    ) -> None:
        if revision not in ("main", "v1", COMMIT):
            return self._fail(request, "RevisionNotFound")
        files = [
            {
                "rfilename": path.name,
                "size": path.stat().st_size,
                "blobId": hashlib.sha1(path.read_bytes()).hexdigest(),
            }
            for path in sorted(folder.iterdir())
        ]
        facts = {"id": repo, "modelId": repo, "sha": COMMIT, "siblings": files, "private": False}
        if "/tree/" in request.path:
            listed = [
                {"type": "file", "path": f["rfilename"], "size": f["size"], "oid": f["blobId"]}
                for f in files
            ]
            return self._send(request, json.dumps(listed).encode(), {})
        return self._send(request, json.dumps(facts).encode(), {})

    def _file(self, request: BaseHTTPRequestHandler, path: Path, body: bool) -> None:
        data = path.read_bytes()
        headers = {
            "ETag": f'"{hashlib.sha1(data).hexdigest()}"',
            "X-Repo-Commit": COMMIT,
            "Accept-Ranges": "bytes",
        }
        start = 0
        if byte_range := request.headers.get("Range"):
            start = int(byte_range.removeprefix("bytes=").partition("-")[0])
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        cut = self.breaks_after if body and path.suffix == ".safetensors" else None
        if cut is not None:
            self.breaks_after = None
        self._send(request, data[start:], headers, body=body, cut=cut, partial=start > 0)

    def _send(
        self,
        request: BaseHTTPRequestHandler,
        data: bytes,
        headers: dict[str, str],
        *,
        body: bool = True,
        cut: int | None = None,
        partial: bool = False,
    ) -> None:
        request.send_response(206 if partial else 200)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            request.send_header(name, value)
        request.end_headers()
        if body:
            request.wfile.write(data[:cut])

    def _fail(self, request: BaseHTTPRequestHandler, code: str) -> None:
        request.send_response(404 if code != "GatedRepo" else 403)
        request.send_header("X-Error-Code", code)
        request.send_header("Content-Length", "0")
        request.end_headers()
