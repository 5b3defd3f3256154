"""`staa benchmark quality`: methods beside trivial baselines, scored on clips with ground truth."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch

from staa_cli.errors import UsageError
from staa_cli.methods import Method, Options, get_method
from staa_cli.methods.explain import explain_batch
from staa_cli.methods.perturbation import Copies, filler
from staa_cli.metrics.base import METRICS, Trial
from staa_cli.metrics.localisation import coverage
from staa_cli.metrics.statistics import bootstrap
from staa_cli.models.loading import LoadedModel
from staa_cli.registry import did_you_mean
from staa_cli.schema import SCHEMA_VERSION, Float32
from staa_cli.synthetic.events import (
    EVENTS,
    FRAMES,
    HARD_VARIANTS,
    LABELS,
    SIZE_PX,
    STANDARD,
    EventClip,
    Setting,
    clip_seed,
    event_clip,
)

BASELINES = ("random", "centre", "frame-difference")
BATCH = 8

Split = Literal["development", "test"]
OnProgress = Callable[[int, int], None]


def dataset_settings(name: str) -> tuple[Setting, ...]:
    """The settings that a data set goes through in turn.

    Raises:
        UsageError: there is no such data set.
    """
    known = {"events": (STANDARD,), "events-hard": HARD_VARIANTS}
    known |= {f"events-{setting.name}": (setting,) for setting in HARD_VARIANTS}
    if name not in known:
        hint = did_you_mean(name, known) or f"there are: {', '.join(known)}"
        raise UsageError(f"unknown data set {name!r}", hint)
    return known[name]


def make_clips(dataset: str, count: int, seed: int, split: Split = "test") -> Iterator[EventClip]:
    """Event clips with ground truth, every label as often as the others, from a seed."""
    settings = dataset_settings(dataset)
    for index in range(count):
        yield event_clip(
            clip_seed(split, seed, index),
            settings[index % len(settings)],
            label=1 + (index // len(settings)) % len(EVENTS),
        )


def measure_quality(
    model: LoadedModel,
    *,
    dataset: str = "events",
    methods: Sequence[str] = ("staa", *BASELINES),
    metrics: Sequence[str] = ("pointing", "energy", "temporal_auc", "iou"),
    clips: int = 256,
    seed: int = 0,
    split: Split = "test",
    options: Options | None = None,
    on_progress: OnProgress = lambda done, total: None,
) -> dict[str, Any]:
    """A model and names in, a table of means with 95 % intervals out, as plain data.

    Only clips that the model classifies correctly are scored; `correct` says how many.

    Args:
        model: classifies event clips.
        dataset: ``events``, ``events-hard``, or one of its variants.
        methods: names of methods.
        metrics: names of metrics.
        clips: how many.
        seed: which ones.
        split: development clips are for choosing, test clips for reporting.
        options: of all methods.
        on_progress: told (clips done, clips in all).

    Raises:
        UsageError: an unknown name, or a model that does not know the events.
    """
    check_model(model)
    for name in metrics:
        METRICS.get(name)
    chosen = [get_method(name) for name in methods]
    options = options or Options(seed=seed)
    scores: dict[tuple[str, str], list[float]] = {(m, s): [] for m in methods for s in metrics}
    shares: list[float] = []
    batch: list[EventClip] = []
    for done, clip in enumerate(make_clips(dataset, clips, seed, split), 1):
        batch.append(clip)
        if len(batch) < BATCH and done < clips:
            continue
        known, maps = explain_clips(model, batch, chosen, options)
        for index in np.flatnonzero(known):
            one = batch[index]
            shares.append(float(coverage(one.mask, model.layout.grid).mean()))
            copies = copies_of(model, one, options.fill)
            for method in methods:
                trial = Trial(maps[method][index], copies, one.mask, one.event, seed)
                for name in metrics:
                    scores[method, name].append(METRICS.get(name).score(trial))
        batch = []
        on_progress(done, clips)
    return {
        "schema_version": SCHEMA_VERSION,
        "model": model.info.name,
        "weights_sha256": model.info.weights_sha256,
        "dataset": dataset,
        "split": split,
        "seed": seed,
        "clips": clips,
        "correct": len(shares),
        "accuracy": len(shares) / clips,
        "mask_share": float(np.mean(shares)) if shares else None,
        "fill": options.fill,
        "results": _rows(scores, seed),
    }


def _rows(scores: Mapping[tuple[str, str], Sequence[float]], seed: int) -> list[dict[str, Any]]:
    """A row a method and metric; none where no clip has a score."""
    return [
        {"method": method, "metric": metric, **bootstrap(row, seed)._asdict()}
        for (method, metric), row in scores.items()
        if not np.isnan(row).all()
    ]


def check_model(model: LoadedModel) -> None:
    """Refuse a model that cannot be scored on event clips.

    Raises:
        UsageError: it knows other classes, or takes other clips.
    """
    size = model.input.frames, model.input.size
    if model.labels != LABELS or size != (FRAMES, (SIZE_PX, SIZE_PX)):
        raise UsageError(
            f"{model.info.name} was not trained on event clips",
            "event clips have ground truth for bundled models; use --model tiny-events",
        )


def copies_of(model: LoadedModel, clip: EventClip, fill: str) -> Copies:
    """Altered copies of a clip, asked for the probability of its label."""
    inputs = model.place(model.preprocess(clip.frames))
    filling = filler(inputs, fill, model.input)[0]
    return Copies(model.module, inputs[0], filling, model.layout.grid, clip.label)


def explain_clips(
    model: LoadedModel, clips: Sequence[EventClip], methods: Sequence[Method], options: Options
) -> tuple[np.ndarray[Any, np.dtype[np.bool_]], dict[str, Float32]]:
    """Which clips [B] are classified correctly, and each method's maps [B, T', h, w]."""
    inputs = model.place(torch.cat([model.preprocess(clip.frames) for clip in clips]))
    labels = [clip.label for clip in clips]
    maps: dict[str, Float32] = {}
    known = np.zeros(len(clips), dtype=bool)
    for method in methods:
        explained = explain_batch(
            model.module,
            model.layout,
            inputs,
            method,
            options,
            target=labels,
            clip_indices=[clip.seed & 0xFFFFFFF for clip in clips],
            given=model.input,
        )
        known = explained.probabilities.argmax(axis=1) == labels
        maps[method.name] = explained.values
    return known, maps
