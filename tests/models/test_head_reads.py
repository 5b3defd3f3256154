"""The last block computes what the head reads, and nothing else changes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from staa_cli.models.families.timesformer.module import test_timesformer as timesformer
from staa_cli.models.families.videomae.module import test_videomae as videomae
from staa_cli.models.families.vivit.module import test_vivit as vivit

MODELS: dict[str, Any] = {
    "divided": timesformer,
    "joint": lambda: timesformer(attention_type="joint_space_time"),
    "space": lambda: timesformer(attention_type="space_only"),
    "vivit": vivit,
    "token": lambda: videomae(pooling="token"),
    "mean": lambda: videomae(pooling="mean"),
}


def seeded(kind: str) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        module = MODELS[kind]().eval().requires_grad_(False)
        for parameter in module.parameters():  # tables begin at zero, attention nearly even
            parameter.add_(0.2 * torch.randn_like(parameter))
    return module


def clip() -> Tensor:
    return torch.randn(2, 4, 3, 32, 32, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("kind", MODELS)
def test_logits_are_those_of_a_pass_with_all_tokens(kind: str) -> None:
    module, inputs = seeded(kind), clip()
    logits, seen = [], []
    module.blocks[-1].mlp.register_forward_hook(lambda _, given, out: seen.append(out.shape[1]))
    with torch.no_grad():
        logits += [module(inputs), module.forward_head(module.forward_features(inputs))]
    logits.append(module(inputs.requires_grad_()).detach())  # a gradient needs every query's output
    assert logits[0].std() > 0.1
    for other in logits[1:]:
        torch.testing.assert_close(logits[0], other, rtol=1e-5, atol=1e-5)
    assert seen[0] == seen[2] == (seen[1] if kind == "mean" else 1)
    assert seen[1] > 1
