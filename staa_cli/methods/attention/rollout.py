"""Attention rollout: the product over layers of attention mixed with the identity.

Abnar and Zuidema 2020 (arXiv 2005.00928), section 3: A~ = 0.5 * (A + I), rolled out from the pooled
read-out down to the input. Computed as one row vector propagated down the layers, not as a product
of matrices. With divided attention a block has two steps, each with its own identity: over space in
every frame, and over time at every position, where the class token is unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from staa_cli.methods.base import Method, MethodInputs, MethodOutput, Options
from staa_cli.methods.readout import (
    attention_layers,
    averaged_sequences,
    frame_shares,
    frame_taps,
    start_rows,
    through_time,
    time_taps,
    to_grid,
)
from staa_cli.models.taps import AttentionTensors, Tap, cls_row, queries_and_keys, row_product
from staa_cli.schema import AttentionLayout


class Rollout(Method):
    """Rollout of head-mean attention through all blocks."""

    summary = "attention rolled out through all blocks, half of each step being the identity"
    source = "arXiv 2005.00928, section 3"
    units = "share of attention"
    supported_options = frozenset({"layers"})
    identity: ClassVar[float] = 0.5
    """Weight of the identity in every step."""

    def taps(self, layout: AttentionLayout, options: Options) -> Sequence[Tap]:
        """Queries and keys of every layer, the temporal maps, and the row of a pooler's query."""
        taps = frame_taps(layout)
        for role, block in attention_layers(layout, self.blocks(layout, options)):
            if role == "temporal":
                taps += time_taps(layout, block)
            else:
                read = cls_row if role == "pooler" else queries_and_keys
                taps.append(Tap(role, block, role, read))
        return taps

    def blocks(self, layout: AttentionLayout, options: Options) -> tuple[int, ...]:
        """All blocks unless the user names some."""
        return options.blocks(layout.depth, range(layout.depth))

    def attribute(self, method_inputs: MethodInputs) -> MethodOutput:
        """The rolled-out row of the read-out, [B, T', h, w]."""
        layout, prefix = method_inputs.layout, method_inputs.layout.prefix_tokens
        averaged = averaged_sequences(layout)
        start = start_rows(method_inputs, 1.0 / averaged)  # [B, S, prefix + n]
        layers = attention_layers(layout, self.blocks(layout, method_inputs.options))
        rows = roll_out(start, layers, prefix, partial(self.step, method_inputs))
        mass = rows[..., :prefix].sum(dim=2).sum(dim=1)  # [B], sum over read-outs
        mass = mass / (rows.shape[1] // averaged)
        values = to_grid(rows[..., prefix:], layout)
        return MethodOutput(
            values, mass if prefix else None, values, shares=frame_shares(method_inputs)
        )

    def step(self, method_inputs: MethodInputs, rows: Tensor, role: str, block: int) -> Tensor:
        """Rows [B, S, N] of a layer's outputs to rows of its inputs."""
        if role == "pooler":
            # The identity would stay with the query, which is not a token.
            return method_inputs.captured[role, block][:, None]
        return self.identity * rows + (1 - self.identity) * pushed(rows, method_inputs, role, block)


def roll_out(
    rows: Tensor,
    layers: Sequence[tuple[str, int]],
    prefix: int,
    step: Callable[[Tensor, str, int], Tensor],
) -> Tensor:
    """Propagate rows down the layers.

    Args:
        rows: of the last layer's tokens, [..., S, prefix + n].
        layers: (role, block), in the order in which they run.
        prefix: tokens before the patches, which attention over time leaves out.
        step: (rows, role, block) to the rows of the layer's inputs; over time, patches only.
    """
    for role, block in reversed(layers):
        if role == "temporal":
            # All frames share one class token, which is unchanged.
            kept = rows[..., :prefix].mean(dim=-2, keepdim=True).expand_as(rows[..., :prefix])
            rows = torch.cat([kept, step(rows[..., prefix:], role, block)], dim=-1)
        else:
            rows = step(rows, role, block)
    return rows


def pushed(rows: Tensor, method_inputs: MethodInputs, role: str, block: int) -> Tensor:
    """`rows` [B, S, N] times a layer's head-mean attention [B*S, N, N]; over time, [B*P, T, T]."""
    if role == "temporal":
        return through_time(rows, method_inputs, block)
    q, k = method_inputs.captured[role, block][:2]  # each [B*S, heads, N, d]
    product = row_product(rows.flatten(0, 1))  # which does not use the values
    return product(AttentionTensors(q, k, q), method_inputs.layer(role, block)).view_as(rows)
