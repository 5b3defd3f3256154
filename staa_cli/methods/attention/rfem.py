"""RFEM: rollout of each head separately, filtered by its own statistics, weighted by its peak.

Ayyar, Benois-Pineau and Zemmari 2025 (arXiv 2510.06070), equations 2 to 5. Heads are not averaged:
r_h is the product of A_h + I over all layers. Tokens at least K standard deviations above its mean
are kept, with the head's largest value as their weight:

    sum_h max(r_h) * [r_h[n] >= mean(r_h) + K * std(r_h)].

The paper's r_h is a matrix, and the map is the class token's row. Here r_h is only the row of the
token that the head reads, without the prefix tokens: propagated down the layers as in `rollout`,
it needs no product of matrices, and the class token, which attends to itself most, does not set
the threshold for all others. K is 1: the paper finds values from 0.5 to 1 best.

With divided attention, head h over time follows head h over space, and the row is that of the whole
clip; if each frame has its own logits, each has its own threshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from staa_cli.methods.attention.rollout import roll_out
from staa_cli.methods.base import Method, MethodInputs, MethodOutput, Options
from staa_cli.methods.readout import (
    attention_layers,
    averaged_sequences,
    frame_shares,
    frame_taps,
    per_head,
    start_rows,
    to_grid,
)
from staa_cli.models.taps import (
    AttentionTensors,
    Tap,
    cls_rows,
    full_maps,
    queries_and_keys,
    rows_by_head,
)
from staa_cli.schema import AttentionLayout

K = 1.0
"""Standard deviations above the mean from which a token is kept."""
_READERS = {"pooler": cls_rows, "temporal": full_maps}
"""By role; queries and keys for other layers."""


class Rfem(Method):
    """Tokens to which heads attend more than usual."""

    summary = "rollout of each head, kept where it exceeds its mean by far, weighted by its peak"
    source = "arXiv 2510.06070, equations 2 to 5, for the read-out's row"
    units = "attention of the heads that stand out"
    supported_options = frozenset({"layers"})

    def taps(self, layout: AttentionLayout, options: Options) -> Sequence[Tap]:
        """Queries and keys of every layer, and per head, temporal maps and a pooler's rows."""
        layers = attention_layers(layout, self.blocks(layout, options))
        taps = [
            Tap(role, block, role, _READERS.get(role, queries_and_keys)) for role, block in layers
        ]
        return [*taps, *frame_taps(layout)]

    def blocks(self, layout: AttentionLayout, options: Options) -> tuple[int, ...]:
        """All blocks unless the user names some."""
        return options.blocks(layout.depth, range(layout.depth))

    def attribute(self, method_inputs: MethodInputs) -> MethodOutput:
        """[B, T', h, w], with one level for each set of heads that agree."""
        layout, prefix = method_inputs.layout, method_inputs.layout.prefix_tokens
        start = start_rows(method_inputs, 1.0 / averaged_sequences(layout))[:, None]
        layers = attention_layers(layout, self.blocks(layout, method_inputs.options))
        rows = roll_out(start, layers, prefix, partial(_step, method_inputs))  # [B, heads, S, N]
        values = to_grid(filtered(rows[..., prefix:], layout), layout)
        return MethodOutput(values, shares=frame_shares(method_inputs))


def filtered(rows: Tensor, layout: AttentionLayout) -> Tensor:
    """Rows of heads [B, heads, S, n] to the total weight of the heads that keep a token."""
    read_outs = rows.shape[2] // averaged_sequences(layout)  # one, or one per frame
    by_read_out = rows.reshape(*rows.shape[:2], read_outs, -1)
    deviation, mean = torch.std_mean(by_read_out, dim=-1, correction=0, keepdim=True)
    kept = by_read_out >= mean + K * deviation
    return (kept * by_read_out.amax(dim=-1, keepdim=True)).sum(dim=1).reshape(rows[:, 0].shape)


def _step(method_inputs: MethodInputs, rows: Tensor, role: str, block: int) -> Tensor:
    """Rows [B, heads, S, N] of a layer's outputs to rows of its inputs."""
    captured = method_inputs.captured[role, block]
    if role == "pooler":
        return captured[:, :, None]  # [B, heads, 1, N]
    rows = per_head(rows, captured.shape[-3])
    if role == "temporal":
        maps = captured.reshape(len(rows), -1, *captured.shape[1:])  # [B, P, heads, T, T']
        moved = torch.einsum("bhtp,bphts->bhsp", rows.expand(-1, maps.shape[2], -1, -1), maps)
    else:
        q, k = captured  # each [B*S, heads, N, d]
        product = rows_by_head(rows.transpose(1, 2).flatten(0, 1))
        by_sequence = product(AttentionTensors(q, k, q), method_inputs.layer(role, block))
        moved = by_sequence.reshape(len(rows), -1, *by_sequence.shape[1:]).transpose(1, 2)
    return 0.5 * (rows + moved)
