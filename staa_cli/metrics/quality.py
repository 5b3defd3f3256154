"""`staa benchmark quality`: methods beside trivial baselines, scored on clips with ground truth."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from staa_cli import __version__
from staa_cli.errors import UsageError
from staa_cli.methods import Method, Options, get_method
from staa_cli.methods.explain import explain_batch, predict_batch
from staa_cli.methods.perturbation import Copies, filler
from staa_cli.metrics.base import BASELINES, METRICS, Trial
from staa_cli.metrics.localisation import coverage
from staa_cli.metrics.statistics import bootstrap
from staa_cli.metrics.store import Store
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
    for index in range(count):
        yield make_clip(dataset, index, seed, split)


def make_clip(dataset: str, index: int, seed: int, split: Split = "test") -> EventClip:
    """One of `make_clips`."""
    settings = dataset_settings(dataset)
    return event_clip(
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
    store: Store | None = None,
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
        store: where scores are kept and found again; in memory where None.
        on_progress: told (clips done, clips in all).

    Raises:
        UsageError: an unknown name, or a model that does not know the events.
    """
    check_model(model)
    for name in methods:
        get_method(name)
    for name in metrics:
        METRICS.get(name)
    options, store = options or Options(seed=seed), store or Store(None, {})
    for start in range(0, clips, BATCH):
        numbers = range(start, min(start + BATCH, clips))
        if not all(_is_scored(store, number, methods, metrics) for number in numbers):
            batch = {n: make_clip(dataset, n, seed, split) for n in numbers}
            _score(model, batch, methods, metrics, options, seed, store)
        on_progress(numbers[-1] + 1, clips)
    facts = [store.get(number) or {} for number in range(clips)]
    correct = [number for number in range(clips) if facts[number]["correct"]]
    scores = {
        (method, name): [(store.get(n, method) or {})[name] for n in correct]
        for method in methods
        for name in metrics
    }
    return {
        "schema_version": SCHEMA_VERSION,
        "model": model.info.name,
        "weights_sha256": model.info.weights_sha256,
        "dataset": dataset,
        "split": split,
        "seed": seed,
        "clips": clips,
        "correct": len(correct),
        "accuracy": len(correct) / clips,
        "mask_share": float(np.mean([facts[n]["share"] for n in correct])) if correct else None,
        "fill": options.fill,
        "results": _rows(scores, methods[0], seed),
        "per_clip": [
            {"clip": number, "correct": facts[number]["correct"]}
            | {method: _told(store.get(number, method), metrics) for method in methods}
            for number in range(clips)
        ],
    }


def store_header(
    model: LoadedModel, dataset: str, split: Split, seed: int, options: Options
) -> dict[str, Any]:
    """What scores depend on, beside the clip, the method, and the metric."""
    return {
        "staa_version": __version__,
        "weights_sha256": model.info.weights_sha256,
        "dataset": dataset,
        "split": split,
        "seed": seed,
        "options": asdict(options),
    }


def _told(scores: Mapping[str, float] | None, metrics: Sequence[str]) -> dict[str, float | None]:
    """Scores of one clip; None where they say nothing, or the clip was not scored."""
    found = {name: (scores or {}).get(name) for name in metrics}
    return {n: None if v is None or np.isnan(v) else v for n, v in found.items()}


def _is_scored(store: Store, number: int, methods: Sequence[str], metrics: Sequence[str]) -> bool:
    clip = store.get(number)
    if clip is None or not clip["correct"]:
        return clip is not None
    return all(set(metrics) <= (store.get(number, method) or {}).keys() for method in methods)


def _score(
    model: LoadedModel,
    batch: Mapping[int, EventClip],
    methods: Sequence[str],
    metrics: Sequence[str],
    options: Options,
    seed: int,
    store: Store,
) -> None:
    """Put what is missing of some clips into the store."""
    clips = list(batch.values())
    inputs = model.place(torch.cat([model.preprocess(clip.frames) for clip in clips]))
    answers = predict_batch(model.module, inputs).argmax(axis=1)
    for number, clip, answer in zip(batch, clips, answers, strict=True):
        share = float(coverage(clip.mask, model.layout.grid).mean())
        store.put({"correct": bool(answer == clip.label), "share": share}, number)
    right = [
        n for n, clip, answer in zip(batch, clips, answers, strict=True) if answer == clip.label
    ]
    copies: dict[int, Copies] = {}
    for method in methods:
        missing = [n for n in right if not _is_scored(store, n, [method], metrics)]
        if not missing:
            continue
        maps = explain_clips(model, [batch[n] for n in missing], get_method(method), options)
        for number, values in zip(missing, maps, strict=True):
            clip = batch[number]
            if number not in copies:
                copies[number] = copies_of(model, clip, options.fill)
            again = partial(_explain_again, model, copies[number].clip, clip, method, options)
            trial = Trial(values, copies[number], clip.mask, clip.event, seed, again)
            store.put({name: METRICS.get(name).score(trial) for name in metrics}, number, method)


def _explain_again(
    model: LoadedModel,
    inputs: Tensor,
    clip: EventClip,
    method: str,
    options: Options,
    target: int,
    module: nn.Module | None,
) -> Float32:
    """A clip's map for another class, or of another module in the model's place."""
    explained = explain_batch(
        module or model.module,
        model.layout,
        inputs[None],
        get_method(method),
        options,
        target=target,
        clip_indices=[clip.seed & 0xFFFFFFF],
        given=model.input,
    )
    return np.asarray(explained.values[0])


def _rows(
    scores: Mapping[tuple[str, str], Sequence[float]], first: str, seed: int
) -> list[dict[str, Any]]:
    """A row a method and metric; none where no clip has a score.

    Each but the first method's has the difference to the first, clip by clip.
    """
    rows = []
    for (method, metric), row in scores.items():
        if np.isnan(row).all():
            continue
        found = {"method": method, "metric": metric, **bootstrap(row, seed)._asdict()}
        gaps = np.subtract(row, scores[first, metric])
        if method != first and not np.isnan(gaps).all():
            found["difference"] = bootstrap(gaps.tolist(), seed)._asdict()
        rows.append(found)
    return rows


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
    model: LoadedModel, clips: Sequence[EventClip], method: Method, options: Options
) -> Float32:
    """Maps [B, T', h, w] for the clips' own labels."""
    return explain_batch(
        model.module,
        model.layout,
        model.place(torch.cat([model.preprocess(clip.frames) for clip in clips])),
        method,
        options,
        target=[clip.label for clip in clips],
        clip_indices=[clip.seed & 0xFFFFFFF for clip in clips],
        given=model.input,
    ).values
