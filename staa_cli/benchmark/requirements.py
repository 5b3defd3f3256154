"""What metrics require: ground truth of the data set, and masked training of the model."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from staa_cli.benchmark.datasets import Dataset
from staa_cli.errors import UsageError
from staa_cli.evaluation.base import METRICS, Known
from staa_cli.models.load import LoadedModel


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
    fit = ", ".join(fitting_metrics(dataset, model))
    unknown = [name for name, metric in metrics.items() if not metric.truth <= known]
    if unknown:
        missing = sorted(metrics[unknown[0]].truth - known)
        lacks = f"no {' and no '.join(missing)}" if known else "no ground truth"
        raise UsageError(
            f"{dataset.name} has {lacks}, which {', '.join(unknown)} requires",
            f"--metrics supports {fit} for this data set",
        )
    masked = [name for name, metric in metrics.items() if metric.random_masks]
    if masked and model.info.random_masks is None:
        raise UsageError(
            f"{', '.join(masked)} requires a model that was trained with random masks; the "
            f"manifest of {model.info.name} does not say so",
            f"--metrics supports {fit} for this model",
        )
