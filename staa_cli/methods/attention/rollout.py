"""Attention rollout: the product over layers of attention mixed with the identity.

Abnar and Zuidema 2020 (arXiv 2005.00928), section 3: A~ = 0.5 * (A + I), rolled out from the pooled
read-out down to the input. Computed as one row vector pushed down the layers, never as a product of
matrices. With divided attention a block is two steps, each with its own identity: over space in
every frame, and over time at every place, where the class token stays as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from staa_cli.methods.attention.frames import FRAME_LOGITS, frame_shares
from staa_cli.methods.attention.staa import temporal_maps
from staa_cli.methods.base import (
    Method,
    MethodInputs,
    MethodOutput,
    Options,
    space_role,
    to_grid,
)
from staa_cli.models.taps import (
    AttentionTensors,
    Tap,
    cls_row,
    full_map,
    queries_and_keys,
    row_product,
)
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
        """Queries and keys of every block, and the temporal maps."""
        taps = []
        if layout.pooling == "attentive":
            taps = [Tap("pooler", 0, "read", cls_row)]
            taps += [
                Tap("pooler_self", block, "pooler", queries_and_keys)
                for block in range(layout.pooler_depth)
            ]
        for block in self.blocks(layout, options):
            taps.append(Tap(space_role(layout), block, "queries_keys", queries_and_keys))
            if layout.kind == "divided":
                taps.append(Tap("temporal", block, "time", full_map))
        if layout.kind == "frame":
            taps.append(FRAME_LOGITS)
        return taps

    def blocks(self, layout: AttentionLayout, options: Options) -> tuple[int, ...]:
        """All blocks unless told otherwise."""
        return options.blocks(layout.depth, range(layout.depth))

    def attribute(self, method_inputs: MethodInputs) -> MethodOutput:
        """The rolled-out row of the read-out, [B, T', h, w]."""
        blocks = self.blocks(method_inputs.layout, method_inputs.options)[::-1]
        joint = method_inputs.layout.kind == "joint"
        return (_joint if joint else _frame_by_frame)(method_inputs, blocks, self.identity)


def _frame_by_frame(
    method_inputs: MethodInputs, blocks: Sequence[int], identity: float
) -> MethodOutput:
    """Rollout where space is attended in every frame by itself, and time, if at all, apart."""
    layout, batch = method_inputs.layout, len(method_inputs.inputs)
    frames, places = layout.grid[0], layout.grid[1] * layout.grid[2]
    prefix = layout.prefix_tokens
    rows = torch.zeros(batch, frames, prefix + places, device=method_inputs.inputs.device)
    shares = frame_shares(method_inputs) if layout.kind == "frame" else None
    # The class token is one row shared by all frames, of which each holds an equal part; where each
    # frame is seen by itself, it has its own.
    share = 1.0 if layout.kind == "frame" else 1.0 / frames
    if layout.pooling == "mean":
        rows[..., prefix:] = share / places
    else:
        rows[..., :1] = share
    for block in blocks:
        pushed = _push(method_inputs, block, rows.flatten(0, 1)).view_as(rows)
        rows = identity * rows + (1 - identity) * pushed
        if layout.kind == "divided":
            rows[..., 0] = rows[..., 0].mean(dim=1, keepdim=True)
            time = temporal_maps(method_inputs, block)  # [B, P, T, T']
            moved = torch.einsum("btp,bpts->bsp", rows[..., 1:], time)
            rows[..., 1:] = identity * rows[..., 1:] + (1 - identity) * moved
    values = rows[..., prefix:].reshape(batch, *layout.grid)
    mass = rows[..., :prefix].sum(dim=2)  # [B, T]
    mass = mass.mean(dim=1) if layout.kind == "frame" else mass.sum(dim=1)
    return MethodOutput(values, mass if prefix else None, shares=shares)


def _joint(method_inputs: MethodInputs, blocks: Sequence[int], identity: float) -> MethodOutput:
    """Rollout where every token attends to every other."""
    layout, batch = method_inputs.layout, len(method_inputs.inputs)
    length = method_inputs.captured["queries_keys", blocks[0]].shape[-2]
    rows = _read_out(method_inputs, length, identity)
    for block in blocks:
        rows = identity * rows + (1 - identity) * _push(method_inputs, block, rows)
    mass = rows[:, 0] if layout.pooling == "cls" else None
    return MethodOutput(to_grid(rows[:, layout.prefix_tokens :], layout, batch), mass)


def _read_out(method_inputs: MethodInputs, length: int, identity: float) -> Tensor:
    """[B, N] what the head reads of the last block's tokens."""
    pooling, batch = method_inputs.layout.pooling, len(method_inputs.inputs)
    if pooling == "mean":
        prefix = method_inputs.layout.prefix_tokens
        row = torch.full(
            (batch, length), 1.0 / (length - prefix), device=method_inputs.inputs.device
        )
        row[:, :prefix] = 0
        return row
    if pooling == "attentive":
        # What stays with the query is no token's, and the same for all of them.
        rows = method_inputs.captured["read", 0]
        for block in reversed(range(method_inputs.layout.pooler_depth)):
            pushed = _push(method_inputs, block, rows, "pooler_self", "pooler")
            rows = identity * rows + (1 - identity) * pushed
        return rows
    rows = torch.zeros(batch, length, device=method_inputs.inputs.device)
    rows[:, 0] = 1.0
    return rows


def _push(
    method_inputs: MethodInputs,
    block: int,
    rows: Tensor,
    role: str | None = None,
    name: str = "queries_keys",
) -> Tensor:
    """`rows` [R, N] times a block's head-mean attention [R, N, N]."""
    q, k = method_inputs.captured[name, block]
    layer = method_inputs.layer(role or space_role(method_inputs.layout), block)
    return row_product(rows)(AttentionTensors(q, k, q), layer)  # which does not look at the values
