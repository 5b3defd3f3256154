"""Grad-CAM on tokens: relu(sum_d w_d F[n, d]), w the mean gradient of a block's normed tokens.

Selvaraju et al. 2017 (arXiv 1610.02391), equations 1 and 2, with the patch tokens that enter a
block's attention in place of a convolution's map.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from staa_cli.methods.base import MethodInputs, MethodOutput, Options, space_role, to_grid
from staa_cli.methods.gradient.gradients import GradientMethod, attended, gradients_of
from staa_cli.models.taps import Tap
from staa_cli.schema import AttentionLayout


class GradCam(GradientMethod):
    """Activations weighted by their channels' mean gradients."""

    summary = "tokens before a block's attention, weighted by their channels' gradients"
    source = "arXiv 1610.02391, equations 1 and 2"
    units = "logit"
    supported_options = frozenset({"layers"})

    def taps(self, layout: AttentionLayout, options: Options) -> Sequence[Tap]:
        """What enters the attention over space."""
        return [
            Tap(space_role(layout), block, "tokens", attended)
            for block in self.blocks(layout, options)
        ]

    def blocks(self, layout: AttentionLayout, options: Options) -> tuple[int, ...]:
        """The last block unless told otherwise."""
        return options.blocks(layout.depth, [layout.depth - 1])

    def attribute(self, method_inputs: MethodInputs) -> MethodOutput:
        """The mean over the chosen blocks, [B, T', h, w]."""
        blocks = self.blocks(method_inputs.layout, method_inputs.options)
        tokens: list[Tensor] = [method_inputs.captured["tokens", block].x for block in blocks]  # type: ignore[attr-defined]
        given = gradients_of(method_inputs, tokens)
        with torch.no_grad():
            maps = [_map(*pair, method_inputs) for pair in zip(tokens, given, strict=True)]
            return MethodOutput(torch.stack(maps).mean(dim=0), more_passes=2.0)


def _map(tokens: Tensor, given: Tensor, method_inputs: MethodInputs) -> Tensor:
    layout, batch = method_inputs.layout, len(method_inputs.inputs)
    patches, slopes = (
        each[:, layout.prefix_tokens :].reshape(batch, -1, each.shape[-1]).float()
        for each in (tokens, given)
    )  # [B, N, D]
    cam = (patches @ slopes.mean(dim=1)[..., None])[..., 0].clamp_min(0)
    return to_grid(cam, layout, batch) if layout.kind == "joint" else cam.view(batch, *layout.grid)
