"""TokenTM against products of whole matrices, with weights by one token after the other."""

from __future__ import annotations

from math import exp
from typing import Any

import numpy as np
import pytest
import torch
from attention_matrices import matrices, of_role, over_all_tokens
from small_models import TARGET, clips, explain, model
from torch import Tensor

BATCH = 2


def given_to_layers(module: Any, inputs: Tensor) -> tuple[dict[Any, Tensor], dict[Any, Tensor]]:
    """Whole attention, mean over heads, and each layer's tokens, by (role, block)."""
    tokens: dict[Any, Tensor] = {}
    layers = {
        key: layer
        for key, layer in module.attention_layers().items()
        if key[0] in ("joint", "spatial", "temporal", "pooler", "pooler_self")
    }
    with matrices(module) as kept:
        written_out = {key: layer.forward for key, layer in layers.items()}

        def watched(key: Any) -> Any:
            def forward(*given: Any, **more: Any) -> Tensor:
                tokens[key] = given[1] if key[0] == "pooler" else given[0]
                return written_out[key](*given, **more)

            return forward

        for key, layer in layers.items():
            layer.forward = watched(key)
        with torch.no_grad():
            module(inputs)
    return {key: matrix.mean(dim=1) for key, matrix in kept.items()}, tokens


def weights_of(module: Any, key: tuple[str, int], tokens: Tensor) -> Tensor:
    """|x~| / |x| * NECC of every token, [rows, N]."""
    role, block = key
    layer = module.attention_layers()[key]
    width = layer.num_heads * layer.head_dim
    if role == "pooler":
        moved = layer.kv(tokens)[..., width:]
    else:
        bias = 0 if layer.qkv.bias is None else layer.qkv.bias[2 * width :]
        moved = (tokens @ layer.qkv.weight[2 * width :].T + bias) @ layer.proj.weight.T
        owner = module.pooler.blocks[block] if role == "pooler_self" else module.blocks[block]
        if role == "temporal":
            moved = moved @ owner.temporal_fc.weight.T
        elif hasattr(getattr(owner, "ls1", None), "gamma"):
            moved = moved * owner.ls1.gamma
    found = torch.zeros(tokens.shape[:2])
    for row in range(len(tokens)):
        pairs = list(zip(tokens[row], moved[row], strict=True))
        cosines = [exp(x @ y / (x.norm() * y.norm())) for x, y in pairs]
        for n, (x, y) in enumerate(pairs):
            found[row, n] = y.norm() / x.norm() * len(pairs) * cosines[n] / sum(cosines)
    return found


@pytest.mark.parametrize(
    "kind",
    ["test_videomae", "test_videomae-token", "test_videomae-scaled", "test_vivit", "test_vjepa2"],
)
def test_joint_attention(kind: str) -> None:
    module = model(kind)
    layout = module.layout()
    attention, tokens = given_to_layers(module, clips(kind))
    keys = [("joint", 0), ("joint", 1)]
    keys += [("pooler_self", 0)] if layout.pooling == "attentive" else []
    whole = torch.diag_embed(tokens[keys[0]].norm(dim=-1))
    for key in keys:
        weights = weights_of(module, key, tokens[key])
        whole = (torch.eye(whole.shape[-1]) + attention[key] * weights[:, None]) @ whole
    if layout.pooling == "attentive":
        weights = weights_of(module, ("pooler", 0), tokens["pooler", 0])
        row = ((attention["pooler", 0] * weights[:, None]) @ whole)[:, 0]
    else:
        row = whole.mean(dim=1) if layout.pooling == "mean" else whole[:, 0]
    wanted = row[:, layout.prefix_tokens :] / 2 ** len(keys)
    found = explain("token-transformation", kind, None).values
    np.testing.assert_allclose(found, wanted.reshape(found.shape), rtol=1e-4)


def test_divided_attention_has_a_step_in_time_and_one_in_space() -> None:
    kind = "test_timesformer"
    module = model(kind)
    frames, height, width = module.layout().grid
    places = height * width
    attention, tokens = given_to_layers(module, clips(kind))
    lengths = tokens["temporal", 0].norm(dim=-1)  # [BATCH * P, T]
    lengths = lengths.reshape(BATCH, places, frames).transpose(1, 2).flatten(1)
    whole = torch.diag_embed(torch.cat([torch.ones(BATCH, 1), lengths], dim=1))
    for block in range(2):
        weighted = {
            role: attention[role, block]
            * weights_of(module, (role, block), tokens[role, block])[:, None]
            for role in ("temporal", "spatial")
        }
        space, time = over_all_tokens(
            weighted["spatial"][:, None], weighted["temporal"][:, None], BATCH, 1 / frames
        )
        itself = torch.eye(1 + frames * places)
        time[:, :, 0, 0] = 1  # it stays as it is, and so its step is twice itself, halved below
        whole = (itself + space[:, 0]) @ (itself + time[:, 0]) @ whole
    wanted = whole[:, 0, 1:].reshape(BATCH, frames, height, width) / 2**4
    found = explain("token-transformation", kind, None).values
    np.testing.assert_allclose(found, wanted, rtol=1e-4)


@pytest.mark.parametrize("kind", ["frames", "frames-mean", "frames-registers"])
def test_frames_by_themselves_count_by_what_they_say(kind: str) -> None:
    module = model(kind)
    prefix, frames = module.layout().prefix_tokens, module.num_frames
    attention, tokens = given_to_layers(module, clips(kind))
    whole = torch.diag_embed(tokens["spatial", 0].norm(dim=-1))
    for block in range(2):
        weights = weights_of(module, ("spatial", block), tokens["spatial", block])
        step = attention["spatial", block] * weights[:, None]
        whole = (torch.eye(whole.shape[-1]) + step) @ whole
    rows = whole[:, prefix:].mean(dim=1) if module.pooling == "mean" else whole[:, 0]
    alone = module.vit(clips(kind).flatten(0, 1)).reshape(BATCH, frames, -1)
    speaks = (alone[..., TARGET] - alone.mean(dim=2)).clamp_min(0)
    share = (speaks / speaks.sum(dim=1, keepdim=True)).flatten()
    wanted = rows[:, prefix:] * share[:, None] / 4
    found = explain("token-transformation", kind).values
    np.testing.assert_allclose(found, wanted.reshape(found.shape), rtol=1e-4)


def test_the_matrices_are_all_of_them() -> None:
    """One of each layer; or the products above would lack a step."""
    attention, tokens = given_to_layers(model("test_vjepa2"), clips("test_vjepa2"))
    assert attention.keys() == tokens.keys()
    assert len(of_role(attention, "joint")) == 2
