"""Attention rollout: the product over layers of attention mixed with the identity.

Abnar and Zuidema 2020 (arXiv 2005.00928), section 3: A~ = 0.5 * (A + I), rolled out from the pooled
read-out down to the input. Computed as one row vector pushed down the layers, never as a product of
matrices. With divided attention a block is two steps, each with its own identity: over space in
every frame, and over time at every place, where the class token stays as it is.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from staa_cli.errors import UsageError
from staa_cli.methods.base import (
    Evidence,
    Method,
    Options,
    Reading,
    register,
    space_attention,
    space_role,
    to_grid,
)
from staa_cli.methods.staa import temporal_maps
from staa_cli.models.taps import Tap, full_map, queries_and_keys, row_product
from staa_cli.schema import AttentionLayout


@register("rollout")
class Rollout(Method):
    """Rollout of head-mean attention through all blocks."""

    summary = "attention rolled out through all blocks, half of each step being the identity"
    source = "arXiv 2005.00928, section 3"
    units = "share of attention"
    heeds = frozenset({"layers"})

    def taps(self, layout: AttentionLayout, options: Options) -> Sequence[Tap]:
        """Queries and keys of every block, and the temporal maps."""
        if layout.pooling == "attentive":
            raise UsageError(
                "rollout does not read attentive pooling yet", "`staa methods` lists the others"
            )
        taps = []
        for block in self.blocks(layout, options):
            taps.append(Tap(space_role(layout), block, "queries_keys", queries_and_keys))
            if layout.kind == "divided":
                taps.append(Tap("temporal", block, "time", full_map))
        return taps

    def blocks(self, layout: AttentionLayout, options: Options) -> tuple[int, ...]:
        """All blocks unless told otherwise."""
        return options.blocks(layout.depth, range(layout.depth))

    def attribute(self, evidence: Evidence) -> Reading:
        """The rolled-out row of the read-out, [B, T', h, w]."""
        blocks = self.blocks(evidence.layout, evidence.options)[::-1]
        joint = evidence.layout.kind == "joint"
        return (_joint if joint else _frame_by_frame)(evidence, blocks)


def _frame_by_frame(evidence: Evidence, blocks: Sequence[int]) -> Reading:
    """Rollout where space is attended in every frame by itself, and time, if at all, apart."""
    layout, batch = evidence.layout, len(evidence.inputs)
    frames, places = layout.grid[0], layout.grid[1] * layout.grid[2]
    rows = torch.zeros(batch, frames, 1 + places, device=evidence.inputs.device)
    # The class token is one row shared by all frames; each frame holds an equal part of it.
    rows[..., 0] = 1.0 / frames
    for block in blocks:
        rows = 0.5 * rows + 0.5 * _push(evidence, block, rows.flatten(0, 1)).view_as(rows)
        if layout.kind == "divided":
            rows[..., 0] = rows[..., 0].mean(dim=1, keepdim=True)
            time = temporal_maps(evidence, block)  # [B, P, T, T']
            moved = torch.einsum("btp,bpts->bsp", rows[..., 1:], time)
            rows[..., 1:] = 0.5 * rows[..., 1:] + 0.5 * moved
    values = rows[..., 1:].reshape(batch, *layout.grid)
    return Reading(values, rows[..., 0].sum(dim=1))


def _joint(evidence: Evidence, blocks: Sequence[int]) -> Reading:
    """Rollout where every token attends to every other."""
    layout, batch = evidence.layout, len(evidence.inputs)
    length = evidence.captured["queries_keys", blocks[0]].shape[-2]
    rows = torch.zeros(batch, length, device=evidence.inputs.device)
    if layout.pooling == "mean":
        rows += 1.0 / length
    else:
        rows[:, 0] = 1.0
    for block in blocks:
        rows = 0.5 * rows + 0.5 * _push(evidence, block, rows)
    mass = rows[:, 0] if layout.pooling == "cls" else None
    return Reading(to_grid(rows[:, layout.prefix_tokens :], layout, batch), mass)


def _push(evidence: Evidence, block: int, rows: Tensor) -> Tensor:
    """`rows` [R, N] times the block's head-mean attention [R, N, N]."""
    q, k = evidence.captured["queries_keys", block]
    layer = space_attention(evidence.model, evidence.layout, block)
    return row_product(rows)(q, k, q, layer)  # which does not look at the values
