"""How fast many tokens are projected: ``python tests/perf/projection_cost.py``.

Ours beside torch's own `Linear`, of the same sizes and by one thread; CPU time of interleaved
rounds in one process. Prints a Markdown table and what it was measured on; ``--json`` prints every
number.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

from measure import Row, interleaved, show
from start_cost import machine

SIZES = {
    "tiny-events": (1568, 96, 384),
    "base": (1568, 768, 3072),
    "base, one frame": (196, 768, 3072),
}
"""Tokens, their width, and that of what they become."""
LIMIT = 1.05


def rows(rounds: int) -> list[Row]:
    """A row for each size: the median over rounds of our time to torch's."""
    import torch
    from torch import nn

    from staa_cli.models.linear import Linear

    torch.set_num_threads(1)
    found: list[Row] = []
    for name, (tokens, width, out) in SIZES.items():
        torchs, ours, x = nn.Linear(width, out), Linear(width, out), torch.randn(tokens, width)
        jobs: dict[str, Callable[[], object]] = {}
        for kind, layer in (("torch", torchs), ("ours", ours)):
            layer.requires_grad_(False)
            jobs[kind] = lambda layer=layer, x=x: [layer(x) for _ in range(5)]  # type: ignore[misc]
        times = interleaved(jobs, rounds, time.process_time)
        ratios = [a / b for a, b in zip(times["ours"], times["torch"], strict=True)]
        sums = f"{tokens} tokens, {width} to {out}"
        found.append(
            {
                "what": f"our projection / torch's, CPU time, {name}: {sums}",
                "ratio": statistics.median(ratios),
                "limit": LIMIT,
                "n": rounds,
                "gflops": 10 * tokens * width * out / 1e9 / statistics.median(times["ours"]),
            }
        )
    return found


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    show(rows(given.rounds), given.json)
    if not given.json:
        print(f"\nBy one thread on: {machine()}.")


if __name__ == "__main__":
    main()
