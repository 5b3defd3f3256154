"""Is the default the right choice for a model that it was not chosen on?

    python docs/figures/leave_one_out.py [--models A,B] [--clips N] [--few N]

Scores every candidate for the default on development clips of every model of the zoo. For each
model in turn, the candidate with the highest mean score on the *other* models is chosen and scored
on this one. A candidate's score on a model is the mean of its symmetric relevance gain, pointing,
and temporal AUC. Models that are left out of means over the zoo choose nothing.

Scores are kept in docs/benchmark/zoo/MODEL/candidates.ndjson: the command can be interrupted, and
what is already measured is not measured again.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
import typer
from candidates import CANDIDATES, FORMULAS, LAST

from staa_cli import load_model
from staa_cli.benchmark.datasets import open_dataset
from staa_cli.benchmark.quality import Benchmark, measure_quality
from staa_cli.evaluation.base import BASELINES
from staa_cli.methods import Options, fitting
from staa_cli.methods.readout import attends_over_time
from staa_cli.models.catalog.manifests import Manifest
from staa_cli.models.catalog.zoo import ZOO, zoo_manifests
from staa_cli.statistics import bootstrap
from zoo import FOLDER, LOCATED, Measured, clip_scores, counts, is_original, open_store, reporter

SEED = 11
SCORED = ("srg", "pointing", "temporal_auc")
PUBLISHED = ("rollout", "staa-published", "rfem", "token-transformation")
"""Of other papers, in one pass."""
THREE_PASSES = ("grad-attention", "legrad", "rfem-class")
OURS = ("staa-class", "staa", "staa-value", "staa-logit")
AVERAGED = ("averaged",)
"""What `staa-logit` was for heads that read a mean; it fits no other."""
BY_LAYOUT = tuple(f"path*{formula}" for formula in (*FORMULAS, LAST))
"""Other candidates by layout: `staa` is the path with divided attention, else `rollout`."""
KNOWN = (*OURS, *AVERAGED, *PUBLISHED, *THREE_PASSES, *BASELINES)
ALL = (*KNOWN, *BY_LAYOUT, *CANDIDATES)


def main(
    models: Annotated[str, typer.Option(help="Of the zoo, without prefix; all by default.")] = "",
    clips: Annotated[int, typer.Option(help="Development clips for localization.")] = 64,
    few: Annotated[int, typer.Option(help="Clips of these for relevance gains.")] = 12,
) -> None:
    """Measure what is missing, and print the tables."""
    zoo = {name: each for name, each in zoo_manifests().items() if is_original(each)}
    names = models.split(",") if models else list(zoo)
    scores = [measure(name, zoo[name], clips, few) for name in names]
    print(table_of_methods(scores))
    print()
    print(table_of_choices([each for each in scores if each.counts]))
    print()
    print(table_of_baselines(scores))


def measure(name: str, manifest: Manifest, clips: int, few: int) -> Measured:
    """Scores of all methods on a model of the zoo."""
    model = load_model(ZOO + name)
    data = open_dataset(manifest.dataset, model, SEED, "development")
    options, scores = Options(seed=SEED), {}
    fit = fitting(model.module, model.layout, options)
    methods = [method for method in (*KNOWN, *CANDIDATES) if method in fit]
    plain = Benchmark(model, data, methods, LOCATED, options, SEED)
    store = open_store(FOLDER / name / "candidates.ndjson", plain)
    for metrics, count in ((LOCATED, clips), (("srg",), few)):
        benchmark = Benchmark(model, data, methods, metrics, options, SEED, store=store)
        result = measure_quality(benchmark, count, on_progress=reporter(f"{name}, {metrics[0]}"))
        scores |= clip_scores(result, methods, metrics)
    path = "staa" if attends_over_time(model.layout) else "rollout"
    for (method, metric), found in list(scores.items()):
        if method.startswith(f"{path}*"):
            scores[method.replace(path, "path"), metric] = found
    return Measured(name, counts(manifest), scores)


def score(model: Measured, method: str) -> float:
    """The score by which candidates are chosen."""
    return float(np.mean([model.mean(method, metric) for metric in SCORED]))


def choose(models: list[Measured]) -> str:
    """The candidate with the highest mean score."""
    return max(
        (*BY_LAYOUT, *CANDIDATES),
        key=lambda method: np.mean([score(each, method) for each in models]),
    )


def table_of_choices(models: list[Measured]) -> str:
    """For each model, what the others choose, and what it would have chosen itself."""
    lines = [
        "| model | chosen on the others | its score here | best here | its score | `earlier` |",
        "|---" * 6 + "|",
    ]
    for left_out in models:
        others = [each for each in models if each is not left_out]
        if not others:
            continue
        chosen, best = choose(others), choose([left_out])
        lines.append(
            f"| {left_out.name} | `{chosen}` | {score(left_out, chosen):.3f} | `{best}` "
            f"| {score(left_out, best):.3f} | {score(left_out, 'earlier'):.3f} |"
        )
    return "\n".join(lines)


def table_of_methods(models: list[Measured]) -> str:
    """All methods, best first, with means over the models that count and scores on each model."""
    counted = [each for each in models if each.counts] or models
    mean = {m: float(np.mean([score(each, m) for each in counted])) for m in ALL}
    # A method that does not fit every model has no mean, and comes last.
    names = [each.name if each.counts else f"({each.name})" for each in models]
    lines = [
        f"| method | mean | {' | '.join((*SCORED, 'energy', 'iou'))} | {' | '.join(names)} |",
        "|---" * (len(SCORED) + 4 + len(names)) + "|",
    ]
    for method in sorted(mean, key=lambda m: -np.nan_to_num(mean[m], nan=-1.0)):
        metrics = [
            np.mean([each.mean(method, metric) for each in counted])
            for metric in (*SCORED, "energy", "iou")
        ]
        cells = [mean[method], *metrics, *(score(each, method) for each in models)]
        shown = ["-" if np.isnan(cell) else f"{cell:.3f}" for cell in cells]
        lines.append(f"| `{method}` | {' | '.join(shown)} |")
    return "\n".join(lines)


def table_of_baselines(models: list[Measured]) -> str:
    """How far the default is ahead of the best baseline on each model, with intervals."""
    lines = [f"| model | {' | '.join(SCORED)} |", "|---" * (len(SCORED) + 1) + "|"]
    for model in models:
        cells = []
        for metric in SCORED:
            best = max(BASELINES, key=lambda name: model.mean(name, metric))
            ours, theirs = (np.array(model.scores[m, metric]) for m in ("staa-class", best))
            mean, low, high, _ = bootstrap(list(ours - theirs))
            cells.append(f"{mean:+.2f} ({low:+.2f} to {high:+.2f}) over {best}")
        lines.append(f"| {model.name} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    typer.run(main)
