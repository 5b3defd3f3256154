"""STAA: the attention path by which the classifier reads each token, in one forward pass.

Divided attention: in frame t the class token reads patch p with weight S[t, p]; that patch had read
frame t' at the same place with weight T[p, t, t']. The class token then averages over frames, so

    J[t', p] = 1/T * sum_t S[t, p] * T[p, t, t']

S alone cannot rank frames, since its rows sum to one in every frame; time enters by T. Joint
attention needs no such step: its rows run over space and time already. What is read is the row of
the class token, the mean of all rows where the head reads the tokens' mean, row 0 where it reads
token 0, and the row of the pooler's query where there is a pooler.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from staa_cli.errors import UsageError
from staa_cli.methods.base import (
    Evidence,
    Method,
    Options,
    Reading,
    read_blocks,
    read_role,
    register,
    to_grid,
)
from staa_cli.methods.frames import FRAME_LOGITS, frame_shares
from staa_cli.models.taps import Tap, cls_row, full_map, mean_row
from staa_cli.schema import AttentionLayout

COMBINATIONS = ("mean", "contrast")
UNLIKE_FLOOR = 1e-2
"""Added to how unlike itself a place attends, of at most 2: rounding or a codec ranks no frames."""


@register("staa")
class Staa(Method):
    """The path of attention from the class token to the tokens, through space and time.

    Several blocks become one map in either of two ways. ``mean`` averages their J. ``contrast``,
    the default for divided attention, takes space from S and time from T (see `contrast`). It was
    chosen on development clips, where it finds place and time more often (docs/methods.md).
    """

    summary = "attention path from the class token through space and time"
    source = "arXiv 2411.00630; how blocks are contrasted is staa's own"
    units = "share of attention"
    heeds = frozenset({"layers", "combine"})

    def taps(self, layout: AttentionLayout, options: Options) -> Sequence[Tap]:
        """The class token's spatial row and the temporal maps of the chosen blocks.

        Where blocks are contrasted, time is read in the last of them alone.
        """
        blocks = self.blocks(layout, options)
        if combination(layout, options) == "contrast":
            rows = [Tap("spatial", block, "space", cls_row) for block in blocks]
            return [*rows, Tap("temporal", blocks[-1], "time", full_map)]
        return [tap for block in blocks for tap in path_taps(layout, block)]

    def blocks(self, layout: AttentionLayout, options: Options) -> tuple[int, ...]:
        """All blocks where they are contrasted, else the last one, unless told otherwise.

        Where a pooler's query reads the tokens, that reading is the path: block 0, and no choice.
        """
        if combination(layout, options) == "contrast":
            return options.blocks(layout.depth, range(layout.depth))
        return read_blocks(layout, options)

    def attribute(self, evidence: Evidence) -> Reading:
        """The chosen blocks' paths in one, [B, T', h, w]."""
        layout = evidence.layout
        blocks = self.blocks(layout, evidence.options)
        if combination(layout, evidence.options) == "contrast":
            read = [spatial_rows(evidence, block) for block in blocks]
            rows = torch.stack([row for row, _ in read])
            maps = temporal_maps(evidence, blocks[-1])
            looked = geometric_mean(rows.reshape(*rows.shape[:2], *layout.grid))
            masses = [mass for _, mass in read if mass is not None]
            return Reading(contrast(looked, maps), torch.stack(masses).mean(dim=0), looked)
        paths = [attention_path(evidence, block) for block in blocks]
        masses = [mass for _, mass in paths if mass is not None]
        values = torch.stack([values for values, _ in paths]).mean(dim=0)  # [B, T', h, w]
        mass = torch.stack(masses).mean(dim=0) if masses else None
        shares = frame_shares(evidence) if layout.kind == "frame" else None
        return Reading(values, mass, values, shares=shares)


def combination(layout: AttentionLayout, options: Options) -> str:
    """How several blocks become one map.

    Raises:
        UsageError: there is no such way.
    """
    if options.combine == "default":
        return "contrast" if layout.kind == "divided" else "mean"
    if options.combine == "contrast" and layout.kind != "divided":
        raise UsageError("only divided attention can be combined by contrast", "--combine mean")
    if options.combine not in COMBINATIONS:
        raise UsageError(
            f"staa cannot combine blocks by {options.combine!r}", " or ".join(COMBINATIONS)
        )
    return options.combine


def geometric_mean(rows: Tensor) -> Tensor:
    """S of several blocks [blocks, ...] as one: what all of them look at."""
    return rows.clamp_min(torch.finfo(torch.float32).tiny).log().mean(dim=0).exp()


def contrast(looked: Tensor, maps: Tensor) -> Tensor:
    """Where every block looks, at the times when such a place attends unlike it usually does.

    Space: the geometric mean of S over blocks. Time: how far
    the row T[p, t, :] of a place in the last of them is from that place's median row. J ranks
    frames by who is asked, but a frame at rest is asked as often as one of an event, since each
    explains the other.

    Args:
        looked: S of all blocks in one [B, T, h, w].
        maps: T of the last block [B, h*w, T, T'].

    Returns:
        [B, T, h, w], a clip's sum is one.
    """
    usual = maps.median(dim=2, keepdim=True).values  # [B, P, 1, T']
    unlike = (maps - usual).abs().sum(dim=3).transpose(1, 2)  # [B, T, P]
    values = looked * (unlike + UNLIKE_FLOOR).reshape(looked.shape)
    return values / values.sum(dim=(1, 2, 3), keepdim=True)


def path_taps(layout: AttentionLayout, block: int) -> list[Tap]:
    """What one block's attention path needs to be read."""
    if layout.kind == "divided":
        return [
            Tap("spatial", block, "space", cls_row),
            Tap("temporal", block, "time", full_map),
        ]
    read = partial(mean_row, first=layout.prefix_tokens) if layout.pooling == "mean" else cls_row
    taps = [Tap(read_role(layout), block, "space", read)]
    return [*taps, FRAME_LOGITS] if layout.kind == "frame" else taps


def spatial_rows(evidence: Evidence, block: int) -> tuple[Tensor, Tensor | None]:
    """S [B, T, P] of a block, and the share [B] that is no patch's, mean over frames.

    The share is None where there are patches alone.
    """
    frames, prefix = evidence.layout.grid[0], evidence.layout.prefix_tokens
    rows = evidence.captured["space", block]  # [B*T, prefix + P]
    rows = rows.reshape(len(evidence.inputs), frames, -1)
    other = rows[..., :prefix].sum(dim=2).mean(dim=1) if prefix else None
    return rows[..., prefix:], other


def temporal_maps(evidence: Evidence, block: int) -> Tensor:
    """T [B, P, T, T'] of a block."""
    maps = evidence.captured["time", block]  # [B*P, T, T]
    return maps.reshape(len(evidence.inputs), -1, *maps.shape[1:])


def attention_path(evidence: Evidence, block: int) -> tuple[Tensor, Tensor | None]:
    """J [B, T', h, w] of one block, and the mass [B] that stays on the class token.

    Where each frame is seen by itself, J is within the frame: its sum is one, less that mass.
    """
    layout, batch = evidence.layout, len(evidence.inputs)
    if layout.kind == "joint":
        row = evidence.captured["space", block]  # [B, prefix + T'*P]
        mass = row[:, 0] if layout.pooling == "cls" else None
        return to_grid(row[:, layout.prefix_tokens :], layout, batch), mass
    space, mass = spatial_rows(evidence, block)
    if layout.kind == "space":
        return space.reshape(batch, *layout.grid) / layout.grid[0], mass
    if layout.kind == "frame":
        return space.reshape(batch, *layout.grid), mass
    time = temporal_maps(evidence, block)
    path = torch.einsum("btp,bpts->bsp", space, time) / layout.grid[0]  # [B, T', P]
    return path.reshape(batch, *layout.grid), mass
