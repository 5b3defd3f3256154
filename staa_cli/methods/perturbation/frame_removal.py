"""The model's loss without a frame: leave one out, and Shapley values over coalitions of frames.

Both rate frames, not places: every token of a frame has an equal share of its value. A frame here
is one step of the token grid: `tubelet` source frames.
"""

from __future__ import annotations

import torch
from torch import Tensor

from staa_cli.methods.base import MethodInputs, Options
from staa_cli.methods.perturbation.base import PerturbationMethod, PerturbedClip
from staa_cli.methods.perturbation.shapley import EXACT, coalitions, exact_shapley, over_frames
from staa_cli.schema import AttentionLayout

PERMUTATIONS = 16


class FrameMethod(PerturbationMethod):
    """Values of frames, spread evenly over their tokens."""

    signed = True

    def frames(self, perturbed: PerturbedClip, method_inputs: MethodInputs) -> Tensor:
        """Values of the frames, [T']."""
        raise NotImplementedError

    def clip_values(self, perturbed: PerturbedClip, method_inputs: MethodInputs) -> Tensor:
        """[T', h, w], flat in space."""
        values = over_frames(self.frames(perturbed, method_inputs)[None], perturbed.grid)[0]
        return values / (perturbed.grid[1] * perturbed.grid[2])


class FrameDrop(FrameMethod):
    """Leave one frame out."""

    summary = "drop in the class's probability without a frame"
    source = "leave one out; Zeiler and Fergus 2014 (arXiv 1311.2901), in time"
    passes_per_clip = 10.0
    supported_options = frozenset({"replacement"})

    def perturbations(self, layout: AttentionLayout, options: Options) -> int:
        """One without each frame, and the whole clip."""
        return 1 + layout.grid[0]

    def frames(self, perturbed: PerturbedClip, method_inputs: MethodInputs) -> Tensor:
        """The drop of the score without each frame, [T']."""
        count = perturbed.grid[0]
        kept = torch.cat([torch.ones(1, count), 1 - torch.eye(count)])
        scores = perturbed.keep(over_frames(kept, perturbed.grid))
        return scores[0] - scores[1:]


class FrameShapley(FrameMethod):
    """Shapley values of the frames; they sum to the score of the whole clip over an empty one."""

    summary = "Shapley value of each frame: exact up to 8 frames, sampled above"
    source = "Shapley 1953; sampled as Castro et al. 2009, in pairs as Mitchell et al. (2104.12199)"
    passes_per_clip = 257.0
    supported_options = frozenset({"replacement", "samples", "seed"})

    def perturbations(self, layout: AttentionLayout, options: Options) -> int:
        """All coalitions, or two orders per pair."""
        count = layout.grid[0]
        return 2**count if count <= EXACT else 2 * _pairs(count, options) * (count + 1)

    def frames(self, perturbed: PerturbedClip, method_inputs: MethodInputs) -> Tensor:
        """Shapley values, [T']."""
        count = perturbed.grid[0]
        if count <= EXACT:
            return exact_shapley(perturbed.keep(over_frames(coalitions(count), perturbed.grid)))
        pairs = _pairs(count, method_inputs.options)
        generator = torch.Generator().manual_seed(perturbed.seed)
        orders = [torch.randperm(count, generator=generator) for _ in range(pairs)]
        total = torch.zeros(count, device=perturbed.clip.device)
        for order in [order for drawn in orders for order in (drawn, drawn.flip(0))]:
            kept = torch.zeros(count + 1, count)
            for step, frame in enumerate(order.tolist()):
                kept[step + 1 :, frame] = 1
            scores = perturbed.keep(over_frames(kept, perturbed.grid))
            total[order] += scores[1:] - scores[:-1]
        return total / (2 * pairs)


def _pairs(count: int, options: Options) -> int:
    """Number of pairs of an order and its reverse that the samples allow."""
    return max(1, (options.samples or PERMUTATIONS * count) // (2 * (count + 1)))
