"""Does an attribution depend on what it should: the weights, the class, the frames that matter?"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from staa_cli.evaluation.base import Trial, metric
from staa_cli.methods.perturbation.shapley import EXACT, coalitions, exact_shapley, over_frames
from staa_cli.statistics import rank_correlation, variation


@metric(
    better="lower",
    beatable=False,
    replaces=False,
    source="Adebayo et al. 2018 (arXiv 1810.03292), section 3",
)
def randomization(trial: Trial) -> float:
    """Mean rank correlation with the maps of models with shuffled weights, top blocks first."""
    if trial.again is None:
        return float("nan")
    correlations = []
    for module in cascade(trial.perturbed.model, trial.perturbed.seed):
        values = trial.again(module=module)
        correlations.append(rank_correlation(trial.values, values))
    return float(np.nanmean(correlations)) if not np.isnan(correlations).all() else float("nan")


@metric(
    better="lower",
    beatable=False,
    replaces=False,
    source="rank correlation of two classes' maps",
)
def class_sensitivity(trial: Trial) -> float:
    """Rank correlation with the map of the next most probable class; 1 if class-blind."""
    if trial.again is None:
        return float("nan")
    logits = trial.perturbed.model(trial.perturbed.clip[None])[0].float()
    if len(logits) == 1:  # there is no other
        return float("nan")
    logits[trial.perturbed.target] = -torch.inf
    return rank_correlation(trial.values, trial.again(target=int(logits.argmax())))


@metric(better="lower", beatable=False, source="in a clip without motion, no moment stands out")
def frozen(trial: Trial) -> float:
    """Coefficient of variation of the temporal score if all frames are the middle one.

    Nothing happens in such a clip, so any variation is spurious; a report calls below 0.05 flat.
    """
    if trial.again is None:
        return float("nan")
    clip = trial.perturbed.clip
    still = clip[len(clip) // 2].expand_as(clip)[None]
    return variation(trial.again(inputs=still).sum(axis=(1, 2), dtype=np.float64))


@metric(source="rank correlation with exact Shapley values of the frames")
def agreement(trial: Trial) -> float:
    """Rank correlation of the temporal score with the frames' exact Shapley values.

    NaN for clips with too many frames to score all coalitions.
    """
    frames = trial.perturbed.grid[0]
    if frames > EXACT:
        return float("nan")
    if "shapley" not in trial.perturbed.known:
        worth = trial.perturbed.keep(over_frames(coalitions(frames), trial.perturbed.grid))
        trial.perturbed.known["shapley"] = exact_shapley(worth).float().cpu().numpy()
    scores = trial.values.sum(axis=(1, 2))
    return rank_correlation(scores, trial.perturbed.known["shapley"])


def cascade(model: Any, seed: int = 0) -> Iterator[nn.Module]:
    """The model with more and more shuffled parts: from the top to the last block, the next, etc.

    At the end all parameters are shuffled. Shuffling keeps the values of a tensor and destroys what
    was learned. Parts are in the model's own order.
    """
    shuffled = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(seed)
    layers = shuffled.attention_layers().items()
    attention = {layer for (role, _), layer in layers if role in ("spatial", "temporal", "joint")}
    done: set[nn.Parameter] = set()
    for part, is_block in _parts(shuffled, attention):
        _shuffle(part.parameters(), generator)
        done |= {*part.parameters()}
        if is_block:
            yield shuffled
    _shuffle([p for p in shuffled.parameters() if p not in done], generator)
    yield shuffled


def _parts(module: nn.Module, attention: set[nn.Module]) -> Iterator[tuple[nn.Module, bool]]:
    """A module's parts from the top, and whether each is a block with attention."""
    for child in reversed(list(module.children())):
        if child in attention or attention.isdisjoint(child.modules()):
            yield child, child in attention
        elif isinstance(child, (nn.ModuleList, nn.Sequential)):
            for block in reversed(list(child)):
                yield block, not attention.isdisjoint(block.modules())
        else:
            yield from _parts(child, attention)


def _shuffle(parameters: Iterable[nn.Parameter], generator: torch.Generator) -> None:
    for parameter in parameters:
        order = torch.randperm(parameter.numel(), generator=generator).to(parameter.device)
        parameter.data = parameter.data.flatten()[order].view_as(parameter)
