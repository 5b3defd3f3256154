"""How concentrated a map is; a sharp map is not necessarily right."""

from __future__ import annotations

import numpy as np

from staa_cli.evaluation.base import Trial, metric
from staa_cli.statistics import entropy_share


@metric(
    beatable=False, replaces=False, source="Gini index, Chalasani et al. 2020 (arXiv 1810.06583)"
)
def sparseness(trial: Trial) -> float:
    """Gini index of the attribution's magnitudes: 0 for a uniform map, near 1 for one token."""
    rising = np.sort(np.abs(np.ravel(trial.values)).astype(np.float64))
    if not rising.any():
        return float("nan")
    ranks = np.arange(1, rising.size + 1)
    return float((2 * ranks - rising.size - 1) @ rising / (rising.size * rising.sum()))


@metric(
    better="lower",
    beatable=False,
    replaces=False,
    source="Bhatt et al. 2020 (arXiv 2005.00631), definition 4",
)
def entropy(trial: Trial) -> float:
    """Entropy of the attribution's magnitudes, as a share of a uniform map's."""
    magnitudes = np.abs(trial.values)
    return entropy_share(magnitudes) if magnitudes.any() else float("nan")
