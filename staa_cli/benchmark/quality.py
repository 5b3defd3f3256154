"""`staa benchmark quality`: scores of methods and trivial baselines on clips of a data set."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor, nn

from staa_cli import __version__
from staa_cli.benchmark.agreement import replacement_agreement
from staa_cli.benchmark.datasets import DATASETS, Dataset, Question, Sample
from staa_cli.benchmark.datasets.base import declared_name
from staa_cli.benchmark.requirements import check_metrics
from staa_cli.benchmark.store import Store
from staa_cli.config.settings import PostSettings
from staa_cli.errors import StaaError
from staa_cli.evaluation.base import METRICS, Trial, library_versions
from staa_cli.evaluation.localization import coverage
from staa_cli.failures import understood
from staa_cli.memory import memory_for
from staa_cli.methods import METHODS, Options, get_method
from staa_cli.methods.perturbation.base import PerturbedClip, draw_seed, replacement_for
from staa_cli.methods.postprocess import postprocess
from staa_cli.methods.run import explain_batch, predict_batch
from staa_cli.models.load import LoadedModel
from staa_cli.paths import path_fields, textual
from staa_cli.references import code_sha256, is_reference, load_reference
from staa_cli.registry import Registry
from staa_cli.schema import SCHEMA_VERSION, Float32
from staa_cli.statistics import Interval, bootstrap

COST = "forwards"
"""Key in the store of a map's counted cost in forward passes."""

WHOLE = -1
"""Clip number in the store for facts about the whole data set."""

OnProgress = Callable[[int, int], None]


@dataclass(frozen=True)
class Benchmark:
    """The setup of a quality benchmark.

    Args:
        model: to explain.
        dataset: of `open_dataset`.
        methods: their names.
        metrics: their names.
        options: of all methods.
        seed: of the random choices of methods and metrics.
        post: threshold and focus of all maps; none by default.
        store: of earlier and new scores.

    Raises:
        UsageError: a name is unknown, a method does not fit the model or does not support that many
            samples, or a metric needs ground truth that the data set lacks, or a model trained with
            random masks.
        UnavailableError: a package that a method needs is not installed.
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
            method = get_method(name)
            method.check(self.model.module, self.model.layout, self.options)
            method.perturbations(self.model.layout, self.options)
        check_metrics(self.metrics, self.dataset, self.model)

    def is_scored(self, number: int) -> bool:
        """Whether nothing is left to measure on a clip."""
        clip = self.store.get(number)
        if clip is None or not clip["scored"]:
            return clip is not None
        return not any(self.missing(number, method) for method in self.methods)

    def known(self, number: int, method: str) -> dict[str, float]:
        """The stored scores of a method on a clip by metric, and its `COST`."""
        row = self.store.get(number, _stored(METHODS, method)) or {}
        keys = {name: _stored(METRICS, name) for name in self.metrics} | {COST: COST}
        return {name: row[key] for name, key in keys.items() if key in row}

    def missing(self, number: int, method: str) -> list[str]:
        """Metrics without a stored score of a method on a clip."""
        known = self.known(number, method)
        return [name for name in self.metrics if name not in known]

    def scored(self, clips: int) -> list[int]:
        """Numbers of the clips with all scores."""
        done = (n for n in range(clips) if self.is_scored(n))
        return [n for n in done if (self.store.get(n) or {})["scored"]]


def _stored(registry: Registry[Any], name: str) -> str:
    """Key of a name in the store, with the package or the hash of code from outside staa."""
    if is_reference(name):
        return f"{name} {code_sha256(load_reference(name, 'Class'))}"
    package = registry.package_of(name)
    return name if package is None else f"{name} of {package}"


def measure_quality(
    benchmark: Benchmark,
    clips: int,
    *,
    on_progress: OnProgress = lambda done, total: None,
    on_held_out: OnProgress = lambda done, total: None,
    on_problem: Callable[[str, StaaError], None] = lambda name, error: None,
) -> dict[str, Any]:
    """Run a benchmark, and return means with 95 % intervals as plain data.

    Labeled clips are scored only if the model classifies them correctly: `correct` of `labeled`.

    Args:
        benchmark: what to measure.
        clips: maximum number of clips.
        on_progress: called with (done, total), in clips times methods.
        on_held_out: called with (videos done, total) while held-out accuracy is measured.
        on_problem: called with the name of an unreadable clip and the error; the run continues.
    """
    steps, clips = len(benchmark.methods), min(clips, benchmark.dataset.count or clips)
    if benchmark.store.get(WHOLE) is None and (held_out := benchmark.dataset.held_out(on_held_out)):
        benchmark.store.put({"held_out": held_out}, WHOLE)
    for number in range(clips):
        if not benchmark.is_scored(number):
            try:
                sample = benchmark.dataset.sample(number)
            except Exception as error:  # any error concerns this clip alone
                on_problem(benchmark.dataset.describe(number), understood(error))
            else:
                for step in _score(benchmark, number, sample):
                    on_progress(number * steps + step, clips * steps)
        on_progress((number + 1) * steps, clips * steps)
    return _result(benchmark, clips)


def store_header(benchmark: Benchmark) -> dict[str, Any]:
    """Everything that scores depend on besides the clip, the method, and the metric."""
    dataset = benchmark.dataset
    header = {
        "staa_version": __version__,
        "device": benchmark.model.device.type,
        "precision": benchmark.model.precision,
        "weights_sha256": benchmark.model.info.weights_sha256,
        "output": benchmark.model.info.output,
        "dataset": dataset.name,
        "split": getattr(dataset, "split", None),
        "seed": benchmark.seed,
        "options": asdict(benchmark.options),
        "post": _post_settings(benchmark.post),
    }
    if (clips := dataset.fingerprint()) is not None:
        header["videos"] = clips
    if (package := DATASETS.package_of(declared_name(dataset.name))) is not None:
        header["dataset_package"] = package
    return dict(textual(header))


def _result(benchmark: Benchmark, clips: int) -> dict[str, Any]:
    model, store = benchmark.model, benchmark.store
    scored = benchmark.scored(clips)
    facts = [fact for n in range(clips) if (fact := store.get(n)) is not None]
    verdicts = [fact.get("correct", fact["scored"]) for fact in facts]
    labeled = sum(verdict is not None for verdict in verdicts)
    has_labels, correct = "label" in benchmark.dataset.truth, verdicts.count(True)
    scores = {
        (method, name): [benchmark.known(n, method)[name] for n in scored]
        for method in benchmark.methods
        for name in benchmark.metrics
    }
    shares = [share for n in scored if (share := (store.get(n) or {})["share"]) is not None]
    rows = result_rows(scores, benchmark.methods[0], benchmark.seed) if scored else []
    return {
        "schema_version": SCHEMA_VERSION,
        "staa_version": __version__,
        "model": model.info.name,
        "weights_sha256": model.info.weights_sha256,
        "output": model.info.output,
        "dataset": benchmark.dataset.name,
        "split": getattr(benchmark.dataset, "split", None),
        "seed": benchmark.seed,
        "clips": clips,
        "of": benchmark.dataset.count,
        "scored": len(scored),
        "labeled": labeled if has_labels else None,
        "correct": correct if has_labels else None,
        "accuracy": correct / labeled if labeled else None,
        "mask_share": float(np.mean(shares)) if shares else None,
        "held_out": (store.get(WHOLE) or {}).get("held_out"),
        "options": asdict(benchmark.options),
        "post": _post_settings(benchmark.post),
        "precision": model.precision,
        "device": str(model.device),
        "versions": library_versions(),
        "compared_to": benchmark.methods[0],
        "forwards": _means(
            {m: [benchmark.known(n, m).get(COST) for n in scored] for m in benchmark.methods}
        ),
        "results": rows,
        "replacement_agreement": replacement_agreement(rows),
        "per_clip": [
            {"clip": n, **path_fields(benchmark.dataset.describe(n), "name"), "scored": n in scored}
            | {"said": (store.get(n) or {}).get("said")}
            | {m: _clip_scores(benchmark.known(n, m), benchmark.metrics) for m in benchmark.methods}
            for n in range(clips)
        ],
    }


def _means(rows: Mapping[str, Sequence[float | None]]) -> dict[str, float]:
    """The mean of every row; rows without numbers are omitted."""
    kept = {name: [v for v in row if v is not None] for name, row in rows.items()}
    return {name: float(np.mean(row)) for name, row in kept.items() if row}


def _post_settings(post: PostSettings) -> dict[str, Any]:
    """Postprocessing of maps before scoring."""
    names = ("threshold", "threshold_value", "focus_sigma", "focus_gamma")
    return {name: getattr(post, name) for name in names}


def _clip_scores(
    scores: Mapping[str, float] | None, metrics: Sequence[str]
) -> dict[str, float | None]:
    """Scores of one clip as JSON data; None if undefined, or if the clip was not scored."""
    values = {name: (scores or {}).get(name) for name in metrics}
    return {n: None if v is None or np.isnan(v) else v for n, v in values.items()}


@dataclass(frozen=True, eq=False)
class _PreparedQuestion:
    """A question with its model input and target, ready to be scored."""

    inputs: Tensor
    """[1, T, 3, h, w]."""
    target: int
    question: Question
    perturbed: PerturbedClip


def _score(benchmark: Benchmark, number: int, clip: Sample) -> Iterator[int]:
    """Store the missing scores of a clip; yields the number of methods done."""
    model = benchmark.model
    inputs = model.place(clip.preprocess(model))
    ranking = predict_batch(model.module, inputs)[0].argsort()[::-1]  # highest score first
    targets = {int(label) for label in ranking[: len(clip.questions)]}
    masks = [q.mask for q in clip.questions if q.mask is not None]
    labels = {q.target for q in clip.questions if q.target is not None}
    correct = clip.correct
    if correct is None and labels:
        correct = targets == labels
    share = [float(coverage(mask, model.layout.grid).mean()) for mask in masks]
    facts: dict[str, Any] = {"scored": correct is not False, "correct": correct}
    if clip.correct is None:  # else the questions are about parts
        facts["said"] = model.labels[int(ranking[0])]
    benchmark.store.put(facts | {"share": float(np.mean(share)) if share else None}, number)
    if correct is False:
        return
    seeds = [draw_seed(benchmark.seed, number)]
    replacement = replacement_for(inputs, benchmark.options.replacement, model.input, seeds)[0]
    prepared = [
        _prepare(benchmark, inputs, replacement, question, int(ranking[0]), number)
        for question in clip.questions
    ]
    for step, name in enumerate(benchmark.methods):
        if benchmark.missing(number, name):
            with memory_for(f"{name} of clip {number}", model.device):
                _score_method(benchmark, name, number, prepared)
        yield step + 1


def _prepare(
    benchmark: Benchmark,
    inputs: Tensor,
    replacement: Tensor,
    question: Question,
    top: int,
    number: int,
) -> _PreparedQuestion:
    model, seed = benchmark.model, draw_seed(benchmark.seed, number)
    target = top if question.target is None else question.target
    grid, output = model.layout.grid, model.info.output
    perturbed = PerturbedClip(
        model.module, inputs[0], replacement, grid, target, seed, output=output
    )
    return _PreparedQuestion(inputs, target, question, perturbed)


def _score_method(
    benchmark: Benchmark, name: str, number: int, prepared: Sequence[_PreparedQuestion]
) -> None:
    """Store a method's scores on a clip, as means over its questions."""
    rows = []
    for item in prepared:
        values, forwards = explain_one(benchmark, name, item.inputs, item.target, number)
        trial = Trial(
            values,
            item.perturbed,
            item.question.mask,
            item.question.event,
            partial(_explain_again, benchmark, name, item, number),
            distractor=item.question.distractor,
            random_masks=benchmark.model.info.random_masks,
        )
        missing = benchmark.missing(number, name)
        scores = {metric: METRICS.get(metric).score(trial) for metric in missing}
        rows.append(scores | {COST: forwards})
    means = {metric: float(np.mean([row[metric] for row in rows])) for metric in rows[0]}
    scores = {key if key == COST else _stored(METRICS, key): mean for key, mean in means.items()}
    benchmark.store.put(scores, number, _stored(METHODS, name))


def _explain_again(
    benchmark: Benchmark,
    name: str,
    prepared: _PreparedQuestion,
    number: int,
    *,
    target: int | None = None,
    module: nn.Module | None = None,
    inputs: Tensor | None = None,
) -> Float32:
    """Compute another map [T', h, w] of a clip with the same method.

    It may be for another class, with another module instead of the model, or for other inputs.
    """
    if module is not None:
        benchmark = replace(benchmark, model=replace(benchmark.model, module=module))
    clip = prepared.inputs if inputs is None else inputs
    target = prepared.target if target is None else target
    return explain_one(benchmark, name, clip, target, number)[0]


def result_rows(
    scores: Mapping[tuple[str, str], Sequence[float]], first: str, seed: int
) -> list[dict[str, Any]]:
    """One row per method and metric; its mean is None if no clip has a score.

    Rows of other methods include the clip-wise difference to the first method.
    """
    rows = []
    for (method, metric), values in scores.items():
        row: dict[str, Any] = {"method": method, "metric": metric}
        if np.isnan(values).all():
            rows.append(row | dict.fromkeys(Interval._fields) | {"n": 0})
            continue
        row |= bootstrap(values, seed)._asdict()
        gaps = np.subtract(values, scores[first, metric])
        if method != first and not np.isnan(gaps).all():
            row["difference"] = bootstrap(gaps.tolist(), seed)._asdict()
        rows.append(row)
    return rows


def explain_one(
    benchmark: Benchmark, name: str, inputs: Tensor, target: int, number: int
) -> tuple[Float32, float]:
    """Explain a normalized clip [1, T, 3, h, w] with a method.

    Returns the postprocessed map [T', h, w], and its cost in forward passes.
    """
    model = benchmark.model
    explained = explain_batch(
        model.module,
        model.layout,
        inputs,
        get_method(name),
        benchmark.options,
        target=target,
        clip_indices=[number],
        given=model.input,
        output=model.info.output,
    )
    values = postprocess(explained.values[0], **_post_settings(benchmark.post))
    return values, explained.passes_per_clip
