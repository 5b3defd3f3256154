"""Measure how fast this machine explains videos, and advise."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from staa_cli.cli.engines import engine_of
from staa_cli.cli.options import put
from staa_cli.cli.terminal import Console, table, terminal_width
from staa_cli.config.settings import load_settings
from staa_cli.cores import cores
from staa_cli.errors import InputError, UsageError
from staa_cli.formatting import raw

if TYPE_CHECKING:
    from staa_cli.jobs.advice import Rate
    from staa_cli.jobs.outcome import Event


def measure_speed(
    video: str | None,
    model: str | None,
    config: str | None,
    console: Console,
) -> dict[str, Any]:
    """Measure numbers of processes; returns what was found, as plain data.

    Args:
        video: to explain; None for a synthetic one.
        model: to explain with; None for that of the settings.
        config: preset or file with settings.
        console: for messages.

    Raises:
        StaaError: the settings are not valid, or the video cannot be explained with them.
    """
    from staa_cli.jobs.advice import best, measured_rates, write_sample
    from staa_cli.jobs.outcome import Opened

    settings = load_settings(config, {"model": model}, os.environ).settings
    with ExitStack() as stack:
        if video is None:
            source = Path(stack.enter_context(TemporaryDirectory(prefix="staa-"))) / "sample.mp4"
            console.message("writing a synthetic video of 5 s, 640x360")
            write_sample(source)
        elif not (source := Path(video)).is_file():
            raise UsageError(f"--video: no such file: {video}")
        rates: list[Rate] = []
        told: set[int] = set()

        def on_event(event: Event) -> None:
            # Neither the model nor the video is broken.
            if isinstance(event, Opened) and count not in told:
                told.add(count)
                console.message(f"explaining it with --jobs {count}")

        for count in _counts():
            try:
                rates += measured_rates(source, settings, [count], engine_of, on_event)
            except InputError as error:
                error.cause = f"{source}: {error.cause}"
                raise
    chosen = best(rates)
    return {
        "model": settings.model,
        "method": settings.method.name,
        "video": "synthetic, 5 s, 640x360" if video is None else video,
        "jobs": chosen.jobs,
        "videos_per_s": {str(rate.jobs): round(rate.videos_s, 4) for rate in rates},
    }


def put_speed(facts: dict[str, Any], console: Console) -> None:
    """Print the rates as a table, and the advice as a message."""
    rates = {int(count): value for count, value in facts["videos_per_s"].items()}
    rows = [
        (f"--jobs {count}", raw(value), f"{value / rates[1]:.2f} x")
        for count, value in rates.items()
    ]
    head = ("PROCESSES", "VIDEOS/S", "BESIDE ONE")
    put(console, table(head, rows, terminal_width(sys.stdout)))
    jobs = facts["jobs"]
    if jobs == 1:
        console.message("advice: one process; more gain too little here for this model and video")
    else:
        gain = rates[jobs] / rates[1]
        console.message(f"advice: --jobs {jobs}, {gain:.1f} times as fast as one process")


def _counts() -> Iterator[int]:
    """Numbers of processes that the cores and the free memory allow: 1, 2, 4, and so on."""
    from staa_cli.memory import free_memory_bytes, peak_memory_bytes

    count = 1
    while count <= cores():
        yield count
        count *= 2
        free = free_memory_bytes()  # after the first, this process has had the model
        if free is None or count * peak_memory_bytes() > free:
            return
