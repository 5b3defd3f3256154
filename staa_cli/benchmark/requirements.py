"""What metrics require: ground truth of the data set, and masked training of the model."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from staa_cli.benchmark.datasets import Dataset
from staa_cli.errors import UsageError
from staa_cli.evaluation.base import METRICS, Known
from staa_cli.models.load import LoadedModel

_WHAT: dict[Known, str] = {
    "label": "classes",
    "mask": "boxes or masks",
    "event": "times of events",
    "distractor": "actors of a second class",
}
_SOURCES: dict[Known, str] = {
    "label": "classes come from a ground_truth.json in the folder",
    "mask": "boxes or masks come from a ground_truth.json in the folder, --dataset events, or "
    "--dataset mosaics:DIR",
    "event": "times of events come from a ground_truth.json in the folder, --dataset events, or "
    "--dataset splices:DIR",
    "distractor": "--dataset twins has them",
}
_MASKED = '"random_masks": {"share": 0.1, "replacement": "mean"} (docs/benchmark.md)'


def fitting_metrics(dataset: Dataset, model: LoadedModel) -> list[str]:
    """Names of the metrics whose requirements the data set and the model meet."""
    masked, known = model.info.random_masks is not None, frozenset(dataset.truth)
    return [
        name
        for name, metric in METRICS.items()
        if metric.truth <= known and (masked or not metric.random_masks)
    ]


def default_metrics(known: Collection[Known]) -> list[str]:
    """Names of the default metrics for that ground truth."""
    truth = frozenset(known) & {"mask", "event"}
    names = ["pointing", "energy", "temporal_auc", "iou"] if truth else ["srg"]
    return [name for name in names if METRICS.get(name).truth <= frozenset(known)]


def check_metrics(names: Sequence[str], dataset: Dataset, model: LoadedModel) -> None:
    """Check that the data set and the model meet the metrics' requirements.

    Raises:
        UsageError: a name is unknown, or a requirement is not met.
    """
    known = frozenset(dataset.truth)
    metrics = {name: METRICS.get(name) for name in names}
    without = f"; without --metrics: {', '.join(default_metrics(known))}"
    unknown = [name for name, metric in metrics.items() if not metric.truth <= known]
    missing = frozenset[Known]().union(*(metrics[name].truth for name in unknown)) - known
    if missing:
        lacks = ", and no ".join(what for kind, what in _WHAT.items() if kind in missing)
        # Only clips with two actors have a distractor, and these have everything else, too.
        sought = missing & {"distractor"} or missing
        sources = [source for kind, source in _SOURCES.items() if kind in sought]
        raise UsageError(
            f"{dataset.name} has no {lacks}, which is needed for {', '.join(unknown)}",
            "; ".join(sources) + without,
        )
    masked = [name for name, metric in metrics.items() if metric.random_masks]
    if masked and model.info.random_masks is None:
        raise UsageError(
            f"{', '.join(masked)} requires a model that was trained with random masks; the "
            f"manifest of {model.info.name} does not say so",
            f"the manifest of one that was has {_MASKED}{without}",
        )
