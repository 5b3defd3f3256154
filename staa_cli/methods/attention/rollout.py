"""Attention rollout: the product over layers of attention mixed with the identity.

Abnar and Zuidema 2020 (arXiv 2005.00928), section 3: A~ = 0.5 * (A + I), rolled out from the pooled
read-out down to the input. Computed as one row vector pushed down the layers, never as a product of
matrices. With divided attention a block is two steps, each with its own identity: over space in
every frame, and over time at every place, where the class token stays as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

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
    """Weight of the identity in every step: what a token keeps of itself."""

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
        rows = start_rows(method_inputs, 1.0 / averaged)  # [B, S, prefix + n]
        blocks = self.blocks(layout, method_inputs.options)
        for role, block in reversed(attention_layers(layout, blocks)):
            if role == "pooler":
                # What stays with the query is no token's, and the same for all of them.
                rows = method_inputs.captured[role, block][:, None]
            elif role == "temporal":
                # The class token is one for all frames, and stays as it is.
                rows[..., :prefix] = rows[..., :prefix].mean(dim=1, keepdim=True)
                moved = through_time(rows[..., prefix:], method_inputs, block)
                rows[..., prefix:] = self._mixed(rows[..., prefix:], moved)
            else:
                rows = self._mixed(rows, _pushed(rows, method_inputs, role, block))
        mass = rows[..., :prefix].sum(dim=2).sum(dim=1)  # [B], of as many read-outs as there are
        mass = mass / (rows.shape[1] // averaged)
        values = to_grid(rows[..., prefix:], layout)
        return MethodOutput(values, mass if prefix else None, shares=frame_shares(method_inputs))

    def _mixed(self, kept: Tensor, pushed: Tensor) -> Tensor:
        return self.identity * kept + (1 - self.identity) * pushed


def _pushed(rows: Tensor, method_inputs: MethodInputs, role: str, block: int) -> Tensor:
    """`rows` [B, S, N] times a layer's head-mean attention [B*S, N, N]."""
    q, k = method_inputs.captured[role, block]  # each [B*S, heads, N, d]
    product = row_product(rows.flatten(0, 1))  # which does not look at the values
    return product(AttentionTensors(q, k, q), method_inputs.layer(role, block)).view_as(rows)
