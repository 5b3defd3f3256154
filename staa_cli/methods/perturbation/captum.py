"""Access to Captum, if it is installed: its methods are not reimplemented here."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from staa_cli.errors import UnavailableError
from staa_cli.methods.perturbation.base import PerturbedClip, feature_count, feature_mask

Ask = Callable[[Tensor], Tensor]
"""Features present in copies, [M, features] of 0 and 1, to the class's score [M]."""


def captum_attr() -> Any:
    """The module ``captum.attr``.

    Raises:
        UnavailableError: it is not installed.
    """
    try:
        import captum.attr
    except ImportError as error:
        raise UnavailableError(
            f"this method needs {error.name or 'captum'}, which is not installed",
            "pip install 'staa[compare]'",
        ) from error
    return captum.attr


def over_features(
    explainer: Callable[[Any, Ask], Any],
    perturbed: PerturbedClip,
    most: tuple[int, int, int],
    **more: Any,
) -> Tensor:
    """Captum's values of a clip's features, shared equally among their tokens: [T', h, w].

    Captum gets one number per feature, 1 if present, 0 if not: the result is the same as for pixels
    with a feature mask, without processing every pixel for every copy.

    Args:
        explainer: (``captum.attr``, scoring function) to an object with ``attribute``.
        perturbed: the clip.
        most: maximum of features along each side of the token grid.
        more: further arguments of ``attribute``.
    """
    numbers = feature_mask(perturbed.grid, most).to(perturbed.clip.device)
    present = perturbed.clip.new_ones(1, feature_count(numbers), dtype=torch.float32)
    # Some of Captum's objects refer to themselves and live until garbage collection, which does not
    # react to GPU memory; this list lets go of the clip and its copies before.
    asks: list[Ask] = [lambda kept: perturbed.keep(kept[:, numbers])]
    try:
        attribution = explainer(captum_attr(), lambda kept: asks[0](kept)).attribute(
            present,
            baselines=torch.zeros_like(present),
            perturbations_per_eval=perturbed.together,
            **more,
        )
    finally:
        asks.clear()
    values: Tensor = (attribution[0].float() / numbers.flatten().bincount())[numbers]
    return values


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed all random generators within the block, and restore their states after it."""
    states = random.getstate(), np.random.get_state()
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed)
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])
