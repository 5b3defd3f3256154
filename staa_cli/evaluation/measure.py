"""Is an explanation worth more than none? Its clips taken away and brought back, and baselines."""

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
"""Clips that are asked about, at most."""
_STEPS: dict[Depth, int] = {"full": STEPS, "quick": STEPS // 5}
"""A quick check has every fifth point of a full one's curves."""


def perturbations(methods: int, depth: Depth) -> int:
    """Perturbed copies of a clip that so many methods and the baselines are checked by.

    All curves begin and end with the same two.
    """
    return 2 + 2 * (_STEPS[depth] - 1) * (methods + len(BASELINES))


def chosen(predictions: Sequence[Prediction]) -> list[int]:
    """Positions of the clips that speak most for the class, in their order.

    One in which it is less than half as probable as in the best has nothing to lose; of raw values,
    a half says nothing.
    """
    order = sorted(range(len(predictions)), key=lambda n: -predictions[n].score)
    best = predictions[order[0]]
    least = best.score / 2 if best.is_probability else -np.inf
    return sorted(n for n in order[:CLIPS] if predictions[n].score >= least)


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
    """One clip's curves by method: those given first, then the baselines'.

    Args:
        model: that is asked.
        clip: normalized [1, T, 3, h, w].
        number: of the clip in its video, for what is random.
        attributions: of the clip, by one method each.
        target: class whose score is asked for.
        options: what stands where something is removed, and the seed.
        depth: in how many steps.
        on_perturbed: told how many more perturbed copies have been asked about.
    """
    inputs = model.place(clip)
    seed = draw_seed(options.seed, number)
    replacement = replacement_for(inputs, options.replacement, model.input, [seed])[0]
    asked = PerturbedClip(
        model.module,
        inputs[0],
        replacement,
        model.layout.grid,
        target,
        seed,
        on_perturbed,
        model.info.output,
    )
    maps = {each.method: each.values for each in attributions}
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
    return {name: perturbation_curves(asked, each, _STEPS[depth]) for name, each in maps.items()}


def summarize(
    found: Sequence[Mapping[str, Curves]],
    clips: Sequence[int],
    replacement: str,
    depth: Depth,
    passes: int,
) -> Faithfulness:
    """Curves of clips to their means, those to areas, and gains of clips to an interval."""
    rows = []
    for name in found[0]:
        deletion = np.mean([curves[name].deletion for curves in found], axis=0)
        insertion = np.mean([curves[name].insertion for curves in found], axis=0)
        gains = bootstrap([gain(curves[name]) for curves in found])
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
    """Deletion and insertion of the clips that speak most for a class, beside baselines.

    Args:
        reader: of all clips.
        model: that is asked.
        predictions: a clip each; their target is what is asked for.
        attributions: of all clips, a row for every method.
        options: what stands where something is removed, and the seed.
        depth: in how many steps.
    """
    positions = chosen(predictions)
    part = reader.of(positions)

    def ask(inputs: Tensor, batch: Sequence[int]) -> dict[str, Curves]:
        number = positions[batch[0]]
        rows = [row[number] for row in attributions]
        target = predictions[number].target
        return clip_curves(model, inputs, number, rows, target, options, depth, part.asked)

    count = perturbations(len(attributions), depth)
    curves = [found for _, found in part.forward("faithfulness", ask, count)]
    passes = part.perturbed_in_all + len(positions) * len(BASELINES)  # whose maps come with a pass
    return summarize(curves, positions, options.replacement, depth, passes)
