"""From a run to weights and a card."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from staa_cli.synthetic.events import LABELS, STANDARD
from staa_cli.training.card import Run, card, lead_paragraphs
from staa_cli.training.export import read_run
from staa_cli.training.recipes import EASY, Recipe, Stage, default_recipe
from staa_cli.training.train import train


def test_a_card_has_its_accuracy() -> None:
    counts = np.eye(len(LABELS), dtype=np.int64)
    counts[0, 1] = 1  # nine right of ten
    run = Run(default_recipe(), steps=500, hours=1.0, losses={50: 2.0, 500: 1.0})
    text = card("a-model", ["What it is."], "`make it`", run, {STANDARD.name: counts}, seed=0)
    assert "| top-1 | **0.9000** |" in text
    assert "| made by | `make it` |" in text
    assert "| 500 | 1.000 |" in text


@pytest.mark.parametrize(("gone", "said"), [(0.0, False), (1 / 3, True)])
def test_a_card_says_that_heads_were_led(gone: float, said: bool) -> None:
    text = "".join(lead_paragraphs(replace(default_recipe(), lead=(0.0, gone))))
    assert ("In the first 33 % of the steps a third of the heads was led" in text) is said


def test_a_run_is_read_as_it_was_followed(tmp_path: Path) -> None:
    shape = (("embed_dim", 24), ("depth", 1), ("num_heads", 2), ("img_size", 32))
    recipe = Recipe((Stage(2, 32, EASY),), batch_size=2, token_loss=0.0, model=shape)
    assert train(recipe, tmp_path, device="cpu", minutes=None)
    weights, run = read_run(tmp_path)
    assert run.recipe == recipe
    assert run.steps == 2
    average = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["average"]
    assert torch.equal(weights["head.weight"], average["module.head.weight"].half())
