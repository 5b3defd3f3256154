"""A bucket, and a web server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from remote_files import Bucket, WebServer


@pytest.fixture
def bucket() -> Iterator[dict[str, bytes]]:
    """Files at s3:// URLs, by `bucket/key`."""
    with Bucket.registered() as files:
        yield files


@pytest.fixture
def web() -> Iterator[WebServer]:
    """A web server without pages."""
    pytest.importorskip("aiohttp", reason="http:// URLs need aiohttp")
    with WebServer().running() as server:
        yield server
