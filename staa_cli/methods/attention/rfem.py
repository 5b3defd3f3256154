"""RFEM: each head rolled out by itself, filtered by its own statistics, and weighted by its peak.

Ayyar, Benois-Pineau and Zemmari 2025 (arXiv 2510.06070), equations 2 to 5. Heads are not averaged:
head h goes through all layers as the product of A_h + I. Of the outcome, r_h, what lies K standard
deviations over its mean is kept, with the head's largest value as its weight:

    sum_h max(r_h) * [r_h[n] >= mean(r_h) + K * std(r_h)].

The paper's r_h is a whole matrix, of which the class token's row is shown. Here it is that row
alone, of whatever the head reads, without the tokens before the patches: pushed down the layers as
in `rollout`, it costs no product of matrices, and the class token, which reads itself most, does
not set the threshold for all others. K is 1: the paper finds values from 0.5 to 1 best.

With divided attention head h over time follows head h over space, and the row is that of the whole
clip; where each frame goes as far as its own logits, each has a threshold of its own.
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
"""Standard deviations over the mean from which on a token is kept."""
_READERS = {"pooler": cls_rows, "temporal": full_maps}
"""By role; of other layers, queries and keys."""


class Rfem(Method):
    """What the heads see more of than usual."""

    summary = "each head rolled out by itself, kept where it is unusual, weighted by its peak"
    source = "arXiv 2510.06070, equations 2 to 5, of the read-out's row"
    units = "attention of the heads that stand out"
    supported_options = frozenset({"layers"})

    def taps(self, layout: AttentionLayout, options: Options) -> Sequence[Tap]:
        """Queries and keys of every layer, temporal maps and a pooler's rows of every head."""
        layers = attention_layers(layout, self.blocks(layout, options))
        taps = [
            Tap(role, block, role, _READERS.get(role, queries_and_keys)) for role, block in layers
        ]
        return [*taps, *frame_taps(layout)]

    def blocks(self, layout: AttentionLayout, options: Options) -> tuple[int, ...]:
        """All blocks unless the user names some."""
        return options.blocks(layout.depth, range(layout.depth))

    def attribute(self, method_inputs: MethodInputs) -> MethodOutput:
        """[B, T', h, w], with as many levels as there are sets of heads that agree."""
        layout, prefix = method_inputs.layout, method_inputs.layout.prefix_tokens
        start = start_rows(method_inputs, 1.0 / averaged_sequences(layout))[:, None]
        layers = attention_layers(layout, self.blocks(layout, method_inputs.options))
        rows = roll_out(start, layers, prefix, partial(_step, method_inputs))  # [B, heads, S, N]
        values = to_grid(filtered(rows[..., prefix:], layout), layout)
        return MethodOutput(values, shares=frame_shares(method_inputs))


def filtered(rows: Tensor, layout: AttentionLayout) -> Tensor:
    """Rows of heads [B, heads, S, n] to how much the heads that keep a token weigh, [B, S, n]."""
    read_outs = rows.shape[2] // averaged_sequences(layout)  # one, or one a frame
    each = rows.reshape(*rows.shape[:2], read_outs, -1)
    spread, mean = torch.std_mean(each, dim=-1, correction=0, keepdim=True)
    kept = each >= mean + K * spread
    return (kept * each.amax(dim=-1, keepdim=True)).sum(dim=1).reshape(rows[:, 0].shape)


def _step(method_inputs: MethodInputs, rows: Tensor, role: str, block: int) -> Tensor:
    """Rows [B, heads, S, N] to those of what each head of a layer has read."""
    read = method_inputs.captured[role, block]
    if role == "pooler":
        return read[:, :, None]  # [B, heads, 1, N]
    rows = per_head(rows, read.shape[-3])
    if role == "temporal":
        maps = read.reshape(len(rows), -1, *read.shape[1:])  # [B, P, heads, T, T']
        moved = torch.einsum("bhtp,bphts->bhsp", rows.expand(-1, maps.shape[2], -1, -1), maps)
    else:
        q, k = read  # each [B*S, heads, N, d]
        push = rows_by_head(rows.transpose(1, 2).flatten(0, 1))
        found = push(AttentionTensors(q, k, q), method_inputs.layer(role, block))
        moved = found.reshape(len(rows), -1, *found.shape[1:]).transpose(1, 2)
    return 0.5 * (rows + moved)
