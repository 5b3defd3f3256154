"""TokenTM: attention rolled out, each token weighted by how it is transformed on the way.

Wu et al. 2024 (CVPR, arXiv 2403.14552). A layer moves not its tokens x[n] but what it makes of
them, x~[n] = W_o v[n]. How much of a token arrives is told by how long it has become and how far it
still points where it did:

    w[n] = |x~[n]| / |x[n]| * NECC[n],   NECC[n] = N * exp(cos[n]) / sum_m exp(cos[m]),

with cos[n] the cosine between x~[n] and x[n], among the N tokens that are attended together. A
layer's step is I + A diag(w), and the product of all of them begins at the tokens' own lengths,
diag(|x[n]|) of the first layer. It is pushed down as one row, as in `rollout`, of which this is the
weighted kin, with attention over time as a step of its own.

Not as in the paper: no gradient weights A, so that one pass is enough, and no class is spoken of;
the step of the MLP, which moves nothing from token to token, is left out; lengths are those of
tokens as the layer is given them, after its norm; and the factor N, by which a token like all
others counts what attention gives it, is staa's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from staa_cli.errors import UsageError
from staa_cli.methods.attention.rollout import Rollout, pushed
from staa_cli.methods.base import MethodInputs, MethodOutput, Options
from staa_cli.methods.readout import (
    attention_layers,
    frame_taps,
    output_projection,
    projection_names,
    time_taps,
    to_grid,
)
from staa_cli.models.taps import AttentionTensors, Tap, cls_row
from staa_cli.schema import AttentionLayout


class TokenTransformation(Rollout):
    """Rollout of attention and of what it does to the tokens."""

    summary = "attention rolled out, tokens weighted by how their length and direction change"
    source = "after arXiv 2403.14552, without its gradient"
    units = "weighted attention"

    def taps(self, layout: AttentionLayout, options: Options) -> Sequence[Tap]:
        """Every layer's queries, keys, values, and tokens; the temporal maps, a pooler's row."""
        taps = frame_taps(layout)
        for role, block in attention_layers(layout, self.blocks(layout, options)):
            taps.append(Tap(role, block, role, _tensors))
            if role == "temporal":
                taps += time_taps(layout, block)
            elif role == "pooler":
                taps.append(Tap(role, block, "row", cls_row))
        return taps

    def weights(self, layout: AttentionLayout, options: Options) -> Sequence[str]:
        """Those that write what is moved."""
        layers = attention_layers(layout, self.blocks(layout, options))
        return [name for layer in layers for name in projection_names(*layer)]

    def attribute(self, method_inputs: MethodInputs) -> MethodOutput:
        """The rolled-out row, times the tokens' own lengths, [B, T', h, w]."""
        layout = method_inputs.layout
        rolled = super().attribute(method_inputs)
        role, block = attention_layers(layout, self.blocks(layout, method_inputs.options))[0]
        lengths = method_inputs.captured[role, block].x.float().norm(dim=-1)  # type: ignore[attr-defined]
        lengths = _by_sequence(lengths, method_inputs, role)  # [B, S, prefix + n or P]
        patches = lengths if role == "temporal" else lengths[..., layout.prefix_tokens :]
        return replace(rolled, values=rolled.values * to_grid(patches, layout), cls_self_mass=None)

    def step(self, method_inputs: MethodInputs, rows: Tensor, role: str, block: int) -> Tensor:
        """Rows [B, S, N] to those of what a layer has read; half of them, as in `rollout`."""
        weights = _by_sequence(_transformation(method_inputs, role, block), method_inputs, role)
        if role == "pooler":
            return method_inputs.captured["row", block][:, None] * weights
        return 0.5 * (rows + pushed(rows, method_inputs, role, block) * weights)


def _tensors(seen: AttentionTensors, layer: nn.Module) -> Any:
    """What a layer shows, without what its queries receive.

    Raises:
        UsageError: it does not show the tokens that it is given.
    """
    if seen.x is None:
        raise UsageError(
            "the model's attention does not show the tokens that it is given",
            "let it call record(self, q, k, v, out, x), or be a TapAttention",
        )
    return seen._replace(out=None)


def _transformation(method_inputs: MethodInputs, role: str, block: int) -> Tensor:
    """The weights of the tokens of a layer's own sequences, [rows, N]."""
    seen: AttentionTensors = method_inputs.captured[role, block]  # type: ignore[assignment]
    assert seen.x is not None  # as its reader has made sure
    before, after = seen.x.float(), seen.v.float().transpose(-3, -2).flatten(-2)  # [rows, N, D]
    projection = output_projection(method_inputs, block, role)
    if projection is not None:
        after = F.linear(after, projection)
    grown = after.norm(dim=-1) / before.norm(dim=-1).clamp_min(torch.finfo(torch.float32).tiny)
    necc = F.cosine_similarity(before, after, dim=-1).softmax(dim=-1) * before.shape[-2]
    weights: Tensor = grown * necc
    return weights


def _by_sequence(values: Tensor, method_inputs: MethodInputs, role: str) -> Tensor:
    """Numbers of tokens [rows, N] to [B, S, N], or, of [B*P, T], to [B, T, P]."""
    values = values.reshape(len(method_inputs.inputs), -1, values.shape[-1])
    return values.transpose(1, 2) if role == "temporal" else values
