"""Faithfulness of the explanations of a video, by deletion and insertion, next to baselines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from torch import Tensor

from staa_cli.config.settings import Depth
from staa_cli.evaluation.base import BASELINES, STEPS, Curves, perturbation_curves
from staa_cli.evaluation.faithfulness import area, gain
from staa_cli.explain.clips import ClipReader
from staa_cli.methods import Options, get_method
from staa_cli.methods.perturbation.base import PerturbedClip, draw_seed, replacement_for
from staa_cli.methods.run import explain_batch
from staa_cli.models.load import LoadedModel
from staa_cli.schema import Attribution, Faithfulness, FaithfulnessRow, Prediction
from staa_cli.statistics import bootstrap

CLIPS = 4
"""Maximum of measured clips."""
_STEPS: dict[Depth, int] = {"full": STEPS, "quick": STEPS // 5}
"""A quick check has every fifth point of a full one's curves."""


def perturbations(methods: int, depth: Depth) -> int:
    """Number of perturbed copies of a clip for this many methods and the baselines.

    All curves share their first and last point.
    """
    return 2 + 2 * (_STEPS[depth] - 1) * (methods + len(BASELINES))


def chosen(predictions: Sequence[Prediction]) -> list[int]:
    """Positions of the clips with the highest scores of the class, in order.

    Clips with less than half of the best probability are left out, since they have little to lose;
    for raw values, a half is meaningless.
    """
    order = sorted(range(len(predictions)), key=lambda n: -predictions[n].score)
    best = predictions[order[0]]
    minimum = best.score / 2 if best.is_probability else -np.inf
    return sorted(n for n in order[:CLIPS] if predictions[n].score >= minimum)


def clip_curves(
    model: LoadedModel,
    clip: Tensor,
    number: int,
    attributions: Sequence[Attribution],
    target: int,
    options: Options,
    depth: Depth,
    on_perturbed: Callable[[int], None],
) -> dict[str, Curves]:
    """One clip's curves by method: the given attributions first, then the baselines.

    Args:
        model: that scores the copies.
        clip: normalized [1, T, 3, h, w].
        number: of the clip in its video, for random draws.
        attributions: of the clip, one per method.
        target: class whose score is measured.
        options: the replacement and the seed.
        depth: sets the number of steps.
        on_perturbed: called with the number of copies that were passed since the last call.
    """
    inputs = model.place(clip)
    seed = draw_seed(options.seed, number)
    replacement = replacement_for(inputs, options.replacement, model.input, [seed])[0]
    perturbed = PerturbedClip(
        model.module,
        inputs[0],
        replacement,
        model.layout.grid,
        target,
        seed,
        on_perturbed,
        model.info.output,
    )
    maps = {attribution.method: attribution.values for attribution in attributions}
    for name in BASELINES:
        baseline = explain_batch(
            model.module,
            model.layout,
            inputs,
            get_method(name),
            Options(seed=options.seed),
            clip_indices=(number,),
        )
        maps.setdefault(name, baseline.values[0])
    steps = _STEPS[depth]
    return {name: perturbation_curves(perturbed, values, steps) for name, values in maps.items()}


def summarize(
    by_clip: Sequence[Mapping[str, Curves]],
    clips: Sequence[int],
    replacement: str,
    depth: Depth,
    passes: int,
) -> Faithfulness:
    """Mean curves over clips, their areas, and intervals of the gain."""
    rows = []
    for name in by_clip[0]:
        deletion = np.mean([curves[name].deletion for curves in by_clip], axis=0)
        insertion = np.mean([curves[name].insertion for curves in by_clip], axis=0)
        gains = bootstrap([gain(curves[name]) for curves in by_clip])
        rows.append(
            FaithfulnessRow(
                name,
                deletion.astype(np.float32),
                insertion.astype(np.float32),
                area(deletion),
                area(insertion),
                gains.low,
                gains.high,
            )
        )
    return Faithfulness(replacement, tuple(clips), tuple(rows), depth == "quick", passes)


def measure_faithfulness(
    reader: ClipReader,
    model: LoadedModel,
    predictions: Sequence[Prediction],
    attributions: Sequence[Sequence[Attribution]],
    options: Options,
    depth: Depth,
) -> Faithfulness:
    """Deletion and insertion on the clips with the highest scores, next to baselines.

    Args:
        reader: of all clips.
        model: that scores the copies.
        predictions: one per clip; the score of their target is measured.
        attributions: of all clips, a row for every method.
        options: the replacement and the seed.
        depth: sets the number of steps.
    """
    positions = chosen(predictions)
    part = reader.of(positions)

    def measure(inputs: Tensor, batch: Sequence[int]) -> dict[str, Curves]:
        number = positions[batch[0]]
        rows = [row[number] for row in attributions]
        target = predictions[number].target
        return clip_curves(model, inputs, number, rows, target, options, depth, part.asked)

    count = perturbations(len(attributions), depth)
    curves = [result for _, result in part.forward("faithfulness", measure, count)]
    passes = part.perturbed_in_all + len(positions) * len(BASELINES)  # one pass per baseline map
    return summarize(curves, positions, options.replacement, depth, passes)
