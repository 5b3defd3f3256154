"""Does an attribution highlight where and when the event happened that decides the label?

All metrics use raw attributions on the token grid. The mask is that of the actor, in pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import wraps

import numpy as np

from staa_cli.evaluation.base import Known, Metric, Trial, metric
from staa_cli.schema import Bool, Float32

Located = Callable[[Float32, Bool, Bool], float]
"""(attribution [T', h, w], mask [T, H, W], event [T]) -> score; NaN if undefined."""


def located(source: str, truth: Collection[Known]) -> Callable[[Located], Metric]:
    """A decorator that turns a function of an attribution and the truth into a metric.

    If only a mask is known, the event is the frames where it is not empty; if only an event is
    known, the mask is empty.

    Args:
        source: of the metric.
        truth: the required ones of the two.
    """

    def add(score: Located) -> Metric:
        @wraps(score)  # keeps the description of the score
        def of_trial(trial: Trial) -> float:
            mask, event = trial.mask, trial.event
            if (mask is None and "mask" in truth) or (event is None and "event" in truth):
                return float("nan")
            if mask is None:
                assert event is not None, "a metric of places and times needs one of them"
                mask = np.zeros((len(event), 1, 1), np.bool_)
            if event is None:
                event = np.asarray(mask.any(axis=(1, 2)))
            return score(trial.values, mask, event)

        return metric(source=source, truth=truth)(of_trial)

    return add


def coverage(mask: Bool, grid: tuple[int, int, int]) -> Float32:
    """The share of every token [T', h, w] that a mask [T, H, W] covers.

    Raises:
        ValueError: the grid does not divide the picture.
    """
    blocks = [size // cells for size, cells in zip(mask.shape, grid, strict=True)]
    if any(b * c != s for b, c, s in zip(blocks, grid, mask.shape, strict=True)):
        raise ValueError(
            f"a mask of shape {mask.shape} does not divide into a token grid of {grid}"
        )
    (t, h, w), (a, b, c) = grid, blocks
    return np.asarray(mask.reshape(t, a, h, b, w, c).mean(axis=(1, 3, 5)), np.float32)


@located("Zhang et al. 2016 (arXiv 1608.00507)", ["mask"])
def pointing(values: Float32, mask: Bool, event: Bool) -> float:
    """Whether the strongest token touches the actor; of equally strong ones, the share that does.

    1 or 0 if one token has the maximum. A map of whole frames has many, and the share is the
    expected hit of a random choice: taking the first would favor a corner of the picture.
    The pointing game of Zhang et al. 2016 (arXiv 1608.00507), without its tolerance of 15 pixels.
    """
    inside = coverage(mask, values.shape) > 0
    return float(inside[values == values.max()].mean())


@located("Wang et al. 2020 (arXiv 1910.01279)", ["mask"])
def energy(values: Float32, mask: Bool, event: Bool) -> float:
    """Share of the positive attribution inside the space-time mask.

    The energy-based pointing game of Wang et al. 2020 (Score-CAM, arXiv 1910.01279).
    """
    positive = np.maximum(values, 0.0).astype(np.float64)
    total = positive.sum()
    if total <= 0:
        return float("nan")
    return float((positive * coverage(mask, values.shape)).sum() / total)


@located("area under ROC, Hanley and McNeil 1982", ["event"])
def temporal_auc(values: Float32, mask: Bool, event: Bool) -> float:
    """Area under the ROC curve of the temporal score against the event's frames."""
    scores = values.sum(axis=(1, 2), dtype=np.float64)  # [T']
    steps = event.reshape(len(scores), -1).any(axis=1)
    positive, negative = scores[steps], scores[~steps]
    if not len(positive) or not len(negative):
        return float("nan")
    above = positive[:, None] > negative
    ties = positive[:, None] == negative
    return float((above + 0.5 * ties).mean())


@located("intersection over union at the best threshold", ["mask"])
def iou(values: Float32, mask: Bool, event: Bool) -> float:
    """Intersection over union with the mask on the event's frames, at the best threshold."""
    steps = event.reshape(len(values), -1).any(axis=1)
    covered = coverage(mask, values.shape)[steps].ravel()
    if not covered.size or covered.sum() <= 0:
        return float("nan")
    flat = values[steps].ravel()
    order = np.argsort(-flat, kind="stable")
    intersection = np.cumsum(covered[order], dtype=np.float64)
    selected = np.arange(1, len(order) + 1)
    ratio = intersection / (selected + covered.sum() - intersection)
    last = np.append(np.diff(flat[order]) != 0, True)  # a threshold includes all equal values
    return float(ratio[last].max())


@metric(
    source="energy in the class's own mask, as a share of the energy in both masks",
    truth=["mask", "distractor"],
)
def twin_share(trial: Trial) -> float:
    """Share of the positive attribution on two actors that is on that of the explained class.

    One half for a class-blind method; NaN for a clip with one actor.
    """
    if trial.mask is None or trial.distractor is None:
        return float("nan")
    positive = np.maximum(trial.values, 0.0).astype(np.float64)
    on_target, on_distractor = (
        float((positive * coverage(mask, positive.shape)).sum())
        for mask in (trial.mask, trial.distractor)
    )
    return (
        on_target / (on_target + on_distractor) if on_target + on_distractor > 0 else float("nan")
    )
