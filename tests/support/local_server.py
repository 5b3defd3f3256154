"""A web server on this machine, for tests."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Protocol


class Answer(Protocol):
    """Answers a request, without the body if it is HEAD."""

    def __call__(self, request: BaseHTTPRequestHandler, *, body: bool) -> None: ...


@contextmanager
def serving(answer: Answer) -> Iterator[str]:
    """The URL of a server that runs within the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            answer(self, body=False)

        def do_GET(self) -> None:
            answer(self, body=True)

        def log_message(self, *words: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
