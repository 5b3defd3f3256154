"""What a little noise does to a map, of methods whose answer to it is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from staa_cli.evaluation.base import METRICS, Again, Trial
from staa_cli.evaluation.robustness import RADIUS
from staa_cli.methods.perturbation.base import PerturbedClip

SCORE = METRICS.get("max_sensitivity").score
VALUES = np.array([[[3.0, 0.0], [0.0, 4.0]]], np.float32)
CLIP = torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(0))


def trial(again: Again | None, values: np.ndarray = VALUES, seed: int = 0) -> Trial:
    perturbed = PerturbedClip(nn.Identity(), CLIP, CLIP, (1, 2, 2), target=0, seed=seed)
    return Trial(values, perturbed, again=again)


def test_the_farthest_of_several_draws_counts_over_the_norm_of_the_map() -> None:
    far = iter([0.5, 2.0, 1.0, 0.25, 0.0, *[0.0] * 100])

    def again(**_: Any) -> np.ndarray:
        return VALUES + np.array([[[next(far), 0], [0, 0]]], np.float32)

    assert SCORE(trial(again)) == pytest.approx(2 / 5)


def test_noise_is_small_new_each_time_and_the_same_for_every_method() -> None:
    seen: list[Tensor] = []

    def again(*, inputs: Tensor | None = None, **_: Any) -> np.ndarray:
        assert inputs is not None
        seen.append(inputs - CLIP)
        return VALUES

    assert SCORE(trial(again)) == 0
    first = [*seen]
    seen.clear()
    SCORE(trial(again))
    assert all(torch.equal(one, other) for one, other in zip(first, seen, strict=True))
    assert not torch.equal(first[0], first[1])
    noise = torch.stack(first)
    assert noise.abs().max() <= RADIUS + 1e-6
    assert noise.std() == pytest.approx(RADIUS / 3**0.5, rel=0.15)  # uniform
    seen.clear()
    SCORE(trial(again, seed=1))
    assert not torch.equal(first[0], seen[0])


def test_a_map_of_nothing_or_one_that_cannot_be_asked_again_has_no_sensitivity() -> None:
    assert np.isnan(SCORE(trial(None)))
    assert np.isnan(SCORE(trial(lambda **_: VALUES, np.zeros_like(VALUES))))
