"""What a process has taken of the machine's memory."""

from __future__ import annotations

import subprocess
import sys

import pytest

from staa_cli.memory import peak_memory_bytes


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system tells it right")
def test_the_peak_is_this_processes_own_and_not_what_its_parent_had() -> None:
    ballast = bytearray(15 * 10**8)
    assert len(ballast) > 0
    code = "from staa_cli.memory import peak_memory_bytes; print(peak_memory_bytes())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 1e7 < int(done.stdout) < 14e8 < peak_memory_bytes()
