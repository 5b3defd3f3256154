"""Many videos in one call: what they share, what overlaps, and what does not grow."""

from __future__ import annotations

import pytest
from batch_cost import memory, one_call, overlapping
from measure import Row


def check(rows: list[Row]) -> None:
    measured = {row["what"]: (row["ratio"], row["limit"]) for row in rows}
    assert all(ratio <= limit for ratio, limit in measured.values()), measured


@pytest.mark.perf
@pytest.mark.timeout(900)
def test_one_call_costs_less_than_a_call_for_each_video() -> None:
    check(one_call(1))


@pytest.mark.perf
def test_stages_of_different_videos_overlap() -> None:
    check(overlapping(3))


@pytest.mark.perf
@pytest.mark.timeout(900)
def test_memory_does_not_grow_with_the_videos() -> None:
    check(memory())
