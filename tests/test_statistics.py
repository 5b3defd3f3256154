from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from staa_cli.statistics import bootstrap, entropy_share, rank_correlation, wilson


def test_the_interval_of_a_proportion_is_near_the_normal_one() -> None:
    values = [1.0] * 180 + [0.0] * 76
    found = bootstrap(values)
    p = 180 / 256
    half = 1.96 * np.sqrt(p * (1 - p) / 256)
    assert found.mean == pytest.approx(p)
    assert found.low == pytest.approx(p - half, abs=0.01)
    assert found.high == pytest.approx(p + half, abs=0.01)
    assert found.n == 256


def test_scores_that_say_nothing_are_left_out() -> None:
    assert bootstrap([0.5, float("nan"), 0.5]) == (0.5, 0.5, 0.5, 2)


def test_one_score_has_no_interval() -> None:
    assert bootstrap([float("nan"), 0.5]) == (0.5, None, None, 1)


@pytest.mark.parametrize(("right", "n"), [(0, 2), (2, 2), (1, 1), (7, 20), (180, 256)])
def test_the_interval_of_a_share_is_wilsons(right: int, n: int) -> None:
    oracle = stats.binomtest(right, n).proportion_ci(method="wilson")
    found = wilson(right, n)
    assert (found.mean, found.n) == (right / n, n)
    assert (found.low, found.high) == pytest.approx((oracle.low, oracle.high), abs=1e-12)
    with pytest.raises(ValueError, match="no clip"):
        wilson(0, 0)


def test_no_score_at_all_is_an_error() -> None:
    with pytest.raises(ValueError, match="no clip"):
        bootstrap([float("nan")])


@pytest.mark.parametrize("levels", [2, 5, 10_000])
def test_rank_correlation_is_spearmans_ties_or_not(levels: int) -> None:
    rng = np.random.default_rng(levels)
    one = rng.integers(0, levels, (4, 5, 6)).astype(np.float32)
    other = one + rng.integers(0, levels, one.shape)
    wanted = stats.spearmanr(one.ravel(), other.ravel()).statistic
    assert rank_correlation(one, other) == pytest.approx(wanted, abs=1e-12)


def test_a_constant_map_has_no_order() -> None:
    assert np.isnan(
        rank_correlation(np.ones((2, 3, 4), np.float32), np.eye(4, 6, dtype=np.float32)[None])
    )


def test_entropy_is_one_for_a_uniform_and_nought_for_a_single_cell() -> None:
    assert entropy_share(np.ones((3, 5), np.float32)) == pytest.approx(1)
    assert entropy_share(np.eye(3, dtype=np.float32)) == pytest.approx(0.5)
    single = np.zeros((3, 5), np.float32)
    single[1, 1] = 2
    assert entropy_share(single) == 0
    assert entropy_share(-single) == 1
