"""What a metric is and what it is given: one clip, and one attribution of it."""

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
"""Methods that ask no model anything; what does not beat them says nothing."""
STEPS = 50
"""Steps of a deletion or insertion curve."""

Known = Literal["label", "mask", "event", "distractor"]
"""What can be known of a clip: its class, where it happens, when, and where something else does."""


@dataclass(frozen=True, slots=True, eq=False)
class Curves:
    """Score of the class while a clip is taken away and while it comes back."""

    deletion: Float64
    """[steps + 1], from the whole clip to nothing, the most relevant first."""
    insertion: Float64
    """[steps + 1], from nothing to the whole clip, the most relevant first."""
    mean_value: Float64
    """[steps] mean attribution of what each step moves."""


class Again(Protocol):
    """Asks a method for a map once more."""

    def __call__(
        self,
        *,
        target: int | None = None,
        module: nn.Module | None = None,
        inputs: Tensor | None = None,
    ) -> Float32:
        """[T', h, w]; what is None stays as it was."""


@dataclass(frozen=True, eq=False)
class Trial:
    """One clip and one attribution of it.

    Args:
        values: raw attribution [T', h, w].
        perturbed: asks the model about the clip with parts of it removed.
        mask: where the actor is, [T, H, W]; None for a clip without ground truth.
        event: frames of the event, [T].
        again: the same method's map [T', h, w] once more: for another `target`, of another `module`
            in the model's place, or of other `inputs` [1, T, 3, h, w].
        distractor: where the actor of another class is, [T, H, W]; None where there is none.
        random_masks: what the model was trained with; None where that was without.
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
        """Token by token, in `STEPS` steps."""
        return perturbation_curves(self.perturbed, self.values, STEPS)

    def curves_under(self, replacement: str) -> Curves:
        """The same with a replacement of that name; those of `curves` where it is the clip's."""
        perturbed = self.perturbed.under(replacement)
        if perturbed is self.perturbed:
            return self.curves
        return perturbation_curves(perturbed, self.values, STEPS)

    @cached_property
    def frame_curves(self) -> Curves:
        """Frame by frame, by the temporal score; a frame comes and goes as a whole."""
        scores = self.values.sum(axis=(1, 2), keepdims=True, dtype=np.float64)
        return perturbation_curves(self.perturbed, np.broadcast_to(scores, self.values.shape), None)


@dataclass(frozen=True, slots=True, eq=False)
class Metric:
    """A number for an attribution."""

    score: Callable[[Trial], float]
    """NaN where it says nothing. The first line of its docstring stands in the list of metrics."""
    better: Literal["higher", "lower"]
    truth: frozenset[Known]
    """What must be known of a clip; NaN where it is not."""
    source: str
    random_masks: bool = False
    """Whether it asks only a model that was trained with random masks."""
    beatable: bool = True
    """Whether a baseline's score is something to beat; a map that asks no model may be perfect at
    not depending on something."""

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
) -> Callable[[Callable[[Trial], float]], Metric]:
    """A decorator that makes a metric of a function of a trial; the fields are those of `Metric`.

    It has a name where one is declared: as an entry point of the group ``staa.metrics``.
    """
    return lambda score: Metric(score, better, frozenset(truth), source, random_masks, beatable)


def _accept(name: str, declared: Any) -> Metric:
    if not isinstance(declared, Metric):
        raise TypeError("expected a staa_cli.evaluation.base.Metric")
    return declared


METRICS: Registry[Metric] = Registry("metric", entry_points.METRICS, _accept)
register_metric = METRICS.register
"""A decorator that files a `Metric` under a name, for as long as the program runs."""


def list_metrics() -> list[dict[str, Any]]:
    """Facts about every metric that loads, in the order of `METRICS.names()`."""
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
    """Of the libraries that figures come from; None for what is not there."""
    found: dict[str, str | None] = {}
    for name in ("torch", "captum"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def perturbation_curves(
    perturbed: PerturbedClip, values: Float32 | Float64, steps: int | None
) -> Curves:
    """Take a clip away and bring it back in order of relevance, both in as many steps.

    Ties go in random order: a fixed one would favor a corner of the picture.

    Args:
        perturbed: asks the model; its seed is that of the order of ties.
        values: [T', h, w].
        steps: how many; None for one step a frame, of which all tokens have one value.
    """
    step_of = _steps(values, steps, perturbed.seed)  # [T', h, w], 1 for what moves first
    count = int(step_of.max())
    taken = torch.from_numpy(step_of)[None] <= torch.arange(1, count)[:, None, None, None]
    whole, nothing = perturbed.ends()  # every curve of the clip begins and ends there
    between = perturbed.keep(torch.cat([~taken, taken]).float())
    deletion = torch.cat([whole, between[: count - 1], nothing]).double().cpu().numpy()
    insertion = torch.cat([nothing, between[count - 1 :], whole]).double().cpu().numpy()
    moved = [float(values[step_of == step].mean()) for step in range(1, count + 1)]
    return Curves(deletion, insertion, np.asarray(moved))


def _steps(values: Float32 | Float64, steps: int | None, seed: int) -> np.ndarray:
    """Which step moves each token, int64 [T', h, w] from 1 on."""
    if steps is None:
        ranks = falling(values[:, 0, 0], seed) + 1
        return np.broadcast_to(ranks[:, None, None], values.shape).copy()
    ranks = falling(values, seed)
    count = min(steps, ranks.size)
    return ranks * count // ranks.size + 1


def falling(values: Float32 | Float64, seed: int) -> np.ndarray:
    """Ranks of the values, int64 of their shape: 0 for the highest; equal ones in random order."""
    flat = np.ravel(values)
    drawn = np.random.default_rng([seed, 0x5EED]).random(flat.size)
    ranks = np.empty(flat.size, np.int64)
    ranks[np.lexsort((drawn, np.negative(flat)))] = np.arange(flat.size)
    return ranks.reshape(values.shape)
