"""What methods cost on three base sizes: ``python tests/perf/method_cost.py``.

CPU time of interleaved rounds in one process, beside the plain forward pass, with random weights,
batch 1, and float32: methods of one pass, and those that differentiate and count as three. Prints a
Markdown table and what it was measured on; ``--json`` prints every number.
"""

from __future__ import annotations

import argparse
import os

from family_cost import FAMILIES, jobs_of
from measure import Row, cpu_rows, show
from start_cost import machine

from staa_cli.cli.process import keep_freed_memory

ONE_PASS, THREE_PASSES = 1.10, 3.30
"""How much a method may cost."""
LIMITS = {
    **dict.fromkeys(("staa-logit", "rfem", "token-transformation"), ONE_PASS),
    **dict.fromkeys(("grad-attention", "legrad", "rfem-class"), THREE_PASSES),
}


def rows(rounds: int) -> list[Row]:
    """A row for each method on each family."""
    return [
        row
        for family, (called, _) in FAMILIES.items()
        for row in cpu_rows(jobs_of(family, tuple(LIMITS)), LIMITS, rounds, called)
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # both as the command does it
    keep_freed_memory()
    measured = rows(given.rounds)
    show(measured, given.json)
    if not given.json:
        print(f"\nMeasured on: {machine()}.")


if __name__ == "__main__":
    main()
