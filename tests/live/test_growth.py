"""A stream that runs for long holds no more than at its beginning."""

from __future__ import annotations

import gc
import statistics
import threading
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from live_streams import run_stream

from staa_cli.config.settings import Settings
from staa_cli.live.run import Live
from staa_cli.models.load import load_model

RUN_S = 30.0
"""At some thousand frames a second, an hour of a camera."""
LEAST_FRAMES = 10_000


def alive(*, collected: bool = True) -> Counter[str]:
    """Number of objects by the name of their class; other tests may hold some, too."""
    if collected:
        gc.collect()
    return Counter(type(each).__name__ for each in gc.get_objects())


def test_old_maps_and_pictures_are_freed_at_once(sample_videos: Path) -> None:
    """Without a cycle of references, which would keep them until garbage is collected."""
    model = load_model("tiny-events")
    before = alive()
    gc.disable()
    try:
        sink = run_stream(sample_videos / "hop.mp4", model, hop=6, kept=False, keep_s=9.0)
        added = alive(collected=False) - before
    finally:
        gc.enable()
    assert sink.live.counts.windows > 6
    assert added["LatestMaps"] == added["Painter"] == added["Explanation"] == 1
    windows = sink.live.moments(10.0).windows
    assert len(windows) > 1
    assert all(explained.window.frames == () for explained in windows)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_memory_threads_and_files_do_not_grow() -> None:
    settings = Settings()
    settings = replace(settings, sampling=replace(settings.sampling, frames=2))
    samples: list[tuple[int, int, int]] = []
    start = time.monotonic()

    def sample(live: Live) -> None:
        status = Path("/proc/self/status").read_text()
        memory = int(status.split("VmRSS:")[1].split()[0])
        samples.append(
            (memory, threading.active_count(), len(list(Path("/proc/self/fd").iterdir())))
        )
        if time.monotonic() - start > RUN_S:
            live.crew.stopped.set()

    sink = run_stream(
        "lavfi:testsrc2=s=64x48:r=30",
        load_model("test_timesformer"),
        settings,
        waits=False,
        takes_all=True,
        on_tick=sample,
        kept=False,
        keep_s=5.0,
    )
    assert sink.live.counts.frames > LEAST_FRAMES
    assert sink.live.counts.windows > 100
    early, late = samples[len(samples) // 4 :][:8], samples[-8:]
    memory, threads, files = (
        [statistics.median(row[column] for row in part) for part in (early, late)]
        for column in range(3)
    )
    assert memory[1] / memory[0] < 1.05
    assert threads[0] == threads[1]
    assert files[0] == files[1]
