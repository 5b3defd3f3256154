"""Metrics that Quantus has, too: both must say the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from staa_cli.evaluation.base import METRICS, Trial
from staa_cli.methods.perturbation.base import PerturbedClip, over_tokens

quantus = pytest.importorskip("quantus", reason="Quantus is a test extra")

GRID = (2, 2, 3)
TRIES = 60


class MeanOfWhatIsThere(nn.Module):
    """Probability of class 1: the mean weight of the white tokens; half where there is none."""

    def __init__(self, weights: np.ndarray) -> None:
        super().__init__()
        self.weights = torch.from_numpy(weights).float()

    def tokens(self, there: Tensor) -> Tensor:
        """[M, T', h, w] to logits [M, 2]."""
        mean = (there * self.weights).sum(dim=(1, 2, 3)) / there.sum(dim=(1, 2, 3)).clamp_min(1)
        p = mean + 0.5 * (there.sum(dim=(1, 2, 3)) == 0)
        return torch.stack([torch.log1p(-p), torch.log(p)], dim=1)

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim == 5:  # a clip [M, T, 3, H, W] of tokens of 1 x 2 x 2
            return self.tokens(over_tokens(x[:, :, 0], GRID) / 4)
        return self.tokens(x.reshape(len(x), *GRID))  # a picture of one pixel a token


def put_back(arr: np.ndarray, indices: np.ndarray, **_: Any) -> np.ndarray:
    """The pixels at `indices` as they are in a white picture: Quantus's own would stay black."""
    out = arr.copy()
    np.put_along_axis(out, indices, 1.0, axis=1)
    return out


def test_monotonic_is_what_quantus_says() -> None:
    rng = np.random.default_rng(0)
    clip = torch.ones(2, 3, 4, 6)
    theirs = quantus.Monotonicity(
        abs=False,
        normalise=False,
        perturb_func=put_back,
        perturb_baseline=0.0,
        disable_warnings=True,
    )
    found = []
    for _ in range(TRIES):
        weights = 0.5 + 0.4 * rng.random(GRID)
        values = (weights + rng.choice([0.0, 0.02, 0.3]) * rng.random(GRID)).astype(np.float32)
        model = MeanOfWhatIsThere(weights).eval()
        perturbed = PerturbedClip(model, clip, torch.zeros_like(clip), GRID, target=1)
        ours = METRICS.get("monotonic").score(Trial(values, perturbed))
        (wanted,) = theirs(
            model,
            x_batch=np.ones((1, 1, 4, 3), np.float32),
            y_batch=np.array([1]),
            a_batch=values.reshape(1, 1, 4, 3),
            device="cpu",
            softmax=True,
        )
        found.append((bool(ours), bool(wanted)))
    assert {ours for ours, _ in found} == {True, False}
    assert [ours for ours, _ in found] == [wanted for _, wanted in found]


def test_the_pointing_game_is_quantuss() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(size=(TRIES, *GRID)).astype(np.float32)
    masks = rng.random((TRIES, *GRID)) < rng.choice([0.1, 0.5], (TRIES, 1, 1, 1))
    masks[:, 0, 0, 0] |= ~masks.any(axis=(1, 2, 3))  # an empty mask says nothing
    theirs = quantus.PointingGame(abs=False, normalise=False, disable_warnings=True)(
        model=None,
        x_batch=np.ones((TRIES, 1, 4, 3), np.float32),
        y_batch=np.zeros(TRIES, int),
        a_batch=values.reshape(TRIES, 1, 4, 3),
        s_batch=masks.reshape(TRIES, 1, 4, 3),
    )
    copies: Any = None  # it asks the model nothing
    pixels = masks.repeat(2, axis=2).repeat(2, axis=3)
    event = np.ones(GRID[0], bool)
    ours = [
        METRICS.get("pointing").score(Trial(each, copies, mask, event))
        for each, mask in zip(values, pixels, strict=True)
    ]
    assert 0 < sum(ours) < TRIES
    assert ours == [float(each) for each in theirs]


def test_sparseness_and_entropy_are_quantuss() -> None:
    rng = np.random.default_rng(2)
    values = rng.normal(size=(TRIES, *GRID)) ** rng.choice([1, 3, 5], (TRIES, 1, 1, 1))
    asked = {
        "model": None,
        "x_batch": np.ones((TRIES, 1, 4, 3), np.float32),
        "y_batch": np.zeros(TRIES, int),
    }
    settings = {"abs": True, "normalise": False, "disable_warnings": True}
    copies: Any = None  # they ask the model nothing
    trials = [Trial(each.astype(np.float32), copies) for each in values]
    theirs = {"sparseness": quantus.Sparseness, "entropy": quantus.Complexity}
    scales = {"sparseness": 1.0, "entropy": np.log(values[0].size)}  # theirs is in nats
    for name, metric in theirs.items():
        maps = values.astype(np.float32).reshape(TRIES, 1, 4, 3)
        wanted = metric(**settings)(**asked, a_batch=maps)
        ours = [scales[name] * METRICS.get(name).score(trial) for trial in trials]
        np.testing.assert_allclose(ours, wanted, atol=1e-5)
        assert np.ptp(ours) > 0.2


def test_max_sensitivity_is_quantuss_under_the_same_noise() -> None:
    """Of a map that is a weight times the square of a color, in a clip of tokens of one pixel."""
    rng = np.random.default_rng(3)
    weights, clip = rng.normal(size=(2, 4, 6)), torch.from_numpy(rng.normal(size=(2, 3, 4, 6)))
    asked: list[np.ndarray] = []

    def again(*, inputs: Tensor | None = None, **_: Any) -> np.ndarray:
        assert inputs is not None
        asked.append(inputs[0, :, 0].numpy())
        return np.asarray(weights * asked[-1] ** 2, np.float32)

    perturbed = PerturbedClip(nn.Identity(), clip, clip, (2, 4, 6), target=0, seed=9)
    values = np.asarray(weights * clip[:, 0].numpy() ** 2, np.float32)
    ours = METRICS.get("max_sensitivity").score(Trial(values, perturbed, again=again))
    assert len({each.tobytes() for each in asked}) == len(asked) > 1
    noise = iter([each.reshape(1, -1) for each in asked])
    theirs = quantus.MaxSensitivity(
        nr_samples=len(asked),
        perturb_func=lambda arr, indices, **_: next(noise),
        abs=False,
        normalise=False,
        disable_warnings=True,
    )
    (wanted,) = theirs(
        model=MeanOfWhatIsThere(np.ones(GRID)),
        x_batch=clip[:, 0].numpy().reshape(1, 1, 8, 6),
        y_batch=np.array([0]),
        a_batch=values.reshape(1, 1, 8, 6),
        explain_func=lambda model, inputs, targets, **_: weights.reshape(1, 1, 8, 6) * inputs**2,
        device="cpu",
    )
    assert ours == pytest.approx(wanted, rel=1e-5)
