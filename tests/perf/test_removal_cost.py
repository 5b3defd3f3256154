"""Curves cost hardly more than the passes that they are made of."""

from __future__ import annotations

import statistics
import time

import pytest
from measure import interleaved
from removal_cost import CURVES_LIMIT, jobs_of


@pytest.mark.perf
def test_deletion_and_insertion_cost_what_a_hundred_passes_cost() -> None:
    jobs = jobs_of("tiny-events")
    curves, passes = "deletion and insertion", "100 passes"
    times = interleaved({name: jobs[name] for name in (curves, passes)}, 3, time.process_time)
    ratios = [a / b for a, b in zip(times[curves], times[passes], strict=True)]
    assert statistics.median(ratios) <= CURVES_LIMIT, times
