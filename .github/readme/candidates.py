"""What the default was chosen among, on development clips; prints a Markdown table.

    python .github/readme/candidates.py MODEL [--clips N]

Each candidate reads one forward pass: a path of attention, alone or weighted by what each token
writes towards the class. Brackets are 95 % bootstrap intervals over the clips.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated

import numpy as np
import typer
from torch import Tensor

from staa_cli import load_model
from staa_cli.methods import Options
from staa_cli.methods.explain import predict_batch
from staa_cli.methods.perturbation import Copies, filler
from staa_cli.metrics.base import METRICS, Trial
from staa_cli.metrics.datasets import open_dataset
from staa_cli.metrics.quality import Benchmark, explain_one
from staa_cli.metrics.statistics import bootstrap
from staa_cli.schema import Float32

SEED = 4
SCORED = ("faithfulness", "pointing", "energy", "temporal_auc", "iou")


def main(
    model: Annotated[str, typer.Argument(help="A bundled model.")] = "tiny-events",
    clips: Annotated[int, typer.Option(help="Development clips.")] = 24,
) -> None:
    """Print the table."""
    loaded = load_model(model)
    scores: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    data = open_dataset("events", loaded, SEED, "development")
    asked = Benchmark(loaded, data, (), (), Options(seed=SEED), SEED)
    scored = 0
    for number in range(clips):
        sample = data.sample(number)
        (question,) = sample.questions
        inputs = loaded.place(loaded.preprocess(sample.frames))
        target = int(predict_batch(loaded.module, inputs)[0].argmax())
        if target != question.target:
            continue
        scored += 1
        filling = filler(inputs, "blur", loaded.input)[0]
        copies = Copies(loaded.module, inputs[0], filling, loaded.layout.grid, target, number)
        for name, values in _candidates(asked, inputs, target, number):
            trial = Trial(values, copies, question.mask, question.event)
            for metric in SCORED:
                scores[name][metric].append(METRICS.get(metric).score(trial))
    print(f"`{model}`, {scored} of {clips} development clips (seed {SEED}), removed by blur.\n")
    print(f"| candidate | {' | '.join(SCORED)} |\n{'|---' * (len(SCORED) + 1)}|")
    for name, row in scores.items():
        told = [bootstrap(row[metric]) for metric in SCORED]
        cells = [f"{each.mean:.2f} ({each.low:.2f} to {each.high:.2f})" for each in told]
        print(f"| {name} | {' | '.join(cells)} |")


def _candidates(
    benchmark: Benchmark, inputs: Tensor, target: int, number: int
) -> Iterator[tuple[str, Float32]]:
    """Names and maps [T', h, w]."""

    def of(method: str, layers: str = "default", combine: str = "default") -> Float32:
        options = replace(benchmark.options, layers=layers, combine=combine)
        return explain_one(replace(benchmark, options=options), method, inputs, target, number)[0]

    layout = benchmark.model.layout
    paths = {
        "last block": of("staa", "last", "mean"),
        "mean of blocks": of("staa", "all", "mean"),
        **({"blocks contrasted": of("staa")} if layout.kind == "divided" else {}),
        "rollout": of("rollout"),
    }
    parts = of("staa-logit", "default" if layout.pooling == "mean" else "all")
    strength = parts / parts.std()
    yield from paths.items()
    yield "last block, weighted by the size of what it moves (`staa-value`)", of("staa-value")
    yield "part of the logit (`staa-logit`)", of("staa-logit")
    weighted = list(paths.items())[-2:]
    for name, path in weighted:
        yield f"{name} x part, where it is positive", path * np.maximum(strength, 0)
    for name, path in weighted:
        yield f"{name} x softplus of part", path * np.logaddexp(0, strength)


if __name__ == "__main__":
    typer.run(main)
