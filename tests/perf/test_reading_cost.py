"""Reading attention costs little, on a busy machine, too."""

from __future__ import annotations

import pytest
from reading_cost import rows


@pytest.mark.perf
def test_reading_attention_costs_little_alone_and_beside_neighbors() -> None:
    measured = {row["what"]: (row["ratio"], row["limit"]) for row in rows(5)}
    assert all(ratio <= limit for ratio, limit in measured.values()), measured
