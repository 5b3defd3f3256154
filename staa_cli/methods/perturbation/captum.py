"""Captum, where it is installed: what it has is not written again here."""

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
"""Which features of copies are there, [M, features] of 0 and 1, to the class's score [M]."""


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
    """What a method of Captum's says of a clip's features, shared among their tokens: [T', h, w].

    Captum is given one number a feature, 1 where it is there, 0 where it is not: it says the same
    as of pixels with a mask of features, and does not touch every pixel for every copy.

    Args:
        explainer: (``captum.attr``, how to ask) to an object with ``attribute``.
        perturbed: of the clip.
        most: features along each side of the token grid, at most.
        more: what ``attribute`` is to be told beside.
    """
    numbers = feature_mask(perturbed.grid, most).to(perturbed.clip.device)
    whole = perturbed.clip.new_ones(1, feature_count(numbers), dtype=torch.float32)
    # Some of Captum's objects refer to themselves and live until the collector comes; the clip and
    # its copies must not, or they fill a GPU of which the collector knows nothing.
    asks: list[Ask] = [lambda kept: perturbed.keep(kept[:, numbers])]
    try:
        found = explainer(captum_attr(), lambda kept: asks[0](kept)).attribute(
            whole,
            baselines=torch.zeros_like(whole),
            perturbations_per_eval=perturbed.a_pass,
            **more,
        )
    finally:
        asks.clear()
    shared: Tensor = (found[0].float() / numbers.flatten().bincount())[numbers]
    return shared


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Random numbers from a seed within the block, and as they were after it."""
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
