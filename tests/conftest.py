"""What every test may ask for."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from remote_files import WebServer

ROOT = Path(__file__).resolve().parent.parent

if "PYTEST_XDIST_WORKER" in os.environ:  # the workers share the cores; before torch is imported
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """One a core (`None`: as xdist counts them) for the default suite, and none for the rest.

    Measurements want the machine to themselves, the slow tests its memory and all its threads, and
    the tests of a file or two are done before workers would have started.
    """
    alone = config.option.markexpr != "not slow and not perf"
    return 0 if alone or all(".py" in name for name in config.args) else None


def pytest_collection_finish() -> None:
    """What was imported until here stays: garbage is looked for in what the tests make."""
    gc.freeze()


@pytest.fixture(scope="session")
def clips() -> Path:
    """Folder with real clips beside the project; tests that need it skip where it is absent."""
    folder = ROOT.parent / "shared" / "clips"
    if not folder.is_dir():
        pytest.skip("the folder with real clips is not here")
    return folder


@pytest.fixture(scope="session")
def sample_videos() -> Path:
    """The bundled sample videos."""
    return ROOT / "sample_videos"


@pytest.fixture
def bucket() -> Iterator[dict[str, bytes]]:
    """Files at s3:// URLs, by `bucket/key`."""
    from remote_files import Bucket

    with Bucket.registered() as files:
        yield files


@pytest.fixture
def web() -> Iterator[WebServer]:
    """A web server without pages."""
    pytest.importorskip("aiohttp", reason="http:// URLs need aiohttp")
    from remote_files import WebServer

    with WebServer().running() as server:
        yield server
