"""Tests the claims of the paper on a bundled model, and prints a Markdown table.

    python docs/figures/claims.py clips [--model NAME] [--clips N] [--rounds N]
    python docs/figures/claims.py videos [--model NAME]

The first uses held-out clips of the generator, with 95 % bootstrap intervals in parentheses; the
second uses the sample videos.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import numpy as np
import torch
import typer

from staa_cli import explain_video, load_model
from staa_cli.benchmark.cost import measure_cost
from staa_cli.benchmark.datasets import open_dataset
from staa_cli.benchmark.datasets.videos import Videos
from staa_cli.benchmark.quality import Benchmark, measure_quality
from staa_cli.config.settings import PostSettings
from staa_cli.formatting import percent
from staa_cli.methods import Options
from staa_cli.models.load import LoadedModel
from staa_cli.statistics import Interval, bootstrap
from zoo import clip_scores

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "sample_videos"
"""Videos for the claims about temporal curves and speed."""
SEED = 1
SLOW = ("integrated-gradients", "frame-shapley", "occlusion", "lime", "kernel-shap")
PERCENTILE = PostSettings(threshold="percentile", threshold_value=80)
FOCUS = {"focus_sigma": 0.7, "focus_gamma": 1.5}
POSTS = {
    "threshold (80th percentile)": PERCENTILE,
    "threshold (Otsu)": PostSettings(threshold="otsu"),
    "focus (sigma 0.7 tokens, gamma 1.5)": replace(PostSettings(), **FOCUS),
    "both (80th percentile, then focus)": replace(PERCENTILE, **FOCUS),
}
FIT = ("published_faithfulness", "pointing", "energy", "insertion", "srg")

Row = tuple[str, str, str]
"""(claim, measurement, figures)."""


def main(
    of: Annotated[str, typer.Argument(help="Data to use: clips, or videos.")],
    model: Annotated[str, typer.Option(help="A bundled model.")] = "tiny-events",
    clips: Annotated[int, typer.Option(help="Held-out clips.")] = 64,
    rounds: Annotated[int, typer.Option(help="Rounds of timing.")] = 3,
) -> None:
    """Print the table."""
    loaded = load_model(model)
    if of == "videos":
        paths = Videos(SAMPLES, loaded).paths
        rows = [_flatness(loaded, paths), _speed(loaded, paths)]
        print(f"`{model}`, the {len(paths)} videos of `{SAMPLES.name}`.\n")
    else:
        rows = [*_maps(loaded, clips), *_cost(loaded, rounds), *_post(loaded, clips)]
        print(
            f"`{model}`, {clips} held-out clips of `events` (seed {SEED}), those classified "
            f"correctly; removed by {Options().replacement}; times are medians of {rounds} rounds, "
            "in brackets the lowest and the highest.\n"
        )
    print("| claim | measured here | figures |\n|---|---|---|")
    for row in rows:
        print(f"| {' | '.join(row)} |")


def _measure(
    model: LoadedModel,
    clips: int,
    methods: Sequence[str],
    metrics: Sequence[str],
    post: PostSettings | None = None,
) -> dict[tuple[str, str], list[float]]:
    """Scores of all clips by (method, metric)."""
    data = open_dataset("events", model, SEED)
    post = post or PostSettings()
    quality = measure_quality(
        Benchmark(model, data, methods, metrics, Options(), SEED, post), clips
    )
    return clip_scores(quality, methods, metrics)


def _interval(interval: Interval, signed: bool = False) -> str:
    form = "+.2f" if signed else ".2f"
    if interval.low is None:
        return f"{interval.mean:{form}}"
    return f"{interval.mean:{form}} ({interval.low:{form}} to {interval.high:{form}})"


def _maps(model: LoadedModel, clips: int) -> list[Row]:
    """Temporal and published scores of methods, and of random maps."""
    methods = ("staa-published", "staa", "staa-class", "random")
    claims = {
        "temporal_auc": ("importance in time", "area under ROC against the event's frames"),
        "published_faithfulness": ("faithfulness of 0.84", "beside random maps"),
        "published_tau": ("Kendall's tau", "beside random maps"),
    }
    scores = _measure(model, clips, methods, tuple(claims))
    rows = []
    for metric, (claim, what) in claims.items():
        figures = [f"{name} {_interval(bootstrap(scores[name, metric]))}" for name in methods]
        rows.append((claim, f"`{metric}`: {what}", "; ".join(figures)))
    return rows


def _flatness(model: LoadedModel, paths: Sequence[Path]) -> Row:
    figures = []
    for name in ("staa-published", "staa"):
        curves = [explain_video(path, model, method=name).temporal for path in paths]
        spread = float(np.median([curve.coefficient_of_variation for curve in curves]))
        figures.append(f"{name} {percent(spread, 1)}")
    what = "variation of the curve, median over the videos; below 5 % is called flat"
    return "importance in time", what, ", ".join(figures)


def _cost(model: LoadedModel, rounds: int) -> list[Row]:
    cost = measure_cost(model, ["staa", "staa-class", *SLOW], rounds=rounds, memory=False)
    costs = {row["method"]: row for row in cost["results"]}
    figures = [
        f"{name} {row['passes_per_clip']:,.0f}, time {row['wall_ratio']:,.2f} "
        f"({row['wall_low']:,.2f} to {row['wall_high']:,.2f})"
        for name, row in costs.items()
    ]
    shares = [
        f"{percent(costs['staa']['wall_ratio'] / costs[name]['wall_ratio'], 2)} of {name}"
        for name in SLOW
    ]
    return [
        (
            "one forward pass",
            "passes a clip, counted; time, a plain pass being 1",
            "; ".join(figures),
        ),
        ("under 3 % of the cost of SHAP", "time of staa", ", ".join(shares)),
    ]


def _speed(model: LoadedModel, paths: Sequence[Path]) -> Row:
    """Seconds of video per second of CPU time, including decoding, after a warm-up on one video.

    CPU time includes all threads and does not depend on the load of the machine.
    """
    explain_video(paths[0], model)
    video_s = explained_s = drawn_s = 0.0
    with TemporaryDirectory() as folder:
        for number, path in enumerate(paths):
            start_s = time.process_time()
            explanation = explain_video(path, model)
            explained_s += time.process_time() - start_s
            explanation.save(Path(folder) / str(number))
            drawn_s += time.process_time() - start_s
            video_s += explanation.video.duration_s
    what = (
        "seconds of video a second of one CPU core, decoded and explained by the default, "
        f"threads of torch: {torch.get_num_threads()} ({model.device})"
    )
    figures = f"{video_s / explained_s:.1f}; {video_s / drawn_s:.1f} with the annotated video"
    return "real time", what, figures


def _post(model: LoadedModel, clips: int) -> list[Row]:
    """Paired differences from the raw map."""
    raw = _measure(model, clips, ("staa",), FIT)
    rows = []
    for name, post in POSTS.items():
        processed = _measure(model, clips, ("staa",), FIT, post)
        gaps = {
            metric: bootstrap(np.subtract(processed["staa", metric], raw["staa", metric]).tolist())
            for metric in FIT
        }
        figures = [f"{metric} {_interval(gap, signed=True)}" for metric, gap in gaps.items()]
        rows.append((f"{name} helps", "difference to the raw map of staa", "; ".join(figures)))
    return rows


if __name__ == "__main__":
    typer.run(main)
