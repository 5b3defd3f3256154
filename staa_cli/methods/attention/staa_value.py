"""STAA weighted by what attention moves: ||alpha * W_o v|| in place of alpha.

Kobayashi et al. 2020, "Attention is not only a weight" (arXiv 2004.10102), equation 7: a token that
is looked at but whose value is near zero contributes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from staa_cli.methods.attention.frames import FRAME_LOGITS, frame_shares
from staa_cli.methods.attention.staa import temporal_maps
from staa_cli.methods.base import (
    Method,
    MethodInputs,
    MethodOutput,
    Options,
    read_blocks,
    read_role,
    to_grid,
)
from staa_cli.models.taps import Tap, cls_values, full_map, mean_values
from staa_cli.schema import AttentionLayout


class StaaValue(Method):
    """The attention path, each token weighted by the size of what is moved."""

    summary = "as staa, each token weighted by the size of what attention moves"
    source = "arXiv 2004.10102, equation 7"
    units = "norm of what is written"
    supported_options = frozenset({"layers"})

    def taps(self, layout: AttentionLayout, options: Options) -> Sequence[Tap]:
        """What is taken from every token, and the temporal maps."""
        return [tap for block in self.blocks(layout, options) for tap in value_taps(layout, block)]

    def weights(self, layout: AttentionLayout, options: Options) -> Sequence[str]:
        """Those that write what is moved."""
        return output_weights(layout, self.blocks(layout, options))

    def blocks(self, layout: AttentionLayout, options: Options) -> tuple[int, ...]:
        """The last block unless told otherwise."""
        return read_blocks(layout, options)

    def attribute(self, method_inputs: MethodInputs) -> MethodOutput:
        """The mean over the chosen blocks, [B, T', h, w]."""
        blocks = self.blocks(method_inputs.layout, method_inputs.options)
        values = torch.stack([self._block(method_inputs, block) for block in blocks]).mean(dim=0)
        shares = frame_shares(method_inputs) if method_inputs.layout.kind == "frame" else None
        return MethodOutput(values, shares=shares)

    def _block(self, method_inputs: MethodInputs, block: int) -> Tensor:
        layout, batch = method_inputs.layout, len(method_inputs.inputs)
        written = method_inputs.captured["values", block]
        projection = output_projection(method_inputs, block)
        if projection is not None:
            written = written @ projection.T  # [B*T or B, N, D]
        norms: Tensor = written.norm(dim=-1)  # [B*T, 1+P], or [B, prefix + N] joint
        if layout.kind == "joint":
            return to_grid(norms[:, layout.prefix_tokens :], layout, batch)
        space = norms[:, layout.prefix_tokens :].reshape(batch, layout.grid[0], -1)  # [B, T, P]
        if layout.kind == "frame":
            return space.reshape(batch, *layout.grid)
        if layout.kind == "divided":
            time = temporal_maps(method_inputs, block)  # [B, P, T, T']
            space = torch.einsum("btp,bpts->bsp", space, time)
        mean: Tensor = space / layout.grid[0]  # the class token averages over frames
        return mean.reshape(batch, *layout.grid)


def value_taps(layout: AttentionLayout, block: int) -> list[Tap]:
    """What the head's token takes in one block, and where those tokens had looked in time."""
    mean = partial(mean_values, first=layout.prefix_tokens)
    taps = [
        Tap(read_role(layout), block, "values", mean if layout.pooling == "mean" else cls_values)
    ]
    if layout.kind == "divided":
        taps.append(Tap("temporal", block, "time", full_map))
    if layout.kind == "frame":
        taps.append(FRAME_LOGITS)
    return taps


def output_weights(layout: AttentionLayout, blocks: Sequence[int]) -> list[str]:
    """Names of what `output_projection` reads."""
    if layout.pooling == "attentive":
        return []
    return [f"blocks.{block}.attn.proj.weight" for block in blocks]


def output_projection(method_inputs: MethodInputs, block: int) -> Tensor | None:
    """W_o [D, heads * d] of the layer that reads, scaled as the block scales what it writes.

    None for a pooler's query, which has none.
    """
    if method_inputs.layout.pooling == "attentive":
        return None
    model: Any = method_inputs.model
    owner = model.blocks[block]
    weight: Tensor = owner.attn.proj.weight.float()
    gamma: Tensor | None = getattr(getattr(owner, "ls1", None), "gamma", None)
    return weight if gamma is None else gamma.float()[:, None] * weight
