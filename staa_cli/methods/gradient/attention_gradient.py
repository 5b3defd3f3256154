"""The gradient of the read-out's attention, block by block: mean over blocks of relu(dy_c/dA).

After LeGrad (Bousselham et al. 2024, arXiv 2404.03214), equations 4 to 7, with the gradient of the
model's own logit in every block, where the paper has the logit of that block's tokens.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from staa_cli.methods.base import MethodInputs, MethodOutput, Options, read_role, to_grid
from staa_cli.methods.gradient.gradients import GradientMethod, attended, gradients_of, slope_row
from staa_cli.models.taps import AttentionTensors, Tap
from staa_cli.schema import AttentionLayout


class AttentionGradient(GradientMethod):
    """How much more of the class there would be, were a token looked at more."""

    summary = "gradient of the attention of what the head reads, mean over blocks"
    source = "after arXiv 2404.03214, equations 4 to 7"
    units = "logit per attention"
    supported_options = frozenset({"layers"})

    def taps(self, layout: AttentionLayout, options: Options) -> Sequence[Tap]:
        """The layers by which the head's token reads."""
        return [
            Tap(read_role(layout), block, "read", attended)
            for block in self.blocks(layout, options)
        ]

    def blocks(self, layout: AttentionLayout, options: Options) -> tuple[int, ...]:
        """All blocks unless told otherwise; a pooler's query has one."""
        if layout.pooling == "attentive":
            return (0,)
        return options.blocks(layout.depth, range(layout.depth))

    def attribute(self, method_inputs: MethodInputs) -> MethodOutput:
        """[B, T', h, w]."""
        layout, batch = method_inputs.layout, len(method_inputs.inputs)
        shown: list[AttentionTensors] = [
            method_inputs.captured["read", block]  # type: ignore[misc]
            for block in self.blocks(layout, method_inputs.options)
        ]
        given = gradients_of(method_inputs, [seen.out for seen in shown if seen.out is not None])
        with torch.no_grad():
            rows = [_row(seen, slope, layout) for seen, slope in zip(shown, given, strict=True)]
            row = torch.stack(rows).mean(dim=0)[:, layout.prefix_tokens :]  # [B or B*T, P or N]
            if layout.kind == "joint":
                return MethodOutput(to_grid(row, layout, batch), more_passes=2.0)
            return MethodOutput(row.reshape(batch, *layout.grid), more_passes=2.0)


def _row(seen: AttentionTensors, given: Tensor, layout: AttentionLayout) -> Tensor:
    if layout.pooling == "mean":
        return slope_row(seen, given, layout.prefix_tokens)
    return slope_row(seen, given, 0, 1)
