"""Does an attribution stay as it is where the clip hardly changes?"""

from __future__ import annotations

import numpy as np
import torch

from staa_cli.evaluation.base import Trial, metric

DRAWS, RADIUS = 5, 0.02
"""How often noise is drawn, and how far it goes either way, in the units of the model's input."""


@metric(
    better="lower",
    beatable=False,
    source="Yeh et al. 2019 (arXiv 1901.09392), definition 3",
)
def max_sensitivity(trial: Trial) -> float:
    """How far the map moves at most, as a share of its norm, where a little noise is added.

    Noise is uniform, every number of the clip for itself, and drawn a few times, so that the score
    is a lower bound. As in Captum and Quantus the distance is over the norm of the map itself; one
    that is zero everywhere has none.
    """
    scale = float(np.linalg.norm(trial.values))
    if trial.again is None or scale == 0:
        return float("nan")
    generator = torch.Generator().manual_seed(trial.perturbed.seed)
    clip, moved = trial.perturbed.clip[None], []
    for _ in range(DRAWS):
        noise = RADIUS * (2 * torch.rand(clip.shape, generator=generator) - 1)
        moved.append(np.linalg.norm(trial.again(inputs=clip + noise.to(clip)) - trial.values))
    return float(max(moved)) / scale
