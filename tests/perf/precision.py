"""What half precision changes: ``python tests/perf/precision.py``.

The same clips in float32 and in each half precision: how well the maps' ranks agree (Spearman), how
far probabilities move, and whether the answer stays. Trained weights on held-out event clips; and
published sizes with random weights, whose nearly flat maps are the hardest case. Prints a Markdown
table; ``--json`` prints every number. ``--device cuda`` measures there.
"""

from __future__ import annotations

import argparse
import json
import statistics
from typing import Any

from staa_cli.formatting import percent
from staa_cli.statistics import rank_correlation

FAMILIES = ("timesformer", "vivit", "videomae")
PRECISIONS = ("bf16", "fp16")


def bundled(clips: int, device: str) -> dict[str, Any]:
    """Explained event clips of the bundled model, by precision."""
    import torch

    from staa_cli.benchmark.datasets.events import EventClips
    from staa_cli.methods import Options, get_method
    from staa_cli.methods.run import explain_batch
    from staa_cli.models.load import load_model

    found = {}
    events = [EventClips("events", 1, "test").sample(n) for n in range(clips)]
    for precision in ("fp32", *PRECISIONS):
        model = load_model("tiny-events", device=device, precision=precision)
        inputs = torch.cat([model.preprocess(clip.frames) for clip in events])
        found[precision] = [
            explain_batch(
                model.module, model.layout, model.place(part), get_method("staa"), Options()
            )
            for part in inputs.split(8)  # type: ignore[no-untyped-call]
        ]
    return found


def published(family: str, device: str) -> dict[str, Any]:
    """One explained clip of noise, of a family's base model with random weights, by precision."""
    import torch
    from family_cost import build

    from staa_cli.methods import Options, get_method
    from staa_cli.methods.run import explain_batch

    module, clip = build(family)
    layout, found = module.layout(), {}
    kinds = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    for precision, kind in kinds.items():
        module, _ = build(family)
        module.to(device, kind)
        found[precision] = [
            explain_batch(module, layout, clip.to(device, kind), get_method("staa"), Options())
        ]
    return found


def rows_of(name: str, found: dict[str, Any]) -> list[dict[str, Any]]:
    """What each half precision changes against float32, a row each."""
    rows = []
    for precision in PRECISIONS:
        pairs = [
            (a, b, index)
            for a, b in zip(found["fp32"], found[precision], strict=True)
            for index in range(len(a.values))
        ]
        ranks = [rank_correlation(a.values[i], b.values[i]) for a, b, i in pairs]
        moved = [abs(a.scores[i] - b.scores[i]).max() for a, b, i in pairs]
        same = [a.scores[i].argmax() == b.scores[i].argmax() for a, b, i in pairs]
        rows.append(
            {
                "model": name,
                "precision": precision,
                "clips": len(pairs),
                "rank_correlation": statistics.median(ranks),
                "worst_rank_correlation": min(ranks),
                "probability": float(max(moved)),
                "same_answer": sum(map(bool, same)) / len(same),
            }
        )
    return rows


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=64)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    rows = rows_of("tiny-events", bundled(given.clips, given.device))
    for family in FAMILIES:
        rows += rows_of(f"{family}, base size, random weights", published(family, given.device))
    if given.json:
        print(json.dumps(rows, indent=2))
        return
    print("| model | precision | clips | rank correlation of maps: median, worst |", end="")
    print(" probability moved by at most | same answer |\n|---|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row['model']} | {row['precision']} | {row['clips']} "
            f"| {row['rank_correlation']:.4f}, {row['worst_rank_correlation']:.4f} "
            f"| {row['probability']:.4f} | {percent(row['same_answer'])} |"
        )


if __name__ == "__main__":
    main()
