"""Grad-CAM on tokens: relu(sum_d w_d F[n, d]), w_d the mean gradient of a block's normed tokens.

Selvaraju et al. 2017 (arXiv 1610.02391), equations 1 and 2, with the patch tokens that enter a
block's attention instead of the feature map of a convolution.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from staa_cli.methods.base import MethodInputs, MethodOutput, Options
from staa_cli.methods.gradient.gradients import GradientMethod, attention_tensors, gradients_of
from staa_cli.methods.readout import space_role, to_grid
from staa_cli.models.taps import Tap
from staa_cli.schema import AttentionLayout


class GradCam(GradientMethod):
    """Activations weighted by their channels' mean gradients."""

    summary = "tokens before a block's attention, weighted by their channels' gradients"
    source = "arXiv 1610.02391, equations 1 and 2"
    units = "logit"
    supported_options = frozenset({"layers"})

    def taps(self, layout: AttentionLayout, options: Options) -> Sequence[Tap]:
        """The input tokens of the attention over space."""
        return [
            Tap(space_role(layout), block, "tokens", attention_tensors)
            for block in self.blocks(layout, options)
        ]

    def blocks(self, layout: AttentionLayout, options: Options) -> tuple[int, ...]:
        """The last block unless the user names some."""
        return options.blocks(layout.depth, [layout.depth - 1])

    def attribute(self, method_inputs: MethodInputs) -> MethodOutput:
        """The mean over the chosen blocks, [B, T', h, w]."""
        blocks = self.blocks(method_inputs.layout, method_inputs.options)
        tokens: list[Tensor] = [method_inputs.captured["tokens", block].x for block in blocks]  # type: ignore[attr-defined]
        gradients = gradients_of(method_inputs, tokens)
        with torch.no_grad():
            maps = [_map(*pair, method_inputs) for pair in zip(tokens, gradients, strict=True)]
            return MethodOutput(torch.stack(maps).mean(dim=0), more_passes=2.0)


def _map(tokens: Tensor, gradient: Tensor, method_inputs: MethodInputs) -> Tensor:
    """Tokens and their gradient [B*S, prefix + n, D] to [B, T', h, w]."""
    layout, batch = method_inputs.layout, len(method_inputs.inputs)
    features, slopes = (
        x[:, layout.prefix_tokens :].reshape(batch, -1, x.shape[-1]).float()
        for x in (tokens, gradient)
    )  # [B, S * n, D]
    cam = (features @ slopes.mean(dim=1)[..., None]).clamp_min(0)  # [B, S * n, 1]
    return to_grid(cam.reshape(batch, len(tokens) // batch, -1), layout)
