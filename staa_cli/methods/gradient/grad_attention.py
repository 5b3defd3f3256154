"""Relevance by attention and its gradient: R <- R + mean_h[(dy_c/dA * A)^+] R.

Chefer, Gur and Wolf 2021 (arXiv 2103.15679), equations 5 and 6, for one logit. Computed as one row
pushed down the layers. With divided attention a block is two such steps, over time at every place
and then over space in every frame; the class token is one for all frames.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from staa_cli.methods.base import MethodInputs, MethodOutput, Options, space_role, to_grid
from staa_cli.methods.gradient.gradients import (
    GradientMethod,
    attended,
    gradients_of,
    weighted_rows,
)
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
            Tap(role, block, role, attended)
            for role, block in _layers(layout, self.blocks(layout, options))
        ]

    def blocks(self, layout: AttentionLayout, options: Options) -> tuple[int, ...]:
        """All blocks unless told otherwise."""
        return options.blocks(layout.depth, range(layout.depth))

    def attribute(self, method_inputs: MethodInputs) -> MethodOutput:
        """The row of relevances of what the head reads, [B, T', h, w].

        Without the identity that it begins as: what a token is of itself says nothing about it.
        """
        layers = _layers(
            method_inputs.layout, self.blocks(method_inputs.layout, method_inputs.options)
        )
        shown: list[AttentionTensors] = [method_inputs.captured[layer] for layer in layers]  # type: ignore[misc]
        given = gradients_of(method_inputs, [seen.out for seen in shown if seen.out is not None])
        push = _Push(method_inputs, dict(zip(layers, zip(shown, given, strict=True), strict=True)))
        with torch.no_grad():
            joint = method_inputs.layout.kind == "joint"
            return MethodOutput(
                (_joint if joint else _frame_by_frame)(push, layers), more_passes=2.0
            )


def _layers(layout: AttentionLayout, blocks: Sequence[int]) -> list[tuple[str, int]]:
    """(role, block) of all layers in the order in which they run."""
    layers = []
    for block in blocks:
        if layout.kind == "divided":
            layers.append(("temporal", block))
        layers.append((space_role(layout), block))
    if layout.pooling == "attentive":
        layers += [("pooler_self", block) for block in range(layout.pooler_depth)]
        layers.append(("pooler", 0))
    return layers


class _Push:
    """One step down: rows times a layer's relevance."""

    def __init__(
        self,
        method_inputs: MethodInputs,
        seen: dict[tuple[str, int], tuple[AttentionTensors, Tensor]],
    ) -> None:
        self.method_inputs, self._seen = method_inputs, seen

    def __call__(self, rows: Tensor, layer: tuple[str, int]) -> Tensor:
        seen, given = self._seen[layer]
        return weighted_rows(rows, seen, given, self.method_inputs.layer(*layer))


def _joint(push: _Push, layers: Sequence[tuple[str, int]]) -> Tensor:
    layout, inputs = push.method_inputs.layout, push.method_inputs.inputs
    length = layout.prefix_tokens + layout.grid[0] * layout.grid[1] * layout.grid[2]
    rows = torch.zeros(len(inputs), length, device=inputs.device)
    start = rows
    for layer in reversed(layers):
        if layer == ("pooler", 0):
            rows = push(torch.ones(len(inputs), 1, device=inputs.device), layer)
            continue
        if layer == layers[-1]:
            if layout.pooling == "mean":
                rows[:, layout.prefix_tokens :] = 1 / (length - layout.prefix_tokens)
            else:
                rows[:, 0] = 1
            start = rows
        rows = rows + push(rows, layer)
    return to_grid((rows - start)[:, layout.prefix_tokens :], layout, len(inputs))


def _frame_by_frame(push: _Push, layers: Sequence[tuple[str, int]]) -> Tensor:
    layout, batch = push.method_inputs.layout, len(push.method_inputs.inputs)
    frames, places = layout.grid[0], layout.grid[1] * layout.grid[2]
    prefix = layout.prefix_tokens
    rows = torch.zeros(batch, frames, prefix + places, device=push.method_inputs.inputs.device)
    if layout.pooling == "mean":
        rows[..., prefix:] = 1 / places
    else:
        rows[..., 0] = 1
    start = rows.clone()
    for layer in reversed(layers):
        if layer[0] == "temporal":
            patches = rows[..., prefix:].transpose(1, 2)  # [B, P, T]
            moved = push(patches.flatten(0, 1), layer).view_as(patches)
            rows[..., prefix:] += moved.transpose(1, 2)
            continue
        moved = push(rows.flatten(0, 1), layer).view_as(rows)
        if layout.kind == "divided":
            # One token for all frames: what it keeps of itself in any of them, it has in all.
            moved[..., :prefix] = moved[..., :prefix].sum(dim=1, keepdim=True)
        rows = rows + moved
    return (rows - start)[..., prefix:].reshape(batch, *layout.grid)
