"""`staa benchmark quality`: methods beside trivial baselines, scored on clips of a data set."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from staa_cli import __version__
from staa_cli.config import PostSettings
from staa_cli.errors import InputError, UsageError
from staa_cli.methods import Options, get_method
from staa_cli.methods.explain import explain_batch, predict_batch
from staa_cli.methods.perturbation import Copies, filler
from staa_cli.methods.postprocess import postprocess
from staa_cli.metrics.base import METRICS, Trial
from staa_cli.metrics.datasets import Dataset, Question, Sample, Videos
from staa_cli.metrics.localisation import coverage
from staa_cli.metrics.statistics import bootstrap
from staa_cli.metrics.store import Store
from staa_cli.models.loading import LoadedModel
from staa_cli.schema import SCHEMA_VERSION, Float32

BATCH = 8

OnProgress = Callable[[int, int], None]


@dataclass(frozen=True)
class Benchmark:
    """What is measured, of which model, on what.

    Args:
        model: that is explained.
        dataset: of `open_dataset`.
        methods: their names.
        metrics: their names.
        options: of all methods.
        seed: of what metrics draw at random.
        post: threshold and focus of all maps; none unless told.
        store: where scores are kept and found again.

    Raises:
        UsageError: an unknown name, or a metric that needs ground truth where there is none.
    """

    model: LoadedModel
    dataset: Dataset
    methods: Sequence[str]
    metrics: Sequence[str]
    options: Options
    seed: int = 0
    post: PostSettings = field(default_factory=PostSettings)
    store: Store = field(default_factory=lambda: Store(None, {}))

    def __post_init__(self) -> None:
        for name in self.methods:
            get_method(name)
        untold = [name for name in self.metrics if METRICS.get(name).truth]
        if untold and not self.dataset.truth:
            fit = [name for name in METRICS.names() if not METRICS.get(name).truth]
            raise UsageError(
                f"{self.dataset.name} has no ground truth, which {', '.join(untold)} would need",
                f"--metrics takes {', '.join(fit)} there",
            )

    def is_scored(self, number: int) -> bool:
        """Whether there is nothing left to measure of a clip."""
        clip = self.store.get(number)
        if clip is None or not clip["scored"]:
            return clip is not None
        return not any(self.missing(number, method) for method in self.methods)

    def missing(self, number: int, method: str) -> list[str]:
        """Metrics that a method has no score of yet, on a clip."""
        known = self.store.get(number, method) or {}
        return [name for name in self.metrics if name not in known]

    def scored(self, clips: int) -> list[int]:
        """Numbers of the clips that have all scores; one that cannot be read any more has not."""
        done = (n for n in range(clips) if self.is_scored(n))
        return [n for n in done if (self.store.get(n) or {})["scored"]]


def measure_quality(
    benchmark: Benchmark,
    clips: int,
    *,
    on_progress: OnProgress = lambda done, total: None,
    on_problem: Callable[[str, InputError], None] = lambda name, error: None,
) -> dict[str, Any]:
    """A benchmark in, a table of means with 95 % intervals out, as plain data.

    With ground truth, only clips that the model classifies correctly are scored; `correct` says
    how many.

    Args:
        benchmark: what to measure.
        clips: how many.
        on_progress: told (clips done, clips in all).
        on_problem: told what a clip is called that cannot be read, and why; the others go on.
    """
    if isinstance(benchmark.dataset, Videos):
        clips = min(clips, len(benchmark.dataset.paths))
    for start in range(0, clips, BATCH):
        numbers = range(start, min(start + BATCH, clips))
        batch = {}
        for number in numbers:
            if not benchmark.is_scored(number):
                try:
                    batch[number] = benchmark.dataset.sample(number)
                except InputError as error:
                    on_problem(benchmark.dataset.describe(number), error)
        if batch:
            _score(benchmark, batch)
        on_progress(numbers[-1] + 1, clips)
    return _result(benchmark, clips)


def store_header(benchmark: Benchmark) -> dict[str, Any]:
    """What scores depend on, beside the clip, the method, and the metric."""
    dataset = benchmark.dataset
    header = {
        "staa_version": __version__,
        "weights_sha256": benchmark.model.info.weights_sha256,
        "dataset": dataset.name,
        "split": getattr(dataset, "split", None),
        "seed": benchmark.seed,
        "options": asdict(benchmark.options),
        "post": _told_post(benchmark.post),
    }
    if isinstance(dataset, Videos):
        header["videos"] = [[path.name, path.stat().st_size] for path in dataset.paths]
    return header


def _result(benchmark: Benchmark, clips: int) -> dict[str, Any]:
    model, store, truth = benchmark.model, benchmark.store, benchmark.dataset.truth
    scored = benchmark.scored(clips)
    scores = {
        (method, name): [(store.get(n, method) or {})[name] for n in scored]
        for method in benchmark.methods
        for name in benchmark.metrics
    }
    shares = [(store.get(n) or {})["share"] for n in scored]
    return {
        "schema_version": SCHEMA_VERSION,
        "model": model.info.name,
        "weights_sha256": model.info.weights_sha256,
        "dataset": benchmark.dataset.name,
        "split": getattr(benchmark.dataset, "split", None),
        "seed": benchmark.seed,
        "clips": clips,
        "scored": len(scored),
        "correct": len(scored) if truth else None,
        "accuracy": len(scored) / clips if truth else None,
        "mask_share": float(np.mean(shares)) if truth and scored else None,
        "fill": benchmark.options.fill,
        "post": _told_post(benchmark.post),
        "results": _rows(scores, benchmark.methods[0], benchmark.seed) if scored else [],
        "per_clip": [
            {"clip": n, "name": benchmark.dataset.describe(n), "scored": n in scored}
            | {m: _told(store.get(n, m), benchmark.metrics) for m in benchmark.methods}
            for n in range(clips)
        ],
    }


def _told_post(post: PostSettings) -> dict[str, Any]:
    """What is done to maps before they are scored."""
    names = ("threshold", "threshold_value", "focus_sigma", "focus_gamma")
    return {name: getattr(post, name) for name in names}


def _told(scores: Mapping[str, float] | None, metrics: Sequence[str]) -> dict[str, float | None]:
    """Scores of one clip; None where they say nothing, or the clip was not scored."""
    found = {name: (scores or {}).get(name) for name in metrics}
    return {n: None if v is None or np.isnan(v) else v for n, v in found.items()}


@dataclass(frozen=True, eq=False)
class _Asked:
    """A question about a clip, ready to be scored."""

    inputs: Tensor
    """[1, T, 3, h, w]."""
    target: int
    question: Question
    copies: Copies


def _score(benchmark: Benchmark, batch: Mapping[int, Sample]) -> None:
    """Put what is missing of some clips into the store."""
    model, store = benchmark.model, benchmark.store
    inputs = model.place(torch.cat([model.preprocess(clip.frames) for clip in batch.values()]))
    answers = predict_batch(model.module, inputs).argsort(axis=1)[:, ::-1]  # most probable first
    asked: dict[int, list[_Asked]] = {}
    for each, answer, (number, clip) in zip(inputs, answers, batch.items(), strict=True):
        targets = {int(label) for label in answer[: len(clip.questions)]}
        masks = [q.mask for q in clip.questions if q.mask is not None]
        right = not benchmark.dataset.truth or targets == {q.target for q in clip.questions}
        share = [float(coverage(mask, model.layout.grid).mean()) for mask in masks]
        store.put({"scored": right, "share": float(np.mean(share)) if share else None}, number)
        if right:
            filling = filler(each[None], benchmark.options.fill, model.input)[0]
            asked[number] = [
                _ask(model, each, filling, question, int(answer[0])) for question in clip.questions
            ]
    for name in benchmark.methods:
        missing = [n for n in asked if benchmark.missing(n, name)]
        if missing:
            _score_method(benchmark, name, {n: asked[n] for n in missing})


def _ask(model: LoadedModel, clip: Tensor, filling: Tensor, question: Question, top: int) -> _Asked:
    target = top if question.target is None else question.target
    copies = Copies(model.module, clip, filling, model.layout.grid, target)
    return _Asked(clip[None], target, question, copies)


def _score_method(benchmark: Benchmark, name: str, asked: Mapping[int, list[_Asked]]) -> None:
    """Put a method's scores into the store; of a clip with several questions, their means."""
    flat = [(number, each) for number, questions in asked.items() for each in questions]
    maps = explain_clips(
        benchmark,
        name,
        torch.cat([each.inputs for _, each in flat]),
        [each.target for _, each in flat],
        [number for number, _ in flat],
    )
    found: dict[int, list[dict[str, float]]] = {number: [] for number in asked}
    for (number, each), values in zip(flat, maps, strict=True):
        again = partial(_explain_again, benchmark, name, each, number)
        question = each.question
        trial = Trial(
            values,
            each.copies,
            question.mask,
            question.event,
            benchmark.seed,
            again,
            rival=question.rival,
        )
        wanted = benchmark.missing(number, name)
        found[number].append({metric: METRICS.get(metric).score(trial) for metric in wanted})
    for number, rows in found.items():
        means = {metric: float(np.mean([row[metric] for row in rows])) for metric in rows[0]}
        benchmark.store.put(means, number, name)


def _explain_again(
    benchmark: Benchmark,
    name: str,
    asked: _Asked,
    number: int,
    *,
    target: int | None = None,
    module: nn.Module | None = None,
    inputs: Tensor | None = None,
) -> Float32:
    """A clip's map for another class, of another module in the model's place, or of other inputs.

    All by the same method; [T', h, w].
    """
    if module is not None:
        benchmark = replace(benchmark, model=replace(benchmark.model, module=module))
    clip = asked.inputs if inputs is None else inputs
    (values,) = explain_clips(
        benchmark, name, clip, [asked.target if target is None else target], [number]
    )
    return values


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


def explain_clips(
    benchmark: Benchmark,
    name: str,
    inputs: Tensor,
    targets: Sequence[int],
    numbers: Sequence[int],
) -> list[Float32]:
    """Normalised clips [B, T, 3, h, w] in, a method's maps [T', h, w], as they are scored, out."""
    model, post = benchmark.model, _told_post(benchmark.post)
    explained = explain_batch(
        model.module,
        model.layout,
        inputs,
        get_method(name),
        benchmark.options,
        target=targets,
        clip_indices=numbers,
        given=model.input,
    )
    return [postprocess(values, **post) for values in explained.values]
