"""A start costs little more than importing torch."""

from __future__ import annotations

import pytest
from start_cost import rows


@pytest.mark.perf
def test_a_start_costs_little_beside_importing_torch() -> None:
    measured = {row["what"]: (row["ratio"], row["limit"]) for row in rows(9)}
    assert all(ratio <= limit for ratio, limit in measured.values()), measured
