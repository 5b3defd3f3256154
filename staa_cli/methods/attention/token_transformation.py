"""TokenTM: attention rollout, each token weighted by its transformation in a layer.

Wu et al. 2024 (CVPR, arXiv 2403.14552). A layer moves not its tokens x[n] but transformed ones,
x~[n] = W_o v[n]. The weight of a token measures the change of its length and of its direction:

    w[n] = |x~[n]| / |x[n]| * NECC[n],   NECC[n] = N * exp(cos[n]) / sum_m exp(cos[m]),

with cos[n] the cosine between x~[n] and x[n], over the N tokens of one attention. A layer's step is
I + A diag(w), and the product of all of them begins with the tokens' lengths, diag(|x[n]|) of the
first layer. It is propagated as one row, as in `rollout`, with attention over time as a separate
step.

Unlike in the paper, no gradient weights A, so that one pass is enough and the map is class-blind;
the step of the MLP, which moves nothing between tokens, is left out; lengths are those of the
layer's input tokens, after its norm; and the factor N, which gives average tokens a weight near
one, is staa's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
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
from staa_cli.models.linear import linear
from staa_cli.models.taps import AttentionTensors, Tap, cls_row
from staa_cli.schema import AttentionLayout


class TokenTransformation(Rollout):
    """Rollout of attention and of its transformation of the tokens."""

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
        """The output projections."""
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
        """Rows [B, S, N] of a layer's outputs to rows of its inputs; halved, as in `rollout`."""
        weights = _by_sequence(_transformation(method_inputs, role, block), method_inputs, role)
        if role == "pooler":
            return method_inputs.captured["row", block][:, None] * weights
        return 0.5 * (rows + pushed(rows, method_inputs, role, block) * weights)


def _tensors(tensors: AttentionTensors, layer: nn.Module) -> Any:
    """A layer's tensors without its attention output.

    Raises:
        UsageError: it does not expose its input tokens.
    """
    if tensors.x is None:
        raise UsageError(
            "the model's attention does not show the tokens that it is given",
            "let it call record(self, q, k, v, out, x), or be a TapAttention",
        )
    return tensors._replace(out=None)


def _transformation(method_inputs: MethodInputs, role: str, block: int) -> Tensor:
    """The weights of the tokens in a layer's sequences, [rows, N]."""
    tensors: AttentionTensors = method_inputs.captured[role, block]  # type: ignore[assignment]
    assert tensors.x is not None  # checked by its reader
    before = tensors.x.float()  # [rows, N, D]
    after = tensors.v.float().transpose(-3, -2).flatten(-2)  # [rows, N, D]
    projection = output_projection(method_inputs, block, role)
    if projection is not None:
        after = linear(after, projection)
    smallest = torch.finfo(torch.float32).tiny
    length, changed = (x.norm(dim=-1).clamp_min(smallest) for x in (before, after))
    cosine = torch.linalg.vecdot(before, after) / (length * changed)
    weights: Tensor = changed / length * cosine.softmax(dim=-1) * before.shape[-2]
    return weights


def _by_sequence(values: Tensor, method_inputs: MethodInputs, role: str) -> Tensor:
    """Values of tokens [rows, N] to [B, S, N] or, over time, [B*P, T] to [B, T, P]."""
    values = values.reshape(len(method_inputs.inputs), -1, values.shape[-1])
    return values.transpose(1, 2) if role == "temporal" else values
