"""STAA: the attention path by which the classifier reads each token, in one forward pass.

Divided attention: in frame t the class token reads patch p with weight S[t, p]; that patch had read
frame t' at the same place with weight T[p, t, t']. The class token then averages over frames, so

    J[t', p] = 1/T * sum_t S[t, p] * T[p, t, t']

S alone cannot rank frames, since its rows sum to one in every frame; time enters by T. Joint
attention needs no such step: its rows run over space and time already.
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
    space_role,
    to_grid,
)
from staa_cli.models.taps import Tap, cls_row, full_map, mean_row
from staa_cli.schema import AttentionLayout

COMBINATIONS = ("mean", "product")


@register("staa")
class Staa(Method):
    """The path of attention from the class token to the tokens, through space and time.

    Several blocks become one map in either of two ways. ``mean`` averages their J. ``product``, the
    default for divided attention, multiplies that by the geometric mean of their S: where the class
    token itself looked in every block. It was chosen on development clips, where it points to the
    right place more often (README).
    """

    summary = "attention path from the class token through space and time"
    source = "arXiv 2411.00630"
    units = "share of attention"
    heeds = frozenset({"layers", "combine"})

    def taps(self, layout: AttentionLayout, options: Options) -> Sequence[Tap]:
        """The class token's spatial row and the temporal maps of the chosen blocks."""
        combination(layout, options)
        blocks = self.blocks(layout, options)
        return [tap for block in blocks for tap in path_taps(layout, block)]

    def blocks(self, layout: AttentionLayout, options: Options) -> tuple[int, ...]:
        """All blocks where they are multiplied, else the last one, unless told otherwise."""
        last = [layout.depth - 1]
        product = combination(layout, options) == "product"
        return options.blocks(layout.depth, range(layout.depth) if product else last)

    def attribute(self, evidence: Evidence) -> Reading:
        """The chosen blocks' paths in one, [B, T', h, w]."""
        layout = evidence.layout
        blocks = self.blocks(layout, evidence.options)
        paths = [attention_path(evidence, block) for block in blocks]
        masses = [mass for _, mass in paths if mass is not None]
        values = torch.stack([values for values, _ in paths]).mean(dim=0)  # [B, T', h, w]
        if combination(layout, evidence.options) == "product":
            rows = torch.stack([spatial_rows(evidence, block)[0] for block in blocks])
            values = values * geometric_mean(rows).reshape(values.shape)
        return Reading(values, torch.stack(masses).mean(dim=0) if masses else None)


def combination(layout: AttentionLayout, options: Options) -> str:
    """How several blocks become one map.

    Raises:
        UsageError: there is no such way.
    """
    if options.combine == "default":
        return "product" if layout.kind == "divided" else "mean"
    if options.combine == "product" and layout.kind != "divided":
        raise UsageError("only divided attention can be combined by product", "--combine mean")
    if options.combine not in COMBINATIONS:
        raise UsageError(
            f"staa cannot combine blocks by {options.combine!r}", " or ".join(COMBINATIONS)
        )
    return options.combine


def geometric_mean(values: Tensor) -> Tensor:
    """Geometric mean over the first axis of numbers that are not negative."""
    tiny = torch.finfo(torch.float32).tiny
    return values.clamp_min(tiny).log().mean(dim=0).exp()


def path_taps(layout: AttentionLayout, block: int) -> list[Tap]:
    """What one block's attention path needs to be read."""
    if layout.kind == "divided":
        return [
            Tap("spatial", block, "space", cls_row),
            Tap("temporal", block, "time", full_map),
        ]
    if layout.pooling == "attentive":
        raise UsageError(
            "staa does not read attentive pooling yet", "`staa methods` lists the others"
        )
    read = mean_row if layout.pooling == "mean" else cls_row
    return [Tap(space_role(layout), block, "space", read)]


def spatial_rows(evidence: Evidence, block: int) -> tuple[Tensor, Tensor]:
    """S [B, T, P] of a block, and the class token's own share [B], mean over frames."""
    frames = evidence.layout.grid[0]
    rows = evidence.captured["space", block]  # [B*T, 1+P]
    rows = rows.reshape(len(evidence.inputs), frames, -1)
    return rows[..., 1:], rows[..., 0].mean(dim=1)


def temporal_maps(evidence: Evidence, block: int) -> Tensor:
    """T [B, P, T, T'] of a block."""
    maps = evidence.captured["time", block]  # [B*P, T, T]
    return maps.reshape(len(evidence.inputs), -1, *maps.shape[1:])


def attention_path(evidence: Evidence, block: int) -> tuple[Tensor, Tensor | None]:
    """J [B, T', h, w] of one block, and the mass [B] that stays on the class token."""
    layout, batch = evidence.layout, len(evidence.inputs)
    if layout.kind == "joint":
        row = evidence.captured["space", block]  # [B, prefix + T'*P]
        mass = row[:, 0] if layout.pooling == "cls" else None
        return to_grid(row[:, layout.prefix_tokens :], layout, batch), mass
    space, mass = spatial_rows(evidence, block)
    if layout.kind == "space":
        return space.reshape(batch, *layout.grid) / layout.grid[0], mass
    time = temporal_maps(evidence, block)
    path = torch.einsum("btp,bpts->bsp", space, time) / layout.grid[0]  # [B, T', P]
    return path.reshape(batch, *layout.grid), mass
