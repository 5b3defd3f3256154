"""Three trivial baselines that use no model; a method that does not beat them is uninformative."""

from __future__ import annotations

import numpy as np
import torch

from staa_cli.methods.base import Method, MethodInputs, MethodOutput


class Random(Method):
    """Uniform noise."""

    summary = "uniform noise: the score of chance"
    source = "baseline"
    units = "none"
    passes_per_clip = 0.0
    supported_options = frozenset({"seed"})

    def attribute(self, method_inputs: MethodInputs) -> MethodOutput:
        """Independent uniform numbers, the same for the same seed and clip."""
        numbers = method_inputs.clip_indices or range(len(method_inputs.inputs))
        maps = [
            np.random.default_rng([method_inputs.options.seed, number]).random(
                method_inputs.layout.grid, dtype=np.float32
            )
            for number in numbers
        ]
        return MethodOutput(torch.from_numpy(np.stack(maps)).to(method_inputs.inputs.device))


class Center(Method):
    """A Gaussian in the center."""

    summary = "a Gaussian at the picture's center, the same in every frame"
    source = "baseline"
    units = "none"
    passes_per_clip = 0.0

    def attribute(self, method_inputs: MethodInputs) -> MethodOutput:
        """A Gaussian with a standard deviation of a quarter of the picture's side."""
        frames, height, width = method_inputs.layout.grid
        y = torch.linspace(-1, 1, height).square()[:, None]
        x = torch.linspace(-1, 1, width).square()[None]
        gaussian = torch.exp(-(x + y) / (2 * 0.5**2))  # [h, w]
        values = gaussian.expand(len(method_inputs.inputs), frames, height, width)
        return MethodOutput(values.to(method_inputs.inputs.device))


class FrameDifference(Method):
    """Motion energy."""

    summary = "how much each place changes from frame to frame"
    source = "baseline"
    units = "mean absolute difference of normalized pixels"
    passes_per_clip = 0.0

    def attribute(self, method_inputs: MethodInputs) -> MethodOutput:
        """Mean of the absolute differences to the previous and the next frame."""
        inputs = method_inputs.inputs.float()  # [B, T, 3, H, W]
        steps = (inputs[:, 1:] - inputs[:, :-1]).abs().mean(dim=2)  # [B, T-1, H, W]
        if steps.shape[1] == 0:
            return MethodOutput(inputs.new_zeros(len(inputs), *method_inputs.layout.grid))
        before = torch.cat([steps[:, :1], steps], dim=1)  # [B, T, H, W]
        after = torch.cat([steps, steps[:, -1:]], dim=1)
        motion = (before + after)[:, None] / 2  # [B, 1, T, H, W]
        return MethodOutput(
            torch.nn.functional.adaptive_avg_pool3d(motion, method_inputs.layout.grid)[:, 0]
        )
