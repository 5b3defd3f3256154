"""Three trivial baselines, which ask no model; a method that does not beat them says nothing."""

from __future__ import annotations

import numpy as np
import torch

from staa_cli.methods.base import Evidence, Method, Reading, register


@register("random")
class Random(Method):
    """Noise."""

    summary = "uniform noise: what chance gets"
    source = "baseline"
    units = "none"
    passes_per_clip = 0.0
    heeds = frozenset({"seed"})

    def attribute(self, evidence: Evidence) -> Reading:
        """Independent uniform numbers, the same for the same seed and clip."""
        numbers = evidence.clip_indices or range(len(evidence.inputs))
        maps = [
            np.random.default_rng([evidence.options.seed, number]).random(
                evidence.layout.grid, dtype=np.float32
            )
            for number in numbers
        ]
        return Reading(torch.from_numpy(np.stack(maps)).to(evidence.inputs.device))


@register("centre")
class Centre(Method):
    """A bump in the middle."""

    summary = "a Gaussian at the picture's centre, the same in every frame"
    source = "baseline"
    units = "none"
    passes_per_clip = 0.0

    def attribute(self, evidence: Evidence) -> Reading:
        """A Gaussian with a quarter of the picture's side as its deviation."""
        frames, height, width = evidence.layout.grid
        y = torch.linspace(-1, 1, height).square()[:, None]
        x = torch.linspace(-1, 1, width).square()[None]
        bump = torch.exp(-(x + y) / (2 * 0.5**2))  # [h, w]
        values = bump.expand(len(evidence.inputs), frames, height, width)
        return Reading(values.to(evidence.inputs.device))


@register("frame-difference")
class FrameDifference(Method):
    """Motion energy."""

    summary = "how much each place changes from frame to frame"
    source = "baseline"
    units = "mean absolute difference of normalised pixels"
    passes_per_clip = 0.0

    def attribute(self, evidence: Evidence) -> Reading:
        """Mean of the absolute differences to the frame before and the frame after."""
        inputs = evidence.inputs.float()  # [B, T, 3, H, W]
        steps = (inputs[:, 1:] - inputs[:, :-1]).abs().mean(dim=2)  # [B, T-1, H, W]
        if steps.shape[1] == 0:
            return Reading(inputs.new_zeros(len(inputs), *evidence.layout.grid))
        before = torch.cat([steps[:, :1], steps], dim=1)  # [B, T, H, W]
        after = torch.cat([steps, steps[:, -1:]], dim=1)
        motion = (before + after)[:, None] / 2  # [B, 1, T, H, W]
        return Reading(torch.nn.functional.adaptive_avg_pool3d(motion, evidence.layout.grid)[:, 0])
