"""Sanity metrics: of a method that looks at the weights, and of one that does not."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from timm.models import create_model
from torch import Tensor

from staa_cli.benchmark.datasets import open_dataset
from staa_cli.benchmark.quality import Benchmark, measure_quality
from staa_cli.evaluation.base import METRICS, Trial
from staa_cli.evaluation.sanity import cascade
from staa_cli.methods import Options
from staa_cli.methods.perturbation.base import PerturbedClip
from staa_cli.models.families.framewise.module import FrameWise
from staa_cli.models.load import LoadedModel, load_model


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return load_model("tiny-events")


@pytest.fixture(scope="module")
def means(model: LoadedModel) -> dict[tuple[str, str], float]:
    benchmark = Benchmark(
        model,
        open_dataset("events", model, 4, "development"),
        methods=("staa", "staa-logit", "frame-difference"),
        metrics=("randomization", "class_sensitivity", "frozen"),
        options=Options(),
    )
    found = measure_quality(benchmark, 2)
    return {(row["method"], row["metric"]): row["mean"] for row in found["results"]}


def test_a_map_that_asks_no_model_survives_its_randomization(
    means: dict[tuple[str, str], float],
) -> None:
    assert means["frame-difference", "randomization"] == pytest.approx(1)
    assert means["staa", "randomization"] < 0.9


def test_only_a_class_specific_map_changes_with_the_class(
    means: dict[tuple[str, str], float],
) -> None:
    assert means["staa", "class_sensitivity"] == pytest.approx(1)
    assert means["staa-logit", "class_sensitivity"] < 0.9


def test_only_a_map_of_what_moves_is_flat_where_nothing_moves(
    means: dict[tuple[str, str], float],
) -> None:
    assert means["frame-difference", "frozen"] == 0
    assert means["staa", "frozen"] > 0.05  # the model's own leaning to some times, not the clip's


def test_shuffling_goes_down_from_the_head_and_leaves_the_model_alone(model: LoadedModel) -> None:
    before = {name: p.clone() for name, p in model.module.named_parameters()}
    changed: list[set[str]] = []
    for module in cascade(model.module):
        now = dict(module.named_parameters())
        changed.append({n for n, p in before.items() if not torch.equal(p, now[n])})
        for name, parameter in before.items():  # the same numbers, elsewhere
            assert torch.equal(parameter.flatten().sort()[0], now[name].flatten().sort()[0])
    assert {name.split(".")[0] for name in changed[0]} == {"head", "norm", "blocks"}
    assert {n.split(".")[1] for n in changed[0] if n.startswith("blocks")} == {"3"}
    assert all(a < b for a, b in itertools.pairwise(changed))
    assert all(torch.equal(p, before[n]) for n, p in model.module.named_parameters())


@pytest.mark.parametrize(
    ("name", "first", "steps"),
    [
        ("test_vjepa2", {"head", "pooler", "norm", "blocks"}, 3),
        ("own", {"head"}, 1),
        ("frames", {"vit"}, 3),
    ],
)
def test_all_of_any_model_is_shuffled_in_the_end_block_by_block(
    name: str, first: set[str], steps: int
) -> None:
    """Wherever it keeps its blocks."""
    module = {"own": Own, "frames": frames}.get(name, lambda: load_model(name).module)()
    before = {key: p.clone() for key, p in module.named_parameters()}
    changed = [
        {key for key, p in shuffled.named_parameters() if not torch.equal(p, before[key])}
        for shuffled in cascade(module)
    ]
    assert first <= {key.split(".")[0] for key in changed[0]}
    assert len(changed) == steps
    assert all(a < b for a, b in itertools.pairwise(changed))
    assert "patch_embed" not in {key.split(".")[0] for key in changed[0]}
    varied = {key for key, p in before.items() if p.unique().numel() > 1}
    assert varied <= changed[-1]


class Own(torch.nn.Module):
    """Has no blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = torch.nn.Linear(4, 4), torch.nn.Linear(4, 2)

    def attention_layers(self) -> dict[tuple[str, int], torch.nn.Module]:
        return {}


def frames() -> FrameWise:
    """Of two blocks, which it has within an image model."""
    vit = create_model("vit_tiny_patch16_224", img_size=32, patch_size=8, depth=2, num_classes=5)
    return FrameWise(vit, num_frames=4)


def test_agreement_is_with_the_frames_that_matter() -> None:
    """Frames whose presence is worth 3, 1, 0, and 2 in that order."""

    class Worth(torch.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            there = (x[:, :, 0].mean(dim=(2, 3)) > 0.5).float()
            p = 0.05 + there @ torch.tensor([0.3, 0.1, 0.0, 0.2])
            return torch.stack([torch.log1p(-p), torch.log(p)], dim=1)

    clip = torch.ones(4, 3, 4, 4)
    perturbed = PerturbedClip(Worth(), clip, torch.zeros_like(clip), (4, 2, 2), target=1)
    values = np.zeros((4, 2, 2), np.float32)
    values[:, 0, 0] = [30, 10, 0, 20]
    score = METRICS.get("agreement").score
    assert score(Trial(values, perturbed)) == pytest.approx(1)
    assert score(Trial(-values, perturbed)) == pytest.approx(-1)
    assert perturbed.asked == 16  # asked once for both
