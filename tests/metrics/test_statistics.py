from __future__ import annotations

import numpy as np
import pytest

from staa_cli.metrics.statistics import bootstrap


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


def test_no_score_at_all_is_an_error() -> None:
    with pytest.raises(ValueError, match="no clip"):
        bootstrap([float("nan")])
