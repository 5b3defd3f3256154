"""RFEM, for no class and for one, against products of every head's whole matrices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from attention_matrices import matrices, of_role, over_all_tokens
from small_models import TARGET, clips, explain, model
from torch import Tensor

from staa_cli.methods import Options, get_method
from staa_cli.methods.run import explain_batch
from staa_cli.models.architectures import ARCHITECTURES

JOINT = ["test_videomae", "test_videomae-token", "test_vivit", "test_vjepa2"]
BATCH = 2


def steps_of(module: Any, inputs: Tensor, of_class: bool) -> tuple[list[Tensor], Tensor | None]:
    """Every step, first to last, [batch, heads, N, N], without I; and a pooler's rows."""
    with matrices(module) as kept:
        logits = module(inputs.requires_grad_(of_class))
    if of_class:
        logits[:, TARGET].sum().backward()
        kept = {key: (a.detach() * a.grad).clamp_min(0) for key, a in kept.items()}
    layout = module.layout()
    if layout.kind == "divided":
        frames = layout.grid[0]
        steps = []
        for time, space in zip(of_role(kept, "temporal"), of_role(kept, "spatial"), strict=True):
            over_space, over_time = over_all_tokens(
                space, time, BATCH, 1.0 if of_class else 1 / frames
            )
            if not of_class:
                over_time[:, :, 0, 0] = 1  # the class token stays as it is
            steps += [over_time, over_space]
        return steps, None
    steps = of_role(kept, "joint") + of_role(kept, "spatial") + of_role(kept, "pooler_self")
    return steps, kept.get(("pooler", 0))


def read_rows(steps: list[Tensor], pooler: Tensor | None, pooling: str, prefix: int) -> Tensor:
    """Equations 2 and 3, and what the head reads of the outcome: [batch, heads, N]."""
    whole = torch.eye(steps[0].shape[-1]).expand_as(steps[0])
    for step in steps:
        whole = (step + torch.eye(step.shape[-1])) @ whole
    if pooler is not None:
        return (pooler @ whole)[:, :, 0]
    return whole[:, :, prefix:].mean(dim=2) if pooling == "mean" else whole[:, :, 0]


def thresholded(rows: Tensor) -> Tensor:
    """Equations 4 and 5 for rows of patches [batch, heads, n], one number after the other."""
    found = torch.zeros(len(rows), rows.shape[-1])
    for clip, heads in enumerate(rows):
        for row in heads:
            mean = row.sum() / len(row)
            deviation = (((row - mean) ** 2).sum() / len(row)) ** 0.5
            for n, value in enumerate(row):
                if value >= mean + deviation:
                    found[clip, n] += row.max()
    return found


@pytest.mark.parametrize("kind", [*JOINT, "test_timesformer"])
def test_heads_are_rolled_out_filtered_and_weighted_by_their_peaks(kind: str) -> None:
    module = model(kind)
    layout = module.layout()
    steps, pooler = steps_of(module, clips(kind), of_class=False)
    rows = read_rows(steps, pooler, layout.pooling, layout.prefix_tokens)
    # Their rows are normalized, as in rollout, which is a factor: every row of A + I sums to two.
    wanted = thresholded(rows[..., layout.prefix_tokens :] / 2 ** len(steps))
    found = explain("rfem", kind, None).values
    np.testing.assert_allclose(found, wanted.reshape(found.shape), rtol=1e-4)
    assert 0 < (found == 0).mean() < 1


@pytest.mark.parametrize("kind", [*JOINT, "test_timesformer"])
def test_for_a_class_attention_counts_by_its_gradient(kind: str) -> None:
    module = model(kind)
    layout = module.layout()
    steps, pooler = steps_of(module, clips(kind), of_class=True)
    # The identity that all begin as is not theirs.
    itself = read_rows([torch.zeros_like(steps[0])], None, layout.pooling, layout.prefix_tokens)
    rows = read_rows(steps, pooler, layout.pooling, layout.prefix_tokens)
    if pooler is None:
        rows = rows - itself
    wanted = thresholded(rows[..., layout.prefix_tokens :])
    found = explain("rfem-class", kind).values
    np.testing.assert_allclose(found, wanted.reshape(found.shape), rtol=1e-3)
    assert 0 < (found == 0).mean() < 1


@pytest.mark.parametrize("kind", ["frames", "frames-mean"])
def test_each_frame_has_its_own_threshold_and_counts_by_what_it_says(kind: str) -> None:
    module = model(kind)
    prefix, frames = module.layout().prefix_tokens, module.num_frames
    steps, _ = steps_of(module, clips(kind), of_class=False)
    rows = read_rows(steps, None, module.pooling, prefix)[..., prefix:] / 2 ** len(steps)
    alone = module.vit(clips(kind).flatten(0, 1)).reshape(BATCH, frames, -1)
    speaks = (alone[..., TARGET] - alone.mean(dim=2)).clamp_min(0)
    share = (speaks / speaks.sum(dim=1, keepdim=True)).flatten()
    wanted = thresholded(rows) * share[:, None]
    found = explain("rfem", kind).values
    np.testing.assert_allclose(found, wanted.reshape(found.shape), rtol=1e-4)
    steps, _ = steps_of(module, clips(kind), of_class=True)
    rows = read_rows(steps, None, module.pooling, prefix)
    rows = rows - read_rows([torch.zeros_like(steps[0])], None, module.pooling, prefix)
    found = explain("rfem-class", kind).values
    wanted = thresholded(rows[..., prefix:])
    np.testing.assert_allclose(found, wanted.reshape(found.shape), rtol=1e-3)


@pytest.mark.parametrize("name", ["rfem", "rfem-class"])
def test_a_pooler_may_have_other_heads_than_what_it_reads(name: str) -> None:
    """Each head of the encoder then goes on from the mean of the pooler's."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module: Any = ARCHITECTURES.get("test_vjepa2").build(pooler_heads=4)
        for parameter in module.parameters():
            parameter.data += 0.2 * torch.randn_like(parameter)
    module.eval().requires_grad_(False)
    of_class = name == "rfem-class"
    steps, pooler = steps_of(module, clips("test_vjepa2"), of_class)
    *encoder, of_pooler = steps
    assert pooler is not None
    assert of_pooler.shape[1] == 4 != encoder[0].shape[1]
    above = pooler @ (of_pooler + torch.eye(of_pooler.shape[-1]))  # [batch, 4, 1, N]
    rows = read_rows(encoder, above.mean(dim=1, keepdim=True), "attentive", 0)
    wanted = thresholded(rows if of_class else rows / 2 ** len(steps))
    found = explain_batch(
        module, module.layout(), clips("test_vjepa2"), get_method(name), Options(), target=TARGET
    ).values
    np.testing.assert_allclose(found, wanted.reshape(found.shape), rtol=1e-3)
