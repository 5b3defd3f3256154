"""Is an attribution stable under small changes of the clip?"""

from __future__ import annotations

import numpy as np
import torch

from staa_cli.evaluation.base import Trial, metric

DRAWS, RADIUS = 5, 0.02
"""Number of noise draws, and the maximum of the noise, in the units of the model's input."""


@metric(
    better="lower",
    beatable=False,
    replaces=False,
    source="Yeh et al. 2019 (arXiv 1901.09392), definition 3",
)
def max_sensitivity(trial: Trial) -> float:
    """Largest change of the map under a little noise, divided by the map's norm.

    Noise is uniform, independent for every value of the clip, and drawn a few times, so that the
    score is a lower bound. As in Captum and Quantus, the distance is divided by the norm of the map
    itself; undefined for a map of zeros.
    """
    scale = float(np.linalg.norm(trial.values))
    if trial.again is None or scale == 0:
        return float("nan")
    generator = torch.Generator().manual_seed(trial.perturbed.seed)
    clip, changes = trial.perturbed.clip[None], []
    for _ in range(DRAWS):
        noise = RADIUS * (2 * torch.rand(clip.shape, generator=generator) - 1)
        changes.append(np.linalg.norm(trial.again(inputs=clip + noise.to(clip)) - trial.values))
    return float(max(changes)) / scale
