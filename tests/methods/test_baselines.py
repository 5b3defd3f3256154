"""Baselines: what chance, habit, and motion give."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from attention_oracles import T, clips, explain, h, tiny, w


@pytest.fixture(scope="module")
def module() -> Any:
    return tiny("divided")


def noise(module: Any, **arguments: Any) -> np.ndarray:
    return explain(module, clips(), "random", **arguments).values


def test_noise_belongs_to_seed_and_clip(module: Any) -> None:
    first = noise(module, seed=3, clip_indices=(0, 1))
    np.testing.assert_array_equal(noise(module, seed=3, clip_indices=(1, 0)), first[::-1])
    assert not np.array_equal(first[0], first[1])
    assert not np.array_equal(noise(module, seed=4, clip_indices=(0, 1)), first)
    assert not np.array_equal(first[0, 0], first[0, 1])  # nor are frames alike


@pytest.mark.parametrize("seed", [0, 2**31, 2**40, 2**70])
def test_any_seed_will_do(module: Any, seed: int) -> None:
    values = noise(module, seed=seed, clip_indices=(2**40, 1))
    assert 0 <= values.min() < 0.1 < 0.9 < values.max() < 1


def test_centre_is_the_same_from_all_sides(module: Any) -> None:
    values = explain(module, clips(), "center").values
    for flipped in (values[..., ::-1], values[..., ::-1, :], values[:, ::-1]):
        np.testing.assert_allclose(values, flipped, rtol=1e-6)
    one = values[0, 0]
    assert np.unravel_index(one.argmax(), one.shape)[0] in (h // 2 - 1, h // 2)
    assert np.unravel_index(one.argmax(), one.shape)[1] in (w // 2 - 1, w // 2)
    assert np.unravel_index(one.argmin(), one.shape) == (0, 0)


@pytest.mark.parametrize("moment", range(T))
def test_motion_is_where_and_when_something_moves(module: Any, moment: int) -> None:
    inputs = clips(count=1)[:, :1].expand(1, T, 3, 8 * h, 8 * w).clone()
    inputs[0, moment, :, 16:24, 8:16] += 1.0
    values = explain(module, inputs, "frame-difference").values[0]
    # Seen from both frames at a change; the ends have a neighbor on one side only.
    to_next = [1.0 if moment in (t, t + 1) else 0.0 for t in range(T - 1)]
    expected = [(to_next[max(t - 1, 0)] + to_next[min(t, T - 2)]) / 2 for t in range(T)]
    np.testing.assert_allclose(values[:, 2, 1], expected, atol=1e-6)
    values[:, 2, 1] = 0
    assert np.abs(values).max() < 1e-6


def test_one_frame_does_not_move(module: Any) -> None:
    values = explain(module, torch.randn(2, 1, 3, 8 * h, 8 * w), "frame-difference").values
    assert values.shape == (2, 1, h, w)
    assert not values.any()
