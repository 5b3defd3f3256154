"""What a bundled model's manifest says."""

from __future__ import annotations

import numpy as np
import pytest

from staa_cli.synthetic.events import LABELS, STANDARD
from staa_cli.training.export import manifest


@pytest.mark.parametrize(("gone", "told"), [(0.0, False), (1 / 3, True)])
def test_a_card_has_its_accuracy_and_says_that_heads_were_led(gone: float, told: bool) -> None:
    counts = np.eye(len(LABELS), dtype=np.int64)
    counts[0, 1] = 1  # nine right of ten
    recipe = {"arch": "videomae_tiny_events", "batch_size": 32, "seed": 0, "lead": [0.0, gone]}
    facts = {"step": 500, "hours": 1.0, "losses": {50: 2.0, 500: 1.0}, "recipe": recipe}
    text = manifest(facts, {STANDARD.name: counts}, seed=0)
    assert "| top-1 | **0.9000** |" in text
    assert ("In the first 33 % of the steps a third of the heads was led" in text) is told
