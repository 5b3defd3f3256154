"""`staa stream` as a process: it reads a pipe, and Ctrl-C ends it wherever it waits."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from own_model import OWN
from stream_sources import tcp_server

COMMAND = (sys.executable, "-m", "staa_cli", "stream")
LIMIT_S = 60.0
"""Of starting, with the imports of torch."""
ENDED_S = 9.0
"""Of the end: threads that read from a network are waited for during five seconds."""

pytestmark = pytest.mark.slow


LONG = """

passes = 0

class Long(Own):
    def forward(self, x):
        global passes
        passes += 1
        if passes == {first}:
            os.write(2, b"a long pass\\n")
            end = time.monotonic() + 30
            while time.monotonic() < end:
                x = torch.nn.functional.conv2d(x[0], self.embed.weight, padding=8)[None, :, :3]
        return super().forward(x)

def make():
    return Long()
"""
"""A model of which one pass takes long, in many calls of a library."""


@contextmanager
def running(source: str, *more: str, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [*COMMAND, source, "--json", "--timeout", "600", *more],
        **options,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # The shell that started the tests may ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait(LIMIT_S)


def test_a_pipe(sample_videos: Path) -> None:
    content = (sample_videos / "spin_sound.mp4").read_bytes()
    done = subprocess.run(
        [*COMMAND, "-", "--json"], input=content, capture_output=True, timeout=LIMIT_S
    )
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) >= 2
    assert rows[-1]["frames"] > 50


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="no table of connections")
@pytest.mark.parametrize("protocol", ["rtsp", "http", "tcp"])
def test_it_ends_while_ffmpeg_waits_for_a_server(protocol: str) -> None:
    with tcp_server(holds=True) as port, running(f"{protocol}://127.0.0.1:{port}/live") as process:
        wait_until_connected(port)
        end_of(process)


def test_it_ends_while_it_waits_for_a_pipe(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with running(str(path)) as process, path.open("wb"):  # opens when there is a reader
        time.sleep(0.2)
        end_of(process)


@pytest.mark.parametrize("first", [1, 2])
def test_it_ends_in_the_middle_of_a_pass(sample_videos: Path, tmp_path: Path, first: int) -> None:
    (tmp_path / "slow.py").write_text(f"import os, time\n{OWN}{LONG.format(first=first)}")
    source, environment = str(sample_videos / "hop.mp4"), {**os.environ, "PYTHONPATH": "."}
    more = ("--realtime", "--model", "slow:make")
    with running(source, *more, cwd=tmp_path, env=environment) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == b"a long pass\n"
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        _, messages = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 130, messages
    assert b"terminate" not in messages


def wait_until_connected(port: int) -> None:
    """Wait until somebody is connected to a port of this machine."""
    wanted, end = f":{port:04X}", time.monotonic() + LIMIT_S
    while time.monotonic() < end:
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            if local.endswith(wanted) and state == "01":
                time.sleep(0.2)
                return
        time.sleep(0.05)
    raise AssertionError("nobody has connected")


def end_of(process: subprocess.Popen[bytes]) -> None:
    start = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, messages = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 130, messages
    assert time.monotonic() - start < ENDED_S
    assert b"Traceback" not in messages
    assert json.loads(out.splitlines()[-1])["frames"] == 0
