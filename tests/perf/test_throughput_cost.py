"""Explaining and annotating beside decoding and encoding alone."""

from __future__ import annotations

import pytest
from throughput_cost import rows


@pytest.mark.perf
def test_annotating_keeps_most_of_the_frames_per_core_of_decoding_and_encoding() -> None:
    measured = {row["what"]: (row["ratio"], row["limit"]) for row in rows(5)}
    assert all(ratio <= limit for ratio, limit in measured.values()), measured
