"""The gradient of the read-out's attention, mean over blocks of relu(dy_c/dA).

After LeGrad (Bousselham et al. 2024, arXiv 2404.03214), equations 4 to 7, with the gradient of the
model's final logit in every block instead of the logit of that block's tokens.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from staa_cli.methods.base import MethodInputs, MethodOutput, Options
from staa_cli.methods.gradient.gradients import (
    GradientMethod,
    attention_tensors,
    gradients_of,
    slope_row,
)
from staa_cli.methods.readout import read_blocks, read_queries, read_role, split_rows, to_grid
from staa_cli.models.taps import AttentionTensors, Tap
from staa_cli.schema import AttentionLayout


class AttentionGradient(GradientMethod):
    """How much the class's logit would rise with more attention to a token."""

    summary = "gradient of the logit by the attention of the pooled tokens, mean over blocks"
    source = "after arXiv 2404.03214, equations 4 to 7"
    units = "logit per attention"
    supported_options = frozenset({"layers"})

    def taps(self, layout: AttentionLayout, options: Options) -> Sequence[Tap]:
        """The layers by which the head's token reads."""
        return [
            Tap(read_role(layout), block, "read", attention_tensors)
            for block in self.blocks(layout, options)
        ]

    def blocks(self, layout: AttentionLayout, options: Options) -> tuple[int, ...]:
        """All blocks unless the user names some; a pooler's query has one."""
        return read_blocks(layout, options, range(layout.depth))

    def attribute(self, method_inputs: MethodInputs) -> MethodOutput:
        """[B, T', h, w]."""
        layout = method_inputs.layout
        tensors: list[AttentionTensors] = [
            method_inputs.captured["read", block]  # type: ignore[misc]
            for block in self.blocks(layout, method_inputs.options)
        ]
        gradients = gradients_of(method_inputs, [t.out for t in tensors if t.out is not None])
        with torch.no_grad():
            rows = [
                slope_row(*pair, *read_queries(layout))
                for pair in zip(tensors, gradients, strict=True)
            ]
            row, _ = split_rows(torch.stack(rows).mean(dim=0), method_inputs)  # [B, S, n]
            return MethodOutput(to_grid(row, layout), more_passes=2.0)
