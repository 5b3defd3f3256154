"""The product of the path and of the parts of a logit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from attention_oracles import KINDS, clips, explain, tiny

from staa_cli.benchmark.datasets import open_dataset
from staa_cli.benchmark.quality import Benchmark, measure_quality
from staa_cli.methods import Options
from staa_cli.models.load import load_model

TARGET = 3


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("layers", "parts"), [("default", "all"), ("last", "last"), ((0,), (0,))])
def test_a_token_counts_as_it_is_looked_at_and_as_it_speaks(
    kind: str, layers: Any, parts: Any
) -> None:
    """Of a model of two blocks, the last four are all; divided, the path has its own default."""
    module = tiny(kind)
    path = explain(module, clips(), "staa", layers=layers if kind == "divided" else parts)
    said = explain(module, clips(), "staa-logit", target=TARGET, layers=parts)
    found = explain(module, clips(), "staa-class", target=TARGET, layers=layers)
    strength = said.values / said.values.std(axis=(1, 2, 3), keepdims=True, ddof=1)
    expected = path.values * np.log1p(np.exp(strength.astype(np.float64)))
    np.testing.assert_allclose(found.values, expected, rtol=1e-4)
    assert found.cls_self_mass == path.cls_self_mass
    assert found.passes_per_clip == 1
    assert {*np.sign(said.values).ravel()} == {-1, 1}


@pytest.mark.parametrize(
    "name", ["tiny-events", pytest.param("tiny-events-joint", marks=pytest.mark.slow)]
)
def test_more_of_it_is_on_the_actor_than_of_either_factor(name: str) -> None:
    model = load_model(name)
    data = open_dataset("events", model, 6, "development")
    methods = ("staa-class", "staa", "staa-logit", "rollout")
    found = measure_quality(Benchmark(model, data, methods, ("energy",), Options()), 12)
    both, *others = (row["mean"] for row in found["results"])
    assert both > 1.1 * max(others)
