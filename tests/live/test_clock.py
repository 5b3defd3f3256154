"""The reported delay is true: a clock in the source's pixels is read back from the output's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import av
import clocked
import numpy as np
import pytest

SECONDS, RATE = 8, 30
OTHERS_S = 0.08
"""Time that the camera takes to encode a frame, the reader to decode it, and both to get a turn."""


@pytest.mark.slow
def test_the_delay_is_that_of_a_clock_in_the_pixels(tmp_path: Path) -> None:
    lines = tmp_path / "lines.ndjson"
    clock = [sys.executable, clocked.__file__, "--port", "0", "--seconds", str(SECONDS)]
    with subprocess.Popen(clock, stdout=subprocess.PIPE) as camera:
        assert camera.stdout is not None
        source = f"tcp://127.0.0.1:{int(camera.stdout.readline())}"
        command = [sys.executable, "-m", "staa_cli", "stream", source, "--reconnect", "0"]
        output = ["--output", "-", "--ndjson", str(lines)]
        with subprocess.Popen([*command, *output], stdout=subprocess.PIPE) as stream:
            assert stream.stdout is not None
            ages = read_back(stream.stdout.fileno())
            assert stream.wait(20) == 0
        assert camera.wait(20) == 0
    summary = json.loads(lines.read_text().splitlines()[-1])
    settled = np.array(ages[RATE:])  # opening looks at some frames before it gives out the first
    reported = summary["delay"]["capture to written"]
    # At the start, frames that came while the source was opened may be left out.
    assert len(ages) >= (SECONDS - 2) * RATE
    assert reported["p50"] - 0.002 <= np.median(settled) <= reported["p50"] + OTHERS_S
    assert np.quantile(settled, 0.95) <= reported["p95"] + 2 * OTHERS_S


def read_back(descriptor: int) -> list[float]:
    """Ages of the frames of an encoded stream by the clock in their pixels."""
    ages = []
    with (
        os.fdopen(os.dup(descriptor), "rb", buffering=0) as reader,
        av.open(reader, "r", format="mpegts", options={"probesize": "5000"}) as container,
    ):
        container.streams.video[0].codec_context.thread_count = 1
        for frame in container.decode(video=0):
            now_s, picture = (
                time.monotonic(),
                np.asarray(frame.to_ndarray(format="rgb24"), np.uint8),
            )
            ages.append(clocked.age_s(picture, now_s))
    return ages
