"""STAA: the attention path from the classifier to each token, in one forward pass.

Divided attention: in frame t the class token attends to patch p with weight S[t, p], and that patch
attended to frame t' at the same position with weight T[p, t, t']. The class token is then averaged
over frames, so

    J[t', p] = 1/T * sum_t S[t, p] * T[p, t, t']

S alone cannot rank frames, since its rows sum to one in every frame; T adds time. Joint attention
needs no such step: its rows cover space and time already. The row is that of the class token, the
mean of all rows if the head reads the mean of tokens, row 0 if it reads token 0, and the row of the
pooler's query if there is a pooler.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from staa_cli.errors import UsageError
from staa_cli.methods.base import Method, MethodInputs, MethodOutput, Options
from staa_cli.methods.readout import (
    along_path,
    attends_over_time,
    frame_shares,
    frame_taps,
    read_blocks,
    read_role,
    row_reader,
    split_rows,
    temporal_maps,
    time_taps,
    to_grid,
)
from staa_cli.models.taps import Tap
from staa_cli.schema import AttentionLayout

COMBINATIONS = ("mean", "contrast")
UNLIKE_FLOOR = 1e-2
"""Added to the distance from the median row (at most 2), so that noise does not rank frames."""


class Staa(Method):
    """The attention path from the class token to the tokens, through space and time.

    Blocks are combined in one of two ways. ``mean`` averages their J. ``contrast``, the default for
    divided attention, takes space from S and time from T (see `contrast`). It was chosen on
    development clips, where it localizes better in space and time (docs/methods.md).
    """

    summary = "attention path from the class token through space and time"
    source = "arXiv 2411.00630; the contrast of blocks is staa's own"
    units = "share of attention"
    supported_options = frozenset({"layers", "combine"})

    def taps(self, layout: AttentionLayout, options: Options) -> Sequence[Tap]:
        """The class token's spatial row and the temporal maps of the chosen blocks.

        With ``contrast``, time is read only in the last of them.
        """
        blocks = self.blocks(layout, options)
        contrasted = combination(layout, options) == "contrast"
        taps = [Tap(read_role(layout), block, "space", row_reader(layout)) for block in blocks]
        for block in blocks[-1:] if contrasted else blocks:
            taps += time_taps(layout, block)
        return [*taps, *frame_taps(layout)]

    def blocks(self, layout: AttentionLayout, options: Options) -> tuple[int, ...]:
        """All blocks with ``contrast``, else the last one, unless the user names some.

        If a pooler's query reads the tokens, its attention is the path: always block 0.
        """
        contrasted = combination(layout, options) == "contrast"
        return read_blocks(layout, options, range(layout.depth) if contrasted else (-1,))

    def attribute(self, method_inputs: MethodInputs) -> MethodOutput:
        """The combined paths of the chosen blocks, [B, T', h, w]."""
        layout = method_inputs.layout
        blocks = self.blocks(layout, method_inputs.options)
        split = [
            split_rows(method_inputs.captured["space", block], method_inputs) for block in blocks
        ]
        masses = [mass for _, mass in split if mass is not None]
        mass = torch.stack(masses).mean(dim=0) if masses else None  # [B]
        rows = [row for row, _ in split]  # each [B, S, n]
        if combination(layout, method_inputs.options) == "contrast":
            common = to_grid(geometric_mean(torch.stack(rows)), layout)  # [B, T, h, w]
            maps = temporal_maps(method_inputs, blocks[-1])  # [B, P, T, T']
            looked = along_path(rows[-1], method_inputs, blocks[-1])
            return MethodOutput(contrast(common, maps), mass, looked)
        paths = [
            along_path(row, method_inputs, block) for row, block in zip(rows, blocks, strict=True)
        ]
        values = torch.stack(paths).mean(dim=0)  # [B, T', h, w]
        return MethodOutput(values, mass, values, shares=frame_shares(method_inputs))


def combination(layout: AttentionLayout, options: Options) -> str:
    """How blocks are combined into one map.

    Raises:
        UsageError: the combination is unknown, or does not fit the model.
    """
    if options.combine == "default":
        return "contrast" if attends_over_time(layout) else "mean"
    if options.combine == "contrast" and not attends_over_time(layout):
        raise UsageError("contrast requires divided attention", "--combine mean")
    if options.combine not in COMBINATIONS:
        raise UsageError(
            f"staa cannot combine blocks by {options.combine!r}", " or ".join(COMBINATIONS)
        )
    return options.combine


def geometric_mean(rows: Tensor) -> Tensor:
    """The geometric mean of S over blocks [blocks, ...]: where all of them look."""
    return rows.clamp_min(torch.finfo(torch.float32).tiny).log().mean(dim=0).exp()


def contrast(looked: Tensor, maps: Tensor) -> Tensor:
    """Where all blocks look, at times when a position attends differently than usual.

    Space: the geometric mean of S over blocks. Time: the distance of the row T[p, t, :] of a
    position in the last block from the median row of that position. J ranks a frame by how much
    others attend to it, but a frame at rest receives as much attention as one of the event.

    Args:
        looked: geometric mean of S over blocks, [B, T, h, w].
        maps: T of the last block [B, h*w, T, T'].

    Returns:
        [B, T, h, w]; a clip's sum is one.
    """
    median = maps.median(dim=2, keepdim=True).values  # [B, P, 1, T']
    distance = (maps - median).abs().sum(dim=3).transpose(1, 2)  # [B, T, P]
    values = looked * (distance + UNLIKE_FLOOR).reshape(looked.shape)
    return values / values.sum(dim=(1, 2, 3), keepdim=True)
