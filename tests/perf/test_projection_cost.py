"""A projection is never slower than torch's own."""

from __future__ import annotations

import pytest
from projection_cost import rows


@pytest.mark.perf
def test_projections_are_no_slower_than_torchs() -> None:
    measured = {row["what"]: (row["ratio"], row["limit"]) for row in rows(9)}
    assert all(ratio <= limit for ratio, limit in measured.values()), measured
