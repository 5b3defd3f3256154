"""Clips a second on a device: ``python tests/perf/device_rates.py --device cuda``.

Published sizes with random weights; every method beside the plain forward pass of the same batch,
in interleaved rounds of one process. Prints a Markdown table; ``--json`` prints every number.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable, Iterator

from family_cost import FAMILIES, build
from measure import Row, interleaved

PRECISIONS = ("fp32", "bf16")
BATCHES = (1, 8)
METHODS = ("staa", "staa-class", "grad-attention")


def rows_of(family: str, device: str, methods: tuple[str, ...], rounds: int) -> Iterator[Row]:
    """A row for every precision, batch, and method; the plain forward pass is one of them."""
    import torch

    from staa_cli.methods import Options, get_method
    from staa_cli.methods.run import explain_batch, predict_batch

    module, clip = build(family)
    layout = module.layout()
    for precision in PRECISIONS:
        kind = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
        module.to(device, kind)
        for batch in BATCHES:
            clips = clip.to(device, kind).repeat(batch, 1, 1, 1, 1)
            jobs: dict[str, Callable[[], object]] = {
                "plain": lambda clips=clips: predict_batch(module, clips)  # type: ignore[misc]
            }
            for name in methods:
                method = get_method(name)
                jobs[name] = lambda clips=clips, method=method: explain_batch(  # type: ignore[misc]
                    module, layout, clips, method, Options()
                )
            # What a job returns lies in the CPU's memory: it has waited for the device.
            times = interleaved(jobs, rounds)
            plain = statistics.median(times["plain"])
            for name, seconds in times.items():
                median = statistics.median(seconds)
                yield {
                    "model": FAMILIES[family][0],
                    "precision": precision,
                    "batch": batch,
                    "method": name,
                    "clips_per_s": batch / median,
                    "ratio": median / plain,
                    "n": rounds,
                    "seconds": seconds,
                }


def name_of(device: str) -> str:
    """What the device is called by its maker."""
    import torch

    return torch.cuda.get_device_name(device) if device.startswith("cuda") else device


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--family", action="append", choices=FAMILIES)
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    methods = tuple(given.methods.split(","))
    rows = [
        row
        for family in given.family or ("timesformer", "videomae")
        for row in rows_of(family, given.device, methods, given.rounds)
    ]
    if given.json:
        print(json.dumps({"device": name_of(given.device), "rows": rows}, indent=2))
        return
    print(f"On {name_of(given.device)}, medians of {given.rounds} interleaved rounds.\n")
    print(
        "| model | precision | batch | method | clips/s | over plain |\n|---|---|---|---|---|---|"
    )
    for row in rows:
        print(
            f"| {row['model']} | {row['precision']} | {row['batch']} | {row['method']} "
            f"| {row['clips_per_s']:.1f} | {row['ratio']:.2f} |"
        )


if __name__ == "__main__":
    main()
