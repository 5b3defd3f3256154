"""What reading attention costs on a busy machine, too: ``python tests/perf/reading_cost.py``.

Methods beside the plain forward pass of VideoMAE-B, which reads the mean of all rows; CPU time of
interleaved rounds in one process, first on the machine as it is, then beside other processes that
keep every core and its cache busy. Prints a Markdown table and what it was measured on; ``--json``
prints every number.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from family_cost import jobs_of
from measure import Row, cpu_rows, show
from start_cost import machine

from staa_cli.cli.process import keep_freed_memory

LIMITS = {"staa": (1.05, 1.08), "staa-class": (1.10, 1.15), "rollout": (1.25, 1.30)}
"""How much a method may cost, alone and beside neighbors."""
NEIGHBORS = (0, 4)


@contextmanager
def neighbors(count: int) -> Iterator[None]:
    """Within the block, as many other processes are at work."""
    command = [sys.executable, __file__, "--neighbor-of", str(os.getpid())]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(count)]
    try:
        for process in started:
            assert process.stdout is not None
            process.stdout.readline()  # until it works
        yield
    finally:
        for process in started:
            process.kill()
            process.communicate()


def be_busy(parent: int) -> None:
    """Multiply and copy more than a cache holds, until the parent has ended."""
    import torch

    torch.set_num_threads(1)
    a, b, out = torch.rand(3, 2048, 2048).unbind()
    print("busy", flush=True)
    while os.getppid() == parent:
        torch.mm(a, b, out=out)
        for _ in range(8):
            b.copy_(a)


def rows(rounds: int, counts: Sequence[int] = NEIGHBORS) -> list[Row]:
    """A row for each method beside each number of neighbors."""
    jobs = jobs_of("videomae", tuple(LIMITS))
    found: list[Row] = []
    for count in counts:
        where = f"beside {count} busy neighbors" if count else "alone"
        limits = {name: pair[count > 0] for name, pair in LIMITS.items()}
        with neighbors(count):
            measured = cpu_rows(jobs, limits, rounds, f"VideoMAE-B 16x224, {where}")
        found += [row | {"where": where} for row in measured]
    return found


def main() -> None:
    """Measure and print, or be a neighbor."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--neighbors", type=int, nargs="+", default=NEIGHBORS)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--neighbor-of", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.neighbor_of:
        be_busy(given.neighbor_of)
        return
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # both as the command does it
    keep_freed_memory()
    measured = rows(given.rounds, given.neighbors)
    show(measured, given.json)
    if not given.json:
        plain = {row["where"]: row["plain"] for row in measured}
        took = ", ".join(f"{seconds:.2f} s {where}" for where, seconds in plain.items())
        print(f"\nA plain pass took {took}, on: {machine()}.")


if __name__ == "__main__":
    main()
