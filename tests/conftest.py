"""What every test may ask for."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


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
