"""How late a stream is, as distributions."""

from __future__ import annotations

import math
import threading
import tracemalloc

import numpy as np
import pytest

from staa_cli.live.delay import QUANTILES, Delays, Durations
from staa_cli.schema import Float64

WITHIN = 0.012
"""Relative error that the module states."""


def filled(values: Float64) -> Durations:
    durations = Durations()
    for value in values:
        durations.add(float(value))
    return durations


def distributions() -> dict[str, Float64]:
    random = np.random.default_rng(0)
    return {
        "lognormal": random.lognormal(-3, 1, 5000),
        "uniform": random.uniform(1e-4, 2, 5000),
        "two modes": np.concatenate([random.normal(0.03, 0.001, 900), random.normal(5, 0.1, 100)]),
        "few": random.uniform(0.01, 1, 7),
    }


def test_quantiles_are_those_of_numpy() -> None:
    for values in distributions().values():
        durations = filled(values)
        for share in (*QUANTILES.values(), 0.01, 0.25, 1.0):
            expected = np.quantile(values, share, method="inverted_cdf")
            assert durations.quantile(share) == pytest.approx(expected, rel=WITHIN)


def test_summary() -> None:
    values = np.linspace(0.001, 1, 1000)
    summary = filled(values).summary()
    assert summary["count"] == 1000
    assert summary["max"] == 1.0
    for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
        assert summary[name] == pytest.approx(share, rel=WITHIN)


def test_one_duration_is_all_its_quantiles() -> None:
    durations = filled(np.array([0.123]))
    assert durations.quantile(0.5) == pytest.approx(0.123, rel=WITHIN)
    assert durations.quantile(0.99) <= 0.123


def test_extremes() -> None:
    durations = filled(np.array([-1.0, 0.0, 1e-9, 1e9]))
    assert durations.quantile(0.5) <= 1.1e-5
    assert durations.summary()["max"] == 1e9
    assert math.isfinite(durations.quantile(0.99))


def test_nothing_was_counted() -> None:
    assert math.isnan(Durations().quantile(0.5))
    assert math.isnan(Delays().quantile("none", 0.5))
    assert Delays().summary() == {}


def test_memory_is_constant() -> None:
    durations = filled(np.full(10, 0.1))
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for number in range(20_000):
        durations.add(number * 1e-4)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 10_000


def test_threads_add_at_the_same_time() -> None:
    delays = Delays()

    def work(stage: str) -> None:
        for _ in range(2000):
            delays.add(stage, 0.01)
            delays.add("shared", 0.02)

    threads = [threading.Thread(target=work, args=(f"stage {n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    summary = delays.summary()
    assert {stage: row["count"] for stage, row in summary.items()} == {
        **{f"stage {n}": 2000 for n in range(4)},
        "shared": 8000,
    }
    assert delays.quantile("shared", 0.5) == pytest.approx(0.02, rel=WITHIN)
