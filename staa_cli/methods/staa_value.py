"""STAA weighted by what attention moves: ||alpha * W_o v|| in place of alpha.

Kobayashi et al. 2020, "Attention is not only a weight" (arXiv 2004.10102), equation 7: a token that
is looked at but whose value is near zero contributes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from staa_cli.methods.base import (
    Evidence,
    Method,
    Options,
    Reading,
    register,
    require_class_token,
    space_attention,
    space_role,
    to_grid,
)
from staa_cli.methods.staa import temporal_maps
from staa_cli.models.taps import Tap, cls_values, full_map
from staa_cli.schema import AttentionLayout


@register("staa-value")
class StaaValue(Method):
    """The attention path, each token weighted by the size of what is moved."""

    summary = "as staa, each token weighted by the size of what attention moves"
    source = "arXiv 2004.10102, equation 7"
    units = "norm of what is written"
    heeds = frozenset({"layers"})

    def taps(self, layout: AttentionLayout, options: Options) -> Sequence[Tap]:
        """What the class token takes from every token, and the temporal maps."""
        require_class_token(layout, "staa-value")
        return [tap for block in self.blocks(layout, options) for tap in value_taps(layout, block)]

    def blocks(self, layout: AttentionLayout, options: Options) -> tuple[int, ...]:
        """The last block unless told otherwise."""
        return options.blocks(layout.depth, [layout.depth - 1])

    def attribute(self, evidence: Evidence) -> Reading:
        """The mean over the chosen blocks, [B, T', h, w]."""
        blocks = self.blocks(evidence.layout, evidence.options)
        return Reading(torch.stack([self._block(evidence, block) for block in blocks]).mean(dim=0))

    def _block(self, evidence: Evidence, block: int) -> Tensor:
        layout, batch = evidence.layout, len(evidence.inputs)
        projection = class_token_projection(evidence.model, layout, block)
        written = evidence.captured["values", block] @ projection.T  # [B*T or B, N, D]
        norms = written.norm(dim=-1)  # [B*T, 1+P], or [B, 1+N] joint
        if layout.kind == "joint":
            return to_grid(norms[:, layout.prefix_tokens :], layout, batch)
        space = norms[:, 1:].reshape(batch, layout.grid[0], -1)  # [B, T, P]
        if layout.kind == "divided":
            time = temporal_maps(evidence, block)  # [B, P, T, T']
            space = torch.einsum("btp,bpts->bsp", space, time)
        mean: Tensor = space / layout.grid[0]  # the class token averages over frames
        return mean.reshape(batch, *layout.grid)


def value_taps(layout: AttentionLayout, block: int) -> list[Tap]:
    """What the class token takes in one block, and where those tokens had looked in time."""
    taps = [Tap(space_role(layout), block, "values", cls_values)]
    if layout.kind == "divided":
        taps.append(Tap("temporal", block, "time", full_map))
    return taps


def class_token_projection(model: nn.Module, layout: AttentionLayout, block: int) -> Tensor:
    """W_o [D, heads * d] of the attention layer in which the class token reads."""
    return space_attention(model, layout, block).proj.weight.float()
