"""Relevance by attention and its gradient: R <- R + mean_h[(dy_c/dA * A)^+] R.

Chefer, Gur and Wolf 2021 (arXiv 2103.15679), equations 5 and 6, for one logit. Computed as one row
pushed down the layers. With divided attention a block is two such steps, over time at every place
and then over space in every frame; the class token is one for all frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch

from staa_cli.methods.base import MethodInputs, MethodOutput, Options
from staa_cli.methods.gradient.gradients import (
    GradientMethod,
    attention_tensors,
    gradients_of,
    weighted_rows,
)
from staa_cli.methods.readout import attends_over_time, attention_layers, start_rows, to_grid
from staa_cli.models.taps import AttentionTensors, Tap
from staa_cli.schema import AttentionLayout


class GradAttention(GradientMethod):
    """Attention weighted by its gradient, rolled through the blocks."""

    summary = "attention times its gradient, rolled through all blocks"
    source = "arXiv 2103.15679, equations 5 and 6"
    units = "logit"
    supported_options = frozenset({"layers"})

    def taps(self, layout: AttentionLayout, options: Options) -> Sequence[Tap]:
        """Every attention layer, from the first to what the head reads."""
        return [
            Tap(role, block, role, attention_tensors)
            for role, block in attention_layers(layout, self.blocks(layout, options))
        ]

    def blocks(self, layout: AttentionLayout, options: Options) -> tuple[int, ...]:
        """All blocks unless the user names some."""
        return options.blocks(layout.depth, range(layout.depth))

    def attribute(self, method_inputs: MethodInputs) -> MethodOutput:
        """The row of relevances of what the head reads, [B, T', h, w].

        Without the identity that it begins as: what a token is of itself says nothing about it.
        """
        layout, prefix = method_inputs.layout, method_inputs.layout.prefix_tokens
        layers = attention_layers(layout, self.blocks(layout, method_inputs.options))
        tensors: list[AttentionTensors] = [method_inputs.captured[layer] for layer in layers]  # type: ignore[misc]
        gradients = gradients_of(method_inputs, [t.out for t in tensors if t.out is not None])
        with torch.no_grad():
            start = rows = start_rows(method_inputs)  # [B, S, prefix + n]
            for layer, shown, gradient in reversed([*zip(layers, tensors, gradients, strict=True)]):
                push = partial(
                    weighted_rows,
                    tensors=shown,
                    gradient=gradient,
                    layer=method_inputs.layer(*layer),
                )
                if layer[0] == "pooler":
                    rows = rows + push(rows.new_ones(len(rows), 1))[:, None]
                elif layer[0] == "temporal":
                    patches = rows[..., prefix:].transpose(1, 2)  # [B, P, T]
                    moved = push(patches.flatten(0, 1)).view_as(patches)
                    rows[..., prefix:] += moved.transpose(1, 2)
                else:
                    moved = push(rows.flatten(0, 1)).view_as(rows)
                    if attends_over_time(layout):
                        # One token for all frames: what it keeps of itself in any, it has in all.
                        moved[..., :prefix] = moved[..., :prefix].sum(dim=1, keepdim=True)
                    rows = rows + moved
            return MethodOutput(to_grid((rows - start)[..., prefix:], layout), more_passes=2.0)
