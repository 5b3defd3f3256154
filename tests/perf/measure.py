"""What the cost scripts share: interleaved times, children of their own, and the table."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Row = dict[str, Any]
"""what, ratio, limit, n, and whatever else is worth keeping."""


def interleaved(
    jobs: Mapping[str, Callable[[], object]],
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Seconds of every job, round by round in turns forwards and backwards; the first warms up."""
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for index in range(rounds + 1):
        order = list(jobs.items())
        for name, job in order if index % 2 else reversed(order):
            began = clock()
            job()
            times[name].append(clock() - began)
    return {name: seconds[1:] for name, seconds in times.items()}


def cpu_rows(
    jobs: Mapping[str, Callable[[], object]], limits: Mapping[str, float], rounds: int, where: str
) -> list[Row]:
    """A row for each limited job: its CPU time relative to that of the job `plain`."""
    times = interleaved(jobs, rounds, time.process_time)
    medians = {name: statistics.median(seconds) for name, seconds in times.items()}
    return [
        {
            "what": f"`{name}` / plain forward, CPU time, {where}",
            "ratio": medians[name] / medians["plain"],
            "limit": limit,
            "n": rounds,
            "seconds": medians[name],
            "plain": medians["plain"],
        }
        for name, limit in limits.items()
    ]


def child(script: str, *arguments: object) -> float:
    """The number that a script prints in a process of its own."""
    command = [sys.executable, script, *map(str, arguments)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def show(rows: Sequence[Row], as_json: bool) -> None:
    """All rows as JSON, or as a Markdown table."""
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    print("| what | ratio | at most | runs |\n|---|---|---|---|")
    for row in rows:
        print(f"| {row['what']} | {row['ratio']:.2f} | {row['limit']:.2f} | {row['n']} |")
