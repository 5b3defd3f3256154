"""The class of metrics, their input (one clip and one attribution of it), and the registry."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from staa_cli import entry_points
from staa_cli.methods.perturbation.base import PerturbedClip
from staa_cli.registry import Registry
from staa_cli.schema import Bool, Float32, Float64, RandomMasks

BASELINES = ("random", "center", "frame-difference")
"""Methods that do not use the model; a method that does not beat them is uninformative."""
STEPS = 50
"""Steps of a deletion or insertion curve."""

Known = Literal["label", "mask", "event", "distractor"]
"""Kinds of ground truth: the class, the place, and the time of the event, and the place of another
class's actor."""


@dataclass(frozen=True, slots=True, eq=False)
class Curves:
    """Score of the class during deletion and during insertion."""

    deletion: Float64
    """[steps + 1], from the whole clip to nothing, the most relevant first."""
    insertion: Float64
    """[steps + 1], from nothing to the whole clip, the most relevant first."""
    mean_value: Float64
    """[steps] mean attribution of the tokens of each step."""


class Again(Protocol):
    """Computes another map with the same method."""

    def __call__(
        self,
        *,
        target: int | None = None,
        module: nn.Module | None = None,
        inputs: Tensor | None = None,
    ) -> Float32:
        """[T', h, w]; None means unchanged."""


@dataclass(frozen=True, eq=False)
class Trial:
    """One clip and one attribution of it.

    Args:
        values: raw attribution [T', h, w].
        perturbed: scores the clip with parts of it removed.
        mask: where the actor is, [T, H, W]; None for a clip without ground truth.
        event: frames of the event, [T].
        again: computes another map [T', h, w] with the same method: for another `target`, with
            another `module` instead of the model, or for other `inputs` [1, T, 3, h, w].
        distractor: where the actor of another class is, [T, H, W]; None if there is none.
        random_masks: that the model was trained with; None if it was trained without.
    """

    values: Float32
    perturbed: PerturbedClip
    mask: Bool | None = None
    event: Bool | None = None
    again: Again | None = None
    distractor: Bool | None = None
    random_masks: RandomMasks | None = None

    @cached_property
    def curves(self) -> Curves:
        """Curves over tokens, in `STEPS` steps."""
        return perturbation_curves(self.perturbed, self.values, STEPS)

    def curves_under(self, replacement: str) -> Curves:
        """The same with another replacement; `curves` if it is the clip's own."""
        perturbed = self.perturbed.under(replacement)
        if perturbed is self.perturbed:
            return self.curves
        return perturbation_curves(perturbed, self.values, STEPS)

    @cached_property
    def frame_curves(self) -> Curves:
        """Curves over whole frames, in order of the temporal score."""
        scores = self.values.sum(axis=(1, 2), keepdims=True, dtype=np.float64)
        return perturbation_curves(self.perturbed, np.broadcast_to(scores, self.values.shape), None)


@dataclass(frozen=True, slots=True, eq=False)
class Metric:
    """A function that scores an attribution."""

    score: Callable[[Trial], float]
    """NaN if undefined. The first line of its docstring appears in the list of metrics."""
    better: Literal["higher", "lower"]
    truth: frozenset[Known]
    """Required ground truth; the score is NaN without it."""
    source: str
    random_masks: bool = False
    """Whether it needs a model that was trained with random masks."""
    beatable: bool = True
    """Whether comparing with a baseline is meaningful; a map that does not use the model may score
    perfectly on independence of something."""
    replaces: bool = True
    """Whether it replaces parts of the clip as the user says, not in its own way or not at all."""

    def __call__(self, trial: Trial) -> float:
        """The score of a trial."""
        return self.score(trial)


def metric(
    *,
    source: str,
    better: Literal["higher", "lower"] = "higher",
    truth: Collection[Known] = (),
    random_masks: bool = False,
    beatable: bool = True,
    replaces: bool = True,
) -> Callable[[Callable[[Trial], float]], Metric]:
    """A decorator that turns a function of a trial into a `Metric`, with its fields as arguments.

    Its name comes from the entry point of the group ``staa.metrics`` that declares it.
    """
    return lambda score: Metric(
        score, better, frozenset(truth), source, random_masks, beatable, replaces and not truth
    )


def _accept(name: str, declared: Any) -> Metric:
    if not isinstance(declared, Metric):
        raise TypeError("expected a staa_cli.evaluation.base.Metric")
    return declared


METRICS: Registry[Metric] = Registry("metric", entry_points.METRICS, _accept)
register_metric = METRICS.register
"""A decorator that registers a `Metric` under a name for the current process."""


def list_metrics() -> list[dict[str, Any]]:
    """Descriptions of all metrics that load, in the order of `METRICS.names()`."""
    return [
        {
            "name": name,
            "summary": inspect.cleandoc(metric.score.__doc__ or "").partition("\n")[0].rstrip("."),
            "better": metric.better,
            "truth": bool(metric.truth),
            "random_masks": metric.random_masks,
            "source": metric.source,
        }
        for name, metric in METRICS.items()
    ]


def library_versions() -> dict[str, str | None]:
    """Versions of the libraries behind the scores; None for those not installed."""
    versions: dict[str, str | None] = {}
    for name in ("torch", "captum"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = None
    return versions


def perturbation_curves(
    perturbed: PerturbedClip, values: Float32 | Float64, steps: int | None
) -> Curves:
    """Delete and insert a clip's tokens in order of relevance, both in the same steps.

    Ties are in random order: a fixed one would favor a corner of the picture.

    Args:
        perturbed: scores the copies; its seed sets the order of ties.
        values: [T', h, w].
        steps: their number; None for one step per frame, whose tokens all have the same value.
    """
    step_of = _steps(values, steps, perturbed.seed)  # [T', h, w], 1 for the first step
    count = int(step_of.max())
    moved = torch.from_numpy(step_of)[None] <= torch.arange(1, count)[:, None, None, None]
    full, empty = perturbed.ends()  # shared by all curves of the clip
    between = perturbed.keep(torch.cat([~moved, moved]).float())
    deletion = torch.cat([full, between[: count - 1], empty]).double().cpu().numpy()
    insertion = torch.cat([empty, between[count - 1 :], full]).double().cpu().numpy()
    means = [float(values[step_of == step].mean()) for step in range(1, count + 1)]
    return Curves(deletion, insertion, np.asarray(means))


def _steps(values: Float32 | Float64, steps: int | None, seed: int) -> np.ndarray:
    """The step that moves each token, int64 [T', h, w], from 1."""
    if steps is None:
        ranks = falling(values[:, 0, 0], seed) + 1
        return np.broadcast_to(ranks[:, None, None], values.shape).copy()
    ranks = falling(values, seed)
    count = min(steps, ranks.size)
    return ranks * count // ranks.size + 1


def falling(values: Float32 | Float64, seed: int) -> np.ndarray:
    """Ranks of the values, int64 of their shape: 0 for the highest; equal ones in random order."""
    flat = np.ravel(values)
    tie_order = np.random.default_rng([seed, 0x5EED]).random(flat.size)
    ranks = np.empty(flat.size, np.int64)
    ranks[np.lexsort((tie_order, np.negative(flat)))] = np.arange(flat.size)
    return ranks.reshape(values.shape)
