"""Relevance by attention and its gradient: R <- R + mean_h[(dy_c/dA * A)^+] R.

Chefer, Gur and Wolf 2021 (arXiv 2103.15679), equations 5 and 6, for one logit. Computed as one row
propagated down the layers. With divided attention a block has two such steps, over time at every
position and then over space in every frame; all frames share one class token.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from staa_cli.methods.base import MethodInputs, MethodOutput, Options
from staa_cli.methods.gradient.gradients import (
    GradientMethod,
    attention_tensors,
    gradients_of,
)
from staa_cli.methods.readout import (
    attends_over_time,
    attention_layers,
    per_head,
    start_rows,
    to_grid,
)
from staa_cli.models.taps import AttentionTensors, Tap, rows_by_head
from staa_cli.schema import AttentionLayout


class GradAttention(GradientMethod):
    """Attention weighted by its gradient, rolled out through the blocks."""

    summary = "attention times its gradient, rolled out through all blocks"
    source = "arXiv 2103.15679, equations 5 and 6"
    units = "logit"
    supported_options = frozenset({"layers"})

    def taps(self, layout: AttentionLayout, options: Options) -> Sequence[Tap]:
        """Every attention layer, up to the read-out."""
        return [
            Tap(role, block, role, attention_tensors)
            for role, block in attention_layers(layout, self.blocks(layout, options))
        ]

    def blocks(self, layout: AttentionLayout, options: Options) -> tuple[int, ...]:
        """All blocks unless the user names some."""
        return options.blocks(layout.depth, range(layout.depth))

    def attribute(self, method_inputs: MethodInputs) -> MethodOutput:
        """The row of relevances of what the head reads, [B, T', h, w].

        Without the initial identity: a token's relevance to itself is uninformative.
        """
        layers = attention_layers(
            method_inputs.layout, self.blocks(method_inputs.layout, method_inputs.options)
        )
        rows = relevance_rows(method_inputs, layers, lambda product: product.mean(1, keepdim=True))
        return MethodOutput(to_grid(rows[:, 0], method_inputs.layout), more_passes=2.0)


def relevance_rows(
    method_inputs: MethodInputs,
    layers: Sequence[tuple[str, int]],
    fused: Callable[[Tensor], Tensor],
) -> Tensor:
    """Relevances of the patches to what the head reads, without the identity: [B, heads, S, n].

    Args:
        method_inputs: with every layer's tensors.
        layers: (role, block), in the order in which they run.
        fused: a layer's products per head, [B, heads, S, N], to those that are propagated:
            the same, or [B, 1, S, N].
    """
    layout, prefix = method_inputs.layout, method_inputs.layout.prefix_tokens
    tensors: list[AttentionTensors] = [method_inputs.captured[layer] for layer in layers]  # type: ignore[misc]
    gradients = gradients_of(method_inputs, [t.out for t in tensors if t.out is not None])
    with torch.no_grad():
        start = start_rows(method_inputs)[:, None]  # [B, 1, S, prefix + n]
        passed = torch.zeros_like(start)  # a part of it: beside the start, digits would be lost
        steps = [*zip(layers, tensors, gradients, strict=True)]
        for layer, layer_tensors, gradient in reversed(steps):
            rows = per_head(start + passed, layer_tensors.q.shape[-3])
            product = partial(
                _pushed, tensors=layer_tensors, gradient=gradient, layer=method_inputs.layer(*layer)
            )
            if layer[0] == "pooler":
                query = rows.new_ones(len(rows), 1, 1, 1)
                moved = fused(product(query))
            elif layer[0] == "temporal":
                moved = fused(product(rows[..., prefix:].transpose(-2, -1)).transpose(-2, -1))
                moved = F.pad(moved, (prefix, 0))
            else:
                moved = fused(product(rows))
                if attends_over_time(layout):
                    # All frames share the class token, so its relevances are summed.
                    moved[..., :prefix] = moved[..., :prefix].sum(dim=-2, keepdim=True)
            passed = per_head(passed, moved.shape[1]) + moved
        return passed[..., prefix:]


def _pushed(rows: Tensor, tensors: AttentionTensors, gradient: Tensor, layer: nn.Module) -> Tensor:
    """Rows [B, heads or 1, S, N] times relu(A * dA) of a layer's heads: [B, heads, S, N]."""
    sequences = rows.transpose(1, 2).flatten(0, 1)  # [B*S, heads or 1, N]
    products = rows_by_head(sequences, gradient)(tensors, layer)
    return products.reshape(len(rows), -1, *products.shape[1:]).transpose(1, 2)
