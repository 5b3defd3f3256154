"""Candidates for the default method on development clips; prints a Markdown table.

    python docs/figures/candidates.py MODEL [--clips N] [--seed N] [--only WORDS]

Each candidate needs one forward pass: attention along a path, alone or weighted by the contribution
of each token to the class. Parentheses contain 95 % bootstrap intervals over the clips.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Annotated, Any

import numpy as np
import torch
import typer
from torch import Tensor

from staa_cli import load_model, register_method
from staa_cli.benchmark.datasets import open_dataset
from staa_cli.benchmark.quality import Benchmark, explain_one
from staa_cli.evaluation.base import METRICS, Trial
from staa_cli.formatting import with_interval
from staa_cli.methods import Options
from staa_cli.methods.attention.rollout import Rollout
from staa_cli.methods.attention.staa import Staa
from staa_cli.methods.perturbation.base import PerturbedClip, replacement_for
from staa_cli.methods.run import predict_batch
from staa_cli.models.taps import AttentionTensors, Tap, attention_rows
from staa_cli.schema import AttentionLayout, Float32
from staa_cli.statistics import bootstrap

SCORED = ("srg", "pointing", "energy", "temporal_auc", "iou")


def main(
    model: Annotated[str, typer.Argument(help="A bundled model.")] = "tiny-events",
    clips: Annotated[int, typer.Option(help="Development clips.")] = 24,
    seed: Annotated[int, typer.Option(help="Seed of the clips.")] = 4,
    only: Annotated[str, typer.Option(help="Only candidates whose names contain this.")] = "",
) -> None:
    """Print the table."""
    loaded = load_model(model)
    scores: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    data = open_dataset("events", loaded, seed, "development")
    benchmark = Benchmark(loaded, data, (), (), Options(seed=seed), seed)
    scored = 0
    for number in range(clips):
        sample = data.sample(number)
        (question,) = sample.questions
        inputs = loaded.place(sample.preprocess(loaded))
        target = int(predict_batch(loaded.module, inputs)[0].argmax())
        if target != question.target:
            continue
        scored += 1
        replacement = replacement_for(inputs, "blur", loaded.input)[0]
        copies = PerturbedClip(
            loaded.module, inputs[0], replacement, loaded.layout.grid, target, number
        )
        for name, values in _candidates(benchmark, inputs, target, number):
            if only not in name:
                continue
            trial = Trial(values, copies, question.mask, question.event)
            for metric in SCORED:
                scores[name][metric].append(METRICS.get(metric).score(trial))
    print(f"`{model}`, {scored} of {clips} development clips (seed {seed}), removed by blur.\n")
    print(f"| candidate | {' | '.join(SCORED)} |\n{'|---' * (len(SCORED) + 1)}|")
    for name, row in scores.items():
        means = [bootstrap(row[metric]) for metric in SCORED]
        cells = [with_interval(m.mean, m.low, m.high, "softmax") for m in means]
        print(f"| {name} | {' | '.join(cells)} |")


@register_method("heads-weighed")
class HeadsWeighed(Staa):
    """`staa` with heads weighted by the norm of their outputs, instead of their mean."""

    def taps(self, layout: AttentionLayout, options: Options) -> list[Tap]:
        """The taps of `staa`, with weighted heads except in temporal attention."""
        first = layout.prefix_tokens if layout.pooling == "mean" else None
        read = partial(_weighed_row, first=first)
        return [
            tap if tap.role == "temporal" else replace(tap, read=read)
            for tap in super().taps(layout, options)
        ]


def _weighed_row(seen: AttentionTensors, layer: Any, first: int | None) -> Tensor:
    """[..., N] weighted attention of query 0, or the mean over queries from `first` on."""
    if first is None:
        rows = attention_rows(seen.q[..., :1, :], seen.k, layer.scale)
    else:
        rows = attention_rows(seen.q[..., first:, :], seen.k, layer.scale).mean(-2, keepdim=True)
    moved = (rows @ seen.v).squeeze(-2)  # [..., heads, d]
    projections = layer.proj.weight.unflatten(1, moved.shape[-2:])  # [D, heads, d]
    written = torch.einsum("...hd,chd->...hc", moved, projections).norm(dim=-1)
    shares = written / written.sum(dim=-1, keepdim=True)
    return (rows.squeeze(-2) * shares[..., None]).sum(dim=-2)


@register_method("rollout-corrected")
class CorrectedRollout(Rollout):
    """Rollout with a larger weight of the identity, as blocks add less than half of a token."""

    identity = 0.7


def _candidates(
    benchmark: Benchmark, inputs: Tensor, target: int, number: int
) -> Iterator[tuple[str, Float32]]:
    """Names and maps [T', h, w]."""
    layout = benchmark.model.layout
    divided, half = layout.kind == "divided", tuple(range(layout.depth // 2, layout.depth))

    def of(
        method: str, layers: str | tuple[int, ...] = "default", combine: str = "mean"
    ) -> Float32:
        options = replace(benchmark.options, layers=layers, combine=combine)
        return explain_one(replace(benchmark, options=options), method, inputs, target, number)[0]

    last, path, rollout = of("staa", "last"), of("staa", "all"), of("rollout")
    yield "last block" if divided else "last block (`staa`)", last
    yield "mean of the upper half of the blocks", of("staa", half)
    yield "mean of all blocks", path
    yield "last block, heads weighed by what they write", of("heads-weighed", "last")
    yield "last block, tokens weighed by what they move (`staa-value`)", of("staa-value")
    yield "last block, without sinks", _without_sinks(last)
    if divided:
        yield "mean of all blocks x last block's spatial rows", path * of("staa-published")
        path = of("staa", combine="contrast")
        yield "blocks contrasted (`staa`)", path
        yield "the same, heads weighed", of("heads-weighed", combine="contrast")
        yield "the same, without sinks", _without_sinks(path)
    yield "rollout", rollout
    yield "rollout, 0.7 of each step the identity", of("rollout-corrected")
    parts = of("staa-logit", "default" if layout.pooling == "mean" else "all")
    strength = parts / parts.std()
    yield "part of the logit (`staa-logit`)", parts
    pairs = (
        ("contrasted" if divided else "mean", path, divided),
        ("rollout", rollout, not divided),
    )
    for name, values, ships in pairs:
        yield f"{name} x part, where it is positive", values * np.maximum(strength, 0)
        if ships:
            yield f"{name} x softplus of part (`staa-class`)", of("staa-class", combine="default")
        else:
            yield f"{name} x softplus of part", values * np.logaddexp(0, strength)
    # A token speaks for the class wherever temporal attention has carried what the event was; so
    # the place is read from the parts of the logit, and the time from the path of attention.
    positive = np.maximum(parts, 0)
    for name, values in (("contrasted" if divided else "mean", path), ("rollout", rollout)):
        yield f"place of the positive parts, time of {name}", _product(positive, values)
        yield f"mean over time of the positive parts x {name}", positive.mean(axis=0) * values


def _product(places: Float32, times: Float32) -> Float32:
    """The spatial map of one attribution times the temporal score of another."""
    return places.mean(axis=0) * times.sum(axis=(1, 2))[:, None, None]


def _without_sinks(values: Float32) -> Float32:
    """Subtract the minimum over frames at each position."""
    return values - values.min(axis=0)


if __name__ == "__main__":
    typer.run(main)
