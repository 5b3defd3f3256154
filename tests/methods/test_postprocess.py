"""Thresholding and focusing: by hand, on few numbers."""

from __future__ import annotations

import numpy as np
import pytest

from staa_cli.errors import UsageError
from staa_cli.methods.postprocess import find_level, otsu_level, postprocess
from staa_cli.schema import Float32


def grid(*values: float) -> Float32:
    """[T', 1, n] with one row of numbers in every frame."""
    return np.array(values, np.float32).reshape(1, 1, -1)


def random_map(seed: int = 0) -> Float32:
    return np.random.default_rng(seed).random((5, 4, 6), dtype=np.float32)


def test_nothing_asked_for_is_nothing_done_on_a_copy() -> None:
    values = random_map()
    out = postprocess(values)
    np.testing.assert_array_equal(out, values)
    assert not np.shares_memory(out, values)


@pytest.mark.parametrize("threshold", ["none", "otsu", "percentile", "mean_std"])
@pytest.mark.parametrize("sigma", [0.0, 0.7])
@pytest.mark.parametrize("gamma", [1.0, 2.0])
def test_the_raw_values_are_never_touched(threshold: str, sigma: float, gamma: float) -> None:
    values = random_map()
    values.flags.writeable = False
    before = values.copy()
    out = postprocess(values, threshold=threshold, focus_sigma=sigma, focus_gamma=gamma)
    np.testing.assert_array_equal(values, before)
    assert out.dtype == np.float32
    assert out.shape == values.shape
    out += 1  # is the caller's own


def test_otsu_parts_two_groups() -> None:
    values = grid(0.0, 0.1, 0.05, 0.9, 1.0, 0.95, 0.1)
    assert 0.1 < otsu_level(values) <= 0.9
    out = postprocess(values, threshold="otsu")
    np.testing.assert_array_equal(out, grid(0, 0, 0, 0.9, 1.0, 0.95, 0))


def test_otsu_finds_the_cut_of_least_inner_variance() -> None:
    random = np.random.default_rng(1)
    values = np.concatenate([random.normal(1.0, 0.2, 300), random.normal(2.5, 0.4, 100)])
    values = values.astype(np.float32).reshape(4, 10, 10)

    def inner(level: float) -> float:
        low, high = values[values < level], values[values >= level]
        return float(len(low) * low.var() + len(high) * high.var())

    found = inner(otsu_level(values))
    best = min(inner(level) for level in np.sort(values.ravel())[1:])
    assert found <= 1.01 * best  # 256 bins are not every level


def test_percentile_keeps_that_share() -> None:
    values = np.arange(100, dtype=np.float32).reshape(4, 5, 5)
    assert np.count_nonzero(postprocess(values, threshold="percentile")) == 20
    half = postprocess(values, threshold="percentile", threshold_value=50)
    np.testing.assert_array_equal(np.unique(half)[1:], np.arange(50, 100))


def test_mean_std_by_hand() -> None:
    values = grid(1, 1, 1, 1, 6)  # mean 2, deviation 2
    assert find_level(values, "mean_std") == pytest.approx(4)
    assert find_level(values, "mean_std", 2.5) == pytest.approx(7)
    np.testing.assert_array_equal(postprocess(values, threshold="mean_std"), grid(0, 0, 0, 0, 6))


@pytest.mark.parametrize("rule", ["otsu", "percentile", "mean_std"])
def test_a_constant_map_stays(rule: str) -> None:
    values = np.full((2, 3, 3), 0.1, np.float32)
    np.testing.assert_array_equal(postprocess(values, threshold=rule), values)


@pytest.mark.parametrize("rule", ["otsu", "percentile", "mean_std"])
def test_one_level_holds_for_the_whole_clip(rule: str) -> None:
    strong = random_map(1)[:1] + 10
    values = np.concatenate([strong, random_map(2)[:4]])
    out = postprocess(values, threshold=rule)
    assert not out[1:].any()  # a level a frame would keep something of each


@pytest.mark.parametrize("rule", ["otsu", "percentile", "mean_std"])
def test_strong_evidence_against_is_no_noise(rule: str) -> None:
    values = grid(-5.0, 0.1, -0.1, 0.05, -0.02, 4.8, 0.1, 0.0, 0.03, -0.04)
    out = postprocess(values, threshold=rule, threshold_value=80 if rule == "percentile" else None)
    np.testing.assert_array_equal(np.flatnonzero(out), [0, 5])
    assert out.ravel()[0] == -5


@pytest.mark.parametrize(("sigma", "gamma"), [(0.7, 1.0), (3.0, 1.0), (0.0, 3.0), (1.0, 2.0)])
def test_focusing_keeps_the_mass(sigma: float, gamma: float) -> None:
    values = random_map()
    values[0, 0, 0] = 30  # at a corner, where a careless border would lose it
    out = postprocess(values, focus_sigma=sigma, focus_gamma=gamma)
    assert out.sum() == pytest.approx(values.sum(), rel=1e-5)
    assert out.std() != pytest.approx(values.std(), rel=0.01)


def test_smoothing_spreads_alike_over_time_and_space() -> None:
    values = np.zeros((9, 9, 9), np.float32)
    values[4, 4, 4] = 1
    out = postprocess(values, focus_sigma=1.0)
    for turned in (out.transpose(1, 0, 2), out.transpose(2, 1, 0), out[::-1], out[:, :, ::-1]):
        np.testing.assert_allclose(out, turned, rtol=1e-5)
    assert out[4, 4, 5] / out[4, 4, 4] == pytest.approx(np.exp(-0.5), rel=1e-5)
    assert out[4, 5, 6] / out[4, 4, 4] == pytest.approx(np.exp(-0.5 * (1 + 4)), rel=1e-5)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("sigma", [1e-300, 1e-3])
def test_the_narrowest_smoothing_changes_nothing(sigma: float) -> None:
    values = np.random.default_rng(0).normal(size=(4, 3, 5)).astype(np.float32)
    np.testing.assert_array_equal(postprocess(values, focus_sigma=sigma), values)


def test_sharpening_by_hand_keeps_signs() -> None:
    out = postprocess(grid(1, -2, 3), focus_gamma=2.0)
    np.testing.assert_allclose(out, grid(*(np.array([1, -4, 9]) * 6 / 14)), rtol=1e-6)
    np.testing.assert_array_equal(postprocess(grid(0, 0), focus_gamma=2.0), grid(0, 0))


@pytest.mark.parametrize("value", [-1.0, 101.0])
def test_a_percentile_that_cannot_be(value: float) -> None:
    with pytest.raises(UsageError, match="percentile"):
        postprocess(random_map(), threshold="percentile", threshold_value=value)


def test_a_rule_that_cannot_be() -> None:
    with pytest.raises(UsageError, match="median"):
        postprocess(random_map(), threshold="median")
