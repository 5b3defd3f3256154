"""On how little a map lies, by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from staa_cli.evaluation.base import METRICS, Trial


def score(name: str, values: list[float]) -> float:
    copies: Any = None  # no model is asked
    return METRICS.get(name).score(Trial(np.array([[values]], np.float32), copies))


def test_a_single_token_is_as_sparse_as_can_be_and_a_uniform_map_not_at_all() -> None:
    assert score("sparseness", [0, 0, 5, 0]) == pytest.approx(3 / 4)
    assert score("sparseness", [2, 2, 2, 2]) == pytest.approx(0)
    assert score("entropy", [0, 0, 5, 0]) == pytest.approx(0)
    assert score("entropy", [2, 2, 2, 2]) == pytest.approx(1)


def test_magnitudes_count_and_scale_does_not() -> None:
    """Of 1, 2, 5: half the mean of |1-2|, |1-5|, |2-5| over all nine pairs, over the mean 8/3."""
    gini = (2 * (1 + 4 + 3) / 9) / 2 / (8 / 3)
    share = np.array([1, 2, 5]) / 8
    entropy = -(share * np.log(share)).sum() / np.log(3)
    for values in ([1, 2, 5], [-5, 2, -1], [500, 100, -200]):
        assert score("sparseness", [float(v) for v in values]) == pytest.approx(gini)
        assert score("entropy", [float(v) for v in values]) == pytest.approx(entropy)


def test_a_map_of_nothing_has_neither() -> None:
    assert np.isnan(score("sparseness", [0, 0, 0]))
    assert np.isnan(score("entropy", [0, 0, 0]))
