"""Scores and attributions of the clips of a video, for one class or several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from staa_cli.explain.clips import ClipReader
from staa_cli.methods import Method, Options
from staa_cli.methods.run import Explained, Target, collect, explain_batch, predict_batch
from staa_cli.methods.stored_outputs import StoredOutputs
from staa_cli.models.load import LoadedModel
from staa_cli.schema import (
    Attribution,
    ClassAttributions,
    Float32,
    Float64,
    Prediction,
    Reason,
)

TOP = 5
"""Number of classes of which raw attributions are kept: those that a report names."""


@dataclass(frozen=True, slots=True, eq=False)
class Attributed:
    """Scores and attributions of the clips of a plan."""

    scores: Float32
    """[C, classes] probabilities, or raw values."""
    pooled: Float32
    """[classes] for all clips together."""
    target: int
    """The explained class; by default that with the highest pooled score."""
    attributions: tuple[Attribution, ...]
    """[C]."""
    by_class: ClassAttributions | None = None
    """For the most probable classes, if requested and the passes serve them."""

    def prediction(self, model: LoadedModel, reason: Reason) -> Prediction:
        """The prediction for all clips together; `reason` is for the explained class."""
        return Prediction(self.pooled, self.target, reason, model.labels, model.info.output)

    def predictions(self, model: LoadedModel, reason: Reason) -> tuple[Prediction, ...]:
        """The prediction of each clip [C], for the same class."""
        output = model.info.output
        return tuple(
            Prediction(scores, self.target, reason, model.labels, output) for scores in self.scores
        )


def attend(
    model: LoadedModel,
    inputs: Tensor,
    method: Method,
    options: Options,
    target: Target,
    clip_indices: Sequence[int],
    on_perturbed: Callable[[int], None] = lambda count: None,
    keep: bool = False,
    first_pass: AbstractContextManager[None] | None = None,
) -> Explained:
    """Explain one batch of normalized clips [B, T, 3, h, w] on the CPU; see `explain_batch`."""
    return explain_batch(
        model.module,
        model.layout,
        model.place(inputs),
        method,
        options,
        target=target,
        clip_indices=clip_indices,
        given=model.input,
        on_perturbed=on_perturbed,
        output=model.info.output,
        keep=keep,
        first_pass=first_pass,
    )


def attributions_of(
    explained: Explained, model: LoadedModel, method: Method, options: Options
) -> list[Attribution]:
    """The attribution of each clip, with its properties."""
    of_class = method.is_class_specific(model.layout, options)
    return [
        Attribution(
            values=values,
            method=method.name,
            target=target if of_class else None,
            layers=method.blocks(model.layout, options),
            units=method.units_of(model.info.output),
            signed=method.is_signed(model.info.output),
            passes=explained.passes_per_clip,
            cls_self_mass=mass,
            space_variation=in_space,
            attention_variation=over_all,
        )
        for values, target, mass, in_space, over_all in zip(
            explained.values,
            explained.targets,
            explained.cls_self_mass,
            explained.space_variation,
            explained.attention_variation,
            strict=True,
        )
    ]


def attribute(
    reader: ClipReader,
    model: LoadedModel,
    method: Method,
    options: Options,
    targets: Sequence[int | None],
    top: int = 0,
) -> list[Attributed]:
    """Explain all clips for one class, or for several.

    If the method's passes serve every class, no clip is passed twice: their outputs are stored
    until the most probable class is known, and the classes are selected then.

    Args:
        reader: of all clips.
        model: to explain.
        method: attribution method.
        options: of the method.
        targets: classes to explain; None for the most probable one of all clips.
        top: number of most probable classes to add, if the passes serve them.
    """
    if not method.serves_all:
        return [_one_by_one(reader, model, method, options, target) for target in targets]
    first, *others = targets
    of_class = method.is_class_specific(model.layout, options)
    keep = of_class and (first is None or bool(others) or top > 0)
    with StoredOutputs() as kept:
        stored = kept if keep else None
        explained = _explain(reader, model, method, options, first, "explaining", stored)
        pooled = pool(explained.scores, model.info.background)
        order = [int(index) for index in np.argsort(-pooled, kind="stable")]
        classes = [order[0] if target is None else target for target in targets]
        best = order[:top]
        with reader.stopwatch("stitch"):
            maps = kept.maps(method, {*classes, *best}) if keep else {}
    by_class = None
    if keep and best:
        by_class = ClassAttributions(tuple(best), np.stack([maps[index] for index in best]))
    results = []
    for target in classes:
        values = maps.get(target, explained.values)
        of_target = replace(explained, values=values, targets=(target,) * len(reader))
        attributions = tuple(attributions_of(of_target, model, method, options))
        results.append(Attributed(explained.scores, pooled, target, attributions, by_class))
    return results


def _one_by_one(
    reader: ClipReader,
    model: LoadedModel,
    method: Method,
    options: Options,
    target: int | None,
) -> Attributed:
    """Explain all clips for one class by a method that needs the class before a pass.

    Without a given class, it is known only after the last clip. Each clip is then explained for the
    most probable class of all clips so far, and the few clips for which that was another class are
    explained again. For a method with many perturbed copies, a separate pass finds the class first.
    """
    background, copies = model.info.background, method.perturbations(model.layout, options)
    extra = 0.0
    if target is None and copies and len(reader) > 1:
        target, extra = most_probable(reader, model), 1.0
    running: Target = RunningPrediction(background) if target is None else target
    explained = _explain(reader, model, method, options, running, "explaining")
    pooled = pool(explained.scores, background)
    target = int(pooled.argmax()) if target is None else target
    wrong = [n for n, guess in enumerate(explained.targets) if guess != target]
    if wrong:
        again = _explain(reader.of(wrong), model, method, options, target, "explaining again")
        explained.values[wrong] = again.values
        extra += again.passes_per_clip * len(wrong) / len(reader)
    passes = explained.passes_per_clip + extra
    of_target = replace(explained, targets=(target,) * len(reader), passes_per_clip=passes)
    attributions = attributions_of(of_target, model, method, options)
    return Attributed(explained.scores, pooled, target, tuple(attributions))


def _explain(
    reader: ClipReader,
    model: LoadedModel,
    method: Method,
    options: Options,
    target: Target,
    stage: str,
    kept: StoredOutputs | None = None,
) -> Explained:
    """Explain all clips of a reader, in order; `kept` receives outputs that serve every class."""
    copies = method.perturbations(model.layout, options)

    def ask(inputs: Tensor, target: Target, plan: Sequence[int]) -> Explained:
        keep = kept is not None
        return attend(model, inputs, method, options, target, plan, reader.asked, keep)

    def work(inputs: Tensor, numbers: Sequence[int]) -> Explained:
        plan = [reader.number(position) for position in numbers]
        if copies:  # they fill batches of their own, and report progress
            batch = ask(inputs, target, plan)
        else:
            batch = reader.turns.attend(ask, inputs, target, plan, reader.stopwatch)
        if kept is not None and batch.reading is not None:
            kept.add(numbers, batch.reading)
        return replace(batch, reading=None)

    return collect(reader.forward(stage, work, copies, takes_turn=not copies), len(reader))


class RunningPrediction:
    """The most probable class of all clips so far, updated clip by clip."""

    def __init__(self, background: int | None) -> None:
        self._background = background
        self._sum: Float64 | float = 0.0

    def __call__(self, scores: Float32) -> list[int]:
        """Update with the scores of the next clips [B, classes]."""
        guesses = []
        for row in scores:
            self._sum = self._sum + row * _weight(row, self._background)
            guesses.append(int(np.argmax(self._sum)))
        return guesses


def most_probable(reader: ClipReader, model: LoadedModel) -> int:
    """The most probable class of all clips together."""

    def predict(inputs: Tensor, numbers: Sequence[int]) -> Float32:
        return predict_batch(model.module, model.place(inputs), model.info.output)

    rows = np.empty((len(reader), len(model.labels)), np.float32)
    for numbers, scores in reader.forward("predicting", predict):
        rows[list(numbers)] = scores
    return int(pool(rows, model.info.background).argmax())


def pool(scores: Sequence[Float32] | Float32, background: int | None) -> Float32:
    """Mean of the scores of clips [C, classes] as the scores of the video [classes].

    Published evaluations do the same with several clips. It also holds for several labels: one that
    a single clip of ten shows has a tenth of its score in the video. Raw values keep their units.

    If a class means "nothing happens", a clip is weighted by one minus the probability of that
    class; otherwise a short event would be averaged out.
    """
    rows = np.asarray(scores, dtype=np.float64)
    weights = _weight(rows, background)
    return np.asarray((weights @ rows) / weights.sum(), np.float32)


def _weight(rows: Float32 | Float64, background: int | None) -> Float64:
    """Weights of clips from their probabilities [..., classes]."""
    if background is None:
        return np.ones(rows.shape[:-1])
    return np.asarray(1.0 - rows[..., background] + 1e-6, np.float64)
