"""A cluster of the call's own, and Ctrl-C while it starts."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from staa_cli.jobs.engines.ray_cluster import connected


def starting(times: int, told: list[str]) -> Any:
    """A stand-in for ray that receives Ctrl-C while it starts."""

    def init(address: str, **options: Any) -> None:
        told.append("starts")
        for _ in range(times):
            os.kill(os.getpid(), signal.SIGINT)
        told.append("has started")

    return SimpleNamespace(init=init, shutdown=lambda: told.append("is shut down"))


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C works, although whoever started the tests may ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.skipif(os.name != "posix", reason="sends itself a signal")
@pytest.mark.parametrize(
    ("times", "told"),
    [
        (1, ["starts", "has started", "is shut down"]),
        (2, ["starts", "is shut down"]),  # at once
    ],
)
def test_a_cluster_that_starts_is_complete_before_it_is_shut_down(
    monkeypatch: pytest.MonkeyPatch, times: int, told: list[str]
) -> None:
    """Ray crashes if it is shut down when it is half started."""
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "")
    monkeypatch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "")
    monkeypatch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "")
    before, seen = signal.getsignal(signal.SIGINT), list[str]()
    monkeypatch.setitem(sys.modules, "ray", starting(times, seen))
    with pytest.raises(KeyboardInterrupt), connected(None, lambda line: None):
        seen.append("is used")
    assert seen == told
    assert signal.getsignal(signal.SIGINT) == before
