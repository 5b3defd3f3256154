"""What a start costs beside importing torch: ``python tests/perf/start_cost.py``.

CPU time, of all threads, of whole processes that take turns, so that other work on the machine
tells little. Threads are as many as torch takes by itself, and bytecode is cached, as it is once
a package is installed. Prints a Markdown table and what it was measured on; ``--json`` prints
every number.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path

from measure import Row, interleaved, show

LENGTH_S, SIZE = 5, (320, 240)
BASE = "`import torch`"
_UNSET = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "PYTHONDONTWRITEBYTECODE")
"""Variables that would hide, or add, a cost."""


def rows(rounds: int) -> list[Row]:
    """The three measurements; their ratios are medians over rounds of a process to torch's."""
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / "clip.mp4"
        write_clip(video)
        load = "import staa_cli; staa_cli.load_model('tiny-events')"
        explain = ("explain", video, "-q", "--force", "-o", folder)
        clip = f"{LENGTH_S} s of {SIZE[0]}x{SIZE[1]}"
        limits = {
            "load `tiny-events`": (1.25, process("-c", load)),
            f"whole `staa explain`, {clip}": (1.7, process("-m", "staa_cli", *explain)),
            "`staa --help`": (0.25, process("-m", "staa_cli", "--help")),
        }
        jobs = {BASE: process("-c", "import torch")} | {n: job for n, (_, job) in limits.items()}
        times = interleaved(jobs, rounds, children_cpu_s)
    return [
        {
            "what": f"{name} / {BASE}, CPU time",
            "ratio": statistics.median(
                a / b for a, b in zip(times[name], times[BASE], strict=True)
            ),
            "limit": limit,
            "n": rounds,
            "cpu_s": statistics.median(times[name]),
            "torch_cpu_s": statistics.median(times[BASE]),
        }
        for name, (limit, _) in limits.items()
    ]


def process(*arguments: object) -> Callable[[], object]:
    """Runs Python with these arguments, in an environment that hides no cost."""
    return partial(_run, [sys.executable, *map(str, arguments)])


def _run(command: Sequence[str]) -> None:
    environ = {name: value for name, value in os.environ.items() if name not in _UNSET}
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environ)


def children_cpu_s() -> float:
    """Seconds of CPU time that all processes took that this one has started and seen end."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def write_clip(path: Path) -> None:
    """An event scene at 24 frames a second."""
    import numpy as np

    from staa_cli.synthetic.events import make_scene, render
    from staa_cli.video.encode import write_video

    width, height = SIZE
    scene = make_scene(1, label=1, duration_s=LENGTH_S, width=width / height)
    pictures, *_ = render(scene, np.arange(LENGTH_S * 24) / 24, height)
    write_video(path, pictures, rate=24)


def machine() -> str:
    """The processor, its cores, and torch, in words."""
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ] or [platform.processor()]
    return f"{names[0]}, {os.cpu_count()} cores, torch {version('torch')}"


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    measured = rows(given.rounds)
    show(measured, given.json)
    if not given.json:
        print(f"\nImporting torch took {measured[0]['torch_cpu_s']:.2f} s on: {machine()}.")


if __name__ == "__main__":
    main()
