"""What many videos cost in one call: ``python tests/perf/batch_cost.py [--only WORD]``.

Ratios within one run: whole processes in turn for one call against many, interleaved rounds in one
process for stages that overlap, one process for memory. Prints a Markdown table; ``--json`` prints
every number.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from measure import Row, child, interleaved, show
from start_cost import children_cpu_s, machine, process

CLIPS, SHORT_S = 40, 2
"""Of one call against many."""
VIDEOS, LONG_S, WIDE = 8, 5, (480, 270)
"""Of stages that overlap; a size at which decoding and encoding take about as long as passes."""
MANY, FEW = 500, 10


def one_call(rounds: int) -> list[Row]:
    """One call for all clips over a call for each, in wall and CPU time of whole processes."""
    with tempfile.TemporaryDirectory() as folder:
        clips = [Path(folder) / "clips" / f"{number:02}.mp4" for number in range(CLIPS)]
        for number, clip in enumerate(clips):
            write_clip(clip, SHORT_S, (320, 240), number)
        call = ("-m", "staa_cli", "explain", "-q", "--force", "-o", f"{folder}/out")

        def each() -> None:
            for clip in clips:
                process(*call, clip)()

        jobs = {"one": process(*call, *clips), "each": each}
        wall: dict[str, list[float]] = {"one": [], "each": []}
        for name, job in jobs.items():
            jobs[name] = _timed(job, wall[name])
        cpu = interleaved(jobs, rounds, children_cpu_s)
    what = f"{CLIPS} clips of {SHORT_S} s, 320x240, in one call / a call for each"
    return [
        _row(f"{what}, {clock} time", times["one"][-rounds:], times["each"][-rounds:], 0.30)
        for clock, times in (("wall", wall), ("CPU", cpu))
    ]


def _timed(job: Callable[[], object], seconds: list[float]) -> Callable[[], object]:
    def run() -> None:
        began = time.perf_counter()
        job()
        seconds.append(time.perf_counter() - began)

    return run


def overlapping(rounds: int) -> list[Row]:
    """Videos with stages that overlap over one stage after another, in wall time."""
    from staa_cli.config.settings import load_settings
    from staa_cli.explain import clips
    from staa_cli.jobs.engines.local import run_local
    from staa_cli.jobs.inputs import Job
    from staa_cli.jobs.run import Request

    reading: Any = clips
    ahead = reading.ahead
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        jobs = [Job(Path(folder) / f"{number}.mp4", out / str(number)) for number in range(VIDEOS)]
        for number, job in enumerate(jobs):
            write_clip(job.source, LONG_S, WIDE, number)
        settings = load_settings(None, {"output.dir": str(out)}, {}).settings

        def run(at_once: int | None) -> None:
            shutil.rmtree(out, ignore_errors=True)
            for outcome in run_local(jobs, Request(settings), at_once=at_once):
                assert outcome.status == "done", outcome.error

        def one_after_another() -> None:
            reading.ahead = lambda items, count: items
            try:
                run(1)
            finally:
                reading.ahead = ahead

        times = interleaved({"over": lambda: run(None), "after": one_after_another}, rounds)
    what = (
        f"{VIDEOS} videos of {LONG_S} s, {WIDE[0]}x{WIDE[1]}, stages that overlap / in turn, wall"
    )
    return [_row(what, times["over"], times["after"], 1 / 1.5)]


def _row(what: str, ours: list[float], theirs: list[float], limit: float) -> Row:
    return {
        "what": what,
        "ratio": statistics.median(a / b for a, b in zip(ours, theirs, strict=True)),
        "limit": limit,
        "n": len(ours),
        "seconds": statistics.median(ours),
        "beside_s": statistics.median(theirs),
    }


def memory() -> list[Row]:
    """Peak memory of a process at its last video over that at an early one."""
    ratio = child(__file__, "--peaks", MANY)
    what = f"peak resident memory, video {MANY} / video {FEW}"
    return [{"what": what, "ratio": ratio, "limit": 1.05, "n": 1}]


def ratio_of_peaks(count: int) -> float:
    """Peak resident memory of this process after `count` videos over that after `FEW`."""
    from staa_cli.cli.process import keep_freed_memory
    from staa_cli.config.settings import load_settings
    from staa_cli.jobs.engines.local import run_local
    from staa_cli.jobs.inputs import Job
    from staa_cli.jobs.run import Request
    from staa_cli.memory import peak_memory_bytes

    keep_freed_memory()  # as the command does it
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        sources = [Path(folder) / f"{number}.mp4" for number in range(5)]
        for number, source in enumerate(sources):
            write_clip(source, 1, (160, 120), number)
        jobs = [Job(sources[n % len(sources)], out / str(n)) for n in range(count)]
        settings = load_settings(None, {"output.dir": str(out)}, {}).settings
        peaks = []
        with closing(run_local(jobs, Request(settings))) as outcomes:
            for outcome in outcomes:
                assert outcome.status == "done", outcome.error
                peaks.append(peak_memory_bytes())
    return peaks[-1] / peaks[FEW - 1]


def write_clip(path: Path, length_s: int, size: tuple[int, int], seed: int) -> None:
    """An event scene at 24 frames a second."""
    import numpy as np

    from staa_cli.synthetic.events import make_scene, render
    from staa_cli.video.encode import write_video

    path.parent.mkdir(parents=True, exist_ok=True)
    width, height = size
    scene = make_scene(seed, label=seed % 5, duration_s=length_s, width=width / height)
    pictures, *_ = render(scene, np.arange(length_s * 24) / 24, height)
    write_video(path, pictures, rate=24)


def main() -> None:
    """Measure, and print."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as the command does it
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="one of: call, overlap, memory")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--peaks", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.peaks:
        print(ratio_of_peaks(given.peaks))
        return
    measured: list[Row] = []
    if given.only in ("", "call"):
        measured += one_call(max(1, given.rounds // 2))
    if given.only in ("", "overlap"):
        measured += overlapping(given.rounds)
    if given.only in ("", "memory"):
        measured += memory()
    show(measured, given.json)
    if not given.json:
        print(f"\nMeasured on: {machine()}.")


if __name__ == "__main__":
    main()
