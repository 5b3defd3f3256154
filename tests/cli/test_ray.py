"""`--engine ray`: what is said where ray or a cluster is missing, and a cluster that is there."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from small_videos import film

from staa_cli.errors import ExitCode

needs_ray = pytest.mark.skipif(not find_spec("ray"), reason="ray is not installed")


@pytest.fixture
def explain(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs `staa explain` with Ray, whose variables are put back."""
    for name in (
        "RAY_USAGE_STATS_ENABLED",
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO",
        "RAY_ADDRESS",
    ):
        monkeypatch.setenv(name, "")
    monkeypatch.chdir(tmp_path)
    Path("a.mp4").write_bytes(b"")
    return lambda *arguments: run("explain", "a.mp4", "--engine", "ray", *arguments)


def test_a_missing_package_is_told_with_what_installs_it(
    explain: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    done = explain()
    assert done.code == ExitCode.UNAVAILABLE
    assert done.err == (
        "error: --engine ray needs the package ray\nhint: pip install 'staa[ray]'\n"
    )


@needs_ray
@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("127.0.0.1:{free}", "no Ray cluster answers: connection refused"),
        ("nonsense", "no Ray cluster answers: Invalid address format: nonsense"),
        ("ray://127.0.0.1:{free}", "Ray Client is not supported"),
    ],
)
def test_an_address_without_a_cluster_is_told_at_once(
    explain: Any, address: str, words: str
) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        address = address.format(free=listener.getsockname()[1])
    done = explain("--address", address)
    assert done.code == ExitCode.UNAVAILABLE
    error, hint = done.err.splitlines()
    assert error == f"error: --address {address}: {words}"
    assert hint.startswith("hint: ")


@needs_ray
@pytest.mark.slow
def test_a_server_that_does_not_answer_is_told_soon(staa: Any, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        began = time.monotonic()
        done = staa("explain", "a.mp4", "--engine", "ray", "--address", address)
        assert time.monotonic() - began < 30
    assert done.returncode == ExitCode.UNAVAILABLE
    assert done.stderr.startswith(f"error: --address {address}: no Ray cluster answers\nhint: ")
    assert done.stderr.count("\n") == 2


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--engine", "rays"), "--engine: expected local or ray, not 'rays'"),
        (("--engine", "local", "--address", "auto"), "--address applies only to --engine ray"),
        (
            ("--address", "localhost:99999"),
            "--address localhost:99999: a port is a number from 1 to 65535",
        ),
        (("--address", "ray://a:0"), "--address ray://a:0: a port is a number from 1 to 65535"),
        (("--device", "cuda:1"), "--device cuda:1: Ray assigns GPUs to its actors"),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    explain: Any, flags: tuple[str, ...], words: str
) -> None:
    done = explain(*flags)
    assert done.code == ExitCode.USAGE
    assert done.err.startswith(f"error: {words}\n")


CLUSTER = """
import ray
cluster = ray.init("local", num_cpus=2, include_dashboard=False, logging_level="ERROR")
print(cluster.address_info["gcs_address"], flush=True)
input()
"""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[str]:
    """The address of a Ray cluster."""
    with subprocess.Popen(
        [sys.executable, "-c", CLUSTER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"HOME": str(tmp_path), "RAY_USAGE_STATS_ENABLED": "0"},
    ) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.communicate("\n", timeout=60)


@needs_ray
@pytest.mark.slow
def test_a_running_cluster_is_used_and_left_running(
    staa: Any, cluster: str, tmp_path: Path
) -> None:
    for number in range(3):
        film(tmp_path / "in" / f"{number}.mp4", 12, seed=number)
    where = {"HOME": str(tmp_path), "RAY_AUTH_MODE": "token", "STAA_MODEL": "test_timesformer"}
    flags = ("--engine", "ray", "--no-annotated", "--no-html")
    done = staa("explain", "in", *flags, "--address", cluster, **where)
    assert done.returncode == ExitCode.OK, done.stderr
    assert "3 explained" in done.stderr
    assert len(done.stdout.splitlines()) == 3 * 2 + 1  # maps and reports, and the index
    again = staa("explain", "in", *flags, **where, RAY_ADDRESS=cluster)
    assert "3 skipped" in again.stderr, again.stderr
