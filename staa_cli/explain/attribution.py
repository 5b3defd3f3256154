"""Clips of a video -> scores, attributions for one class, and what those are worth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
)

TOP = 5
"""Of how many classes raw attributions are kept: of those that a report names."""


@dataclass(frozen=True, slots=True, eq=False)
class Attributed:
    """What the clips of a plan gave."""

    scores: Float32
    """[C, classes] probabilities, or raw values."""
    pooled: Float32
    """[classes] of all clips together."""
    target: int
    """The class that is explained; that of the highest pooled score where none was asked for."""
    attributions: tuple[Attribution, ...]
    """[C]."""
    by_class: ClassAttributions | None = None
    """Of the most probable classes, where they were asked for and the passes serve them."""


def attend(
    model: LoadedModel,
    inputs: Tensor,
    method: Method,
    options: Options,
    target: Target,
    clip_indices: Sequence[int],
    on_perturbed: Callable[[int], None] = lambda count: None,
    keep: bool = False,
) -> Explained:
    """Explain one batch of normalized clips [B, T, 3, h, w] that lies on the CPU."""
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
    )


def attributions_of(
    explained: Explained, model: LoadedModel, method: Method, options: Options
) -> list[Attribution]:
    """What was found of each clip, with all that a reader must know of it."""
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
            space_variation=variation,
        )
        for values, target, mass, variation in zip(
            explained.values,
            explained.targets,
            explained.cls_self_mass,
            explained.space_variation,
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

    Where the method's passes serve every class, no clip is passed twice: what they leave is kept
    until the most probable class is known, and each class is chosen then.

    Args:
        reader: of all clips.
        model: that is explained.
        method: how.
        options: of the method.
        targets: classes to explain; None for the most probable one of all clips.
        top: also of how many classes, the most probable ones, where the passes serve them.
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
        chosen = [order[0] if target is None else target for target in targets]
        best = order[:top]
        with reader.stopwatch("stitch"):
            maps = kept.maps(method, {*chosen, *best}) if keep else {}
    by_class = None
    if keep and best:
        by_class = ClassAttributions(tuple(best), np.stack([maps[index] for index in best]))
    results = []
    for target in chosen:
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
    """Explain all clips for one class by a method that has to know it before a pass.

    Where no class is asked for, it cannot be known before the last clip has been seen. Each clip is
    then explained for the class that it and those before it are most probably of, and the few for
    which that turns out to be another one are explained again. A method that asks about many
    copies is worth a pass of its own that finds the class.
    """
    background, copies = model.info.background, method.perturbations(model.layout, options)
    extra = 0.0
    if target is None and copies and len(reader) > 1:
        target, extra = most_probable(reader, model), 1.0
    wanted: Target = RunningPrediction(background) if target is None else target
    explained = _explain(reader, model, method, options, wanted, "explaining")
    pooled = pool(explained.scores, background)
    target = int(pooled.argmax()) if target is None else target
    other = [n for n, guess in enumerate(explained.targets) if guess != target]
    if other:
        again = _explain(reader.of(other), model, method, options, target, "explaining again")
        explained.values[other] = again.values
        extra += again.passes_per_clip * len(other) / len(reader)
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
    """All clips of a reader, in its order; `kept` receives what serves every class."""

    def work(inputs: Tensor, numbers: Sequence[int]) -> Explained:
        plan = [reader.number(position) for position in numbers]
        keep = kept is not None
        batch = attend(model, inputs, method, options, target, plan, reader.asked, keep)
        if kept is not None and batch.reading is not None:
            kept.add(numbers, batch.reading)
        return replace(batch, reading=None)

    copies = method.perturbations(model.layout, options)
    return collect(reader.forward(stage, work, copies), len(reader))


class RunningPrediction:
    """The class that all clips so far are most probably of, clip after clip."""

    def __init__(self, background: int | None) -> None:
        self._background = background
        self._sum: Float64 | float = 0.0

    def __call__(self, scores: Float32) -> list[int]:
        """Of the next clips, [B, classes]."""
        guesses = []
        for row in scores:
            self._sum = self._sum + row * _weight(row, self._background)
            guesses.append(int(np.argmax(self._sum)))
        return guesses


def most_probable(reader: ClipReader, model: LoadedModel) -> int:
    """The class that all clips together are most probably of."""

    def predict(inputs: Tensor, numbers: Sequence[int]) -> Float32:
        return predict_batch(model.module, model.place(inputs), model.info.output)

    rows = np.empty((len(reader), len(model.labels)), np.float32)
    for numbers, found in reader.forward("predicting", predict):
        rows[list(numbers)] = found
    return int(pool(rows, model.info.background).argmax())


def pool(scores: Sequence[Float32] | Float32, background: int | None) -> Float32:
    """Scores of clips [C, classes] in, of the video [classes] out: their mean.

    That is what published evaluations do with several clips, and it stays so where several classes
    may be right: a label that one clip of ten shows is a tenth of the video's. A mean of raw values
    is one in the same units.

    Where a class stands for "nothing happens here", a clip counts the less the more it is of that
    class: otherwise a short event would drown in the time before and after it.
    """
    rows = np.asarray(scores, dtype=np.float64)
    weights = _weight(rows, background)
    return np.asarray((weights @ rows) / weights.sum(), np.float32)


def _weight(rows: Float32 | Float64, background: int | None) -> Float64:
    """What clips count, of probabilities [..., classes]."""
    if background is None:
        return np.ones(rows.shape[:-1])
    return np.asarray(1.0 - rows[..., background] + 1e-6, np.float64)
