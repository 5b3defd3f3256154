"""STAA weighted by the transformed values: ||alpha * W_o v|| in place of alpha.

Kobayashi et al. 2020, "Attention is not only a weight" (arXiv 2004.10102), equation 7: a token with
high attention but a value near zero contributes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from staa_cli.methods.base import Method, MethodInputs, MethodOutput, Options
from staa_cli.methods.readout import (
    along_path,
    frame_shares,
    frame_taps,
    output_projection,
    output_weights,
    read_blocks,
    read_role,
    split_rows,
    time_taps,
    value_reader,
)
from staa_cli.models.linear import linear
from staa_cli.models.taps import Tap
from staa_cli.schema import AttentionLayout


class StaaValue(Method):
    """The attention path, each token weighted by the norm of its transformed value."""

    summary = "like staa, with each token weighted by the norm of its transformed value"
    source = "arXiv 2004.10102, equation 7"
    units = "norm of the transformed value"
    supported_options = frozenset({"layers"})

    def taps(self, layout: AttentionLayout, options: Options) -> Sequence[Tap]:
        """The weighted values of every token, and the temporal maps."""
        taps = []
        for block in self.blocks(layout, options):
            taps.append(Tap(read_role(layout), block, "values", value_reader(layout)))
            taps += time_taps(layout, block)
        return [*taps, *frame_taps(layout)]

    def weights(self, layout: AttentionLayout, options: Options) -> Sequence[str]:
        """The output projections."""
        return output_weights(layout, self.blocks(layout, options))

    def blocks(self, layout: AttentionLayout, options: Options) -> tuple[int, ...]:
        """The last block unless the user names some."""
        return read_blocks(layout, options)

    def attribute(self, method_inputs: MethodInputs) -> MethodOutput:
        """The mean over the chosen blocks, [B, T', h, w]."""
        blocks = self.blocks(method_inputs.layout, method_inputs.options)
        values = torch.stack([self._block(method_inputs, block) for block in blocks]).mean(dim=0)
        return MethodOutput(values, shares=frame_shares(method_inputs))

    def _block(self, method_inputs: MethodInputs, block: int) -> Tensor:
        """[B, T', h, w] of one block."""
        moved = method_inputs.captured["values", block]  # [B*S, prefix + n, heads * d]
        projection = output_projection(method_inputs, block)
        if projection is not None:
            moved = linear(moved, projection)  # [B*S, prefix + n, D]
        norms, _ = split_rows(moved.norm(dim=-1), method_inputs)  # [B, S, n]
        return along_path(norms, method_inputs, block)
