"""The benchmark over the zoo: every method on every model that was told labels only.

    python docs/figures/zoo.py [--models A,B] [--clips N] [--few N]

Localization is measured on held-out clips; everything that perturbs clips, and methods that do so,
on the first of these. docs/benchmark/zoo/MODEL keeps every score, so the command can be interrupted
and continues where it was, on another device too. It writes tables and a plot for each model, and
prints the means over all models that count, and a table of the models trained with random masks.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from staa_cli import load_model
from staa_cli.benchmark.datasets import open_dataset
from staa_cli.benchmark.quality import Benchmark, measure_quality, store_header
from staa_cli.benchmark.store import Store
from staa_cli.benchmark.tables import write_results
from staa_cli.methods import Options, fitting, get_method
from staa_cli.models.catalog.manifests import Manifest
from staa_cli.models.catalog.zoo import ENOUGH, ZOO, zoo_manifests
from staa_cli.statistics import RESAMPLES

FOLDER = Path(__file__).resolve().parents[1] / "benchmark" / "zoo"
SEED = 2
GAINS = ("srg_blur", "srg_mean", "srg_noise")
LOCATED = ("pointing", "energy", "temporal_auc", "iou")
OTHERS = ("deletion", "insertion", "monotonicity", "correlation", "saco", "sparseness")
MASKED = "f_fidelity"
REPEATED = ("max_sensitivity",)
"""Metrics that explain a clip several times; not measured for methods that take many passes."""
SHOWN = (*GAINS, *LOCATED, "saco", "max_sensitivity", "sparseness")
UNIFORM = "divided-uniform"
MANY_PASSES = 10
"""Passes per clip from which a method is measured on few clips only."""


@dataclass(frozen=True)
class Measured:
    """The scores of one model."""

    name: str
    counts: bool
    """Whether the model is part of means."""
    scores: Mapping[tuple[str, str], list[float]]
    """(method, metric) to the scores of clips."""

    def mean(self, method: str, metric: str) -> float:
        """NaN if the method does not fit the model."""
        values = self.scores.get((method, metric))
        return float(np.nanmean(values)) if values else float("nan")


def main(
    models: Annotated[str, typer.Option(help="Of the zoo, without prefix; all by default.")] = "",
    clips: Annotated[int, typer.Option(help="Held-out clips for localization.")] = 128,
    few: Annotated[int, typer.Option(help="Clips of these for what perturbs them.")] = 32,
) -> None:
    """Measure what is missing, and print the table of means."""
    zoo = {name: each for name, each in zoo_manifests().items() if each.dataset}
    chosen = models.split(",") if models else list(zoo)
    measured = [measure(name, zoo[name], clips, few) for name in chosen]
    print(table(measured))
    if masked := [each for each in measured if zoo[each.name].random_masks]:
        print()
        print(table_of_masked(masked))


def is_original(manifest: Manifest) -> bool:
    """Whether a model was trained on generated clips alone, from random weights."""
    return bool(manifest.dataset) and manifest.random_masks is None


def counts(manifest: Manifest) -> bool:
    """Whether a model of the zoo is part of means and choices."""
    accurate = manifest.accuracy is not None and manifest.accuracy >= ENOUGH
    return accurate and is_original(manifest) and manifest.name != ZOO + UNIFORM


def open_store(path: Path, benchmark: Benchmark) -> Store:
    """The store of a benchmark, which can be continued on another device.

    Scores on a CPU and on a GPU differ by rounding only; `tests/cuda` tests that.
    """
    header = store_header(benchmark)
    return Store(path, {name: value for name, value in header.items() if name != "device"})


@dataclass(frozen=True)
class Part:
    """What is measured on equally many clips."""

    methods: Sequence[str]
    metrics: Sequence[str]
    clips: int


def parts(manifest: Manifest, methods: Sequence[str], clips: int, few: int) -> tuple[Part, ...]:
    """What is measured of methods on a model; the last part has all of them."""
    cheap = [name for name in methods if get_method(name).passes_per_clip < MANY_PASSES]
    masked = (MASKED,) if manifest.random_masks else ()
    return (
        Part(cheap, LOCATED, clips),
        Part(cheap, REPEATED, few),
        Part(methods, (*GAINS, *LOCATED, *OTHERS, *masked), few),
    )


def measure(name: str, manifest: Manifest, clips: int, few: int) -> Measured:
    """Scores of all methods on a model; results are written for all methods on few clips."""
    model, options = load_model(ZOO + name), Options(seed=SEED)
    data = open_dataset(manifest.dataset, model, SEED)
    methods = fitting(model.module, model.layout, options)
    methods = ["staa-class", *(method for method in methods if method != "staa-class")]
    folder = FOLDER / name
    scores: dict[tuple[str, str], list[float]] = {}
    plain = Benchmark(model, data, tuple(methods), LOCATED, options, SEED)
    store = open_store(folder / "scores.ndjson", plain)
    for part in parts(manifest, methods, clips, few):
        benchmark = replace(plain, methods=part.methods, metrics=part.metrics, store=store)
        progress = reporter(f"{name}, {len(part.metrics)} metrics")
        result = measure_quality(benchmark, part.clips, on_progress=progress)
        scores = clip_scores(result, part.methods, part.metrics) | scores  # most clips first
    write_results(result | {"per_clip": []}, folder, "srg_blur")  # the store has every clip
    return Measured(name, counts(manifest), scores)


def clip_scores(
    result: Mapping[str, Any], methods: Sequence[str], metrics: Sequence[str]
) -> dict[tuple[str, str], list[float]]:
    """(method, metric) to the scores of the clips that are scored; NaN where one is undefined."""
    clips = [clip for clip in result["per_clip"] if clip["scored"]]
    return {
        (method, metric): [
            np.nan if clip[method][metric] is None else clip[method][metric] for clip in clips
        ]
        for method in methods
        for metric in metrics
    }


def reporter(what: str) -> Callable[[int, int], None]:
    """Shows progress on the terminal, a few times."""

    def report(done: int, total: int) -> None:
        if done % 100 == 0 or done == total:
            print(f"\r{what}: {done} of {total}", end="", file=sys.stderr, flush=True)

    return report


def table(measured: list[Measured]) -> str:
    """Means over the models that count, with intervals over their clips; best gain first."""
    counted = [each for each in measured if each.counts]
    methods = sorted(
        {method for each in counted for method, _ in each.scores},
        key=lambda method: -np.nanmean([each.mean(method, GAINS[0]) for each in counted]),
    )
    lines = [f"| method | models | {' | '.join(SHOWN)} |", "|---" * (len(SHOWN) + 2) + "|"]
    for method in methods:
        fit = [each for each in counted if (method, GAINS[0]) in each.scores]
        cells = [_interval(fit, method, metric) for metric in SHOWN]
        lines.append(f"| `{method}` | {len(fit)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def table_of_masked(measured: list[Measured]) -> str:
    """F-Fidelity and the gain of methods on models trained with random masks, best first."""
    columns = [(each, metric) for each in measured for metric in (MASKED, GAINS[0])]
    methods = sorted(
        {method for each in measured for method, _ in each.scores},
        key=lambda method: -np.nanmean([each.mean(method, MASKED) for each in measured]),
    )
    heads = [f"{each.name}: {metric}" for each, metric in columns]
    lines = [f"| method | {' | '.join(heads)} |", "|---" * (len(columns) + 1) + "|"]
    for method in methods:
        cells = [_interval([each], method, metric) for each, metric in columns]
        lines.append(f"| `{method}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def _interval(models: Sequence[Measured], method: str, metric: str) -> str:
    """The mean over models with its bootstrap interval over the clips of each model."""
    by_model = [each.scores.get((method, metric), []) for each in models]
    rng, means = np.random.default_rng(0), []
    for scores in by_model:
        kept = np.array([score for score in scores if not np.isnan(score)])
        if not len(kept):
            return "-"
        means.append(kept[rng.integers(0, len(kept), (RESAMPLES, len(kept)))].mean(axis=1))
    low, high = np.percentile(np.mean(means, axis=0), (2.5, 97.5))
    middle = np.mean([np.nanmean(scores) for scores in by_model])
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


if __name__ == "__main__":
    typer.run(main)
