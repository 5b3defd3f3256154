"""Gradients of the pixels themselves, summed over every token's pixels and colours."""

from __future__ import annotations

import torch

from staa_cli.methods.base import Evidence, Reading, register
from staa_cli.methods.captum import captum_attr
from staa_cli.methods.gradients import GradientMethod, gradients_of
from staa_cli.methods.perturbation import TOKENS_A_PASS, filler, over_tokens

STEPS = 50


@register("input-x-gradient")
class InputXGradient(GradientMethod):
    """Pixels times their gradients."""

    summary = "pixels times their gradients"
    source = "Shrikumar et al. 2016 (arXiv 1605.01713)"
    units = "logit"
    signed = True

    def attribute(self, evidence: Evidence) -> Reading:
        """[B, T', h, w], against normalised zero, the mean colour of what the model has seen."""
        (given,) = gradients_of(evidence, [evidence.inputs])
        pixels = (evidence.inputs.detach() * given).sum(dim=2)
        return Reading(over_tokens(pixels, evidence.layout.grid), more_forwards=2.0)


@register("integrated-gradients")
class IntegratedGradients(GradientMethod):
    """Gradients along the straight line from the removed clip to the clip."""

    summary = "gradients of pixels along the way from the removed clip to the clip"
    source = "Sundararajan et al. 2017 (arXiv 1703.01365), by Captum"
    units = "logit"
    signed = True
    forward_equivalents = 1.0 + 3 * STEPS
    heeds = frozenset({"fill", "samples"})

    def attribute(self, evidence: Evidence) -> Reading:
        """[B, T', h, w]; the sum is the logit's difference between both ends, nearly."""
        steps = evidence.options.samples or STEPS
        clips = evidence.inputs.detach()
        grid = evidence.layout.grid
        pixels = (
            captum_attr()
            .IntegratedGradients(evidence.model)
            .attribute(
                clips,
                baselines=filler(clips, evidence.options.fill, evidence.given),
                target=evidence.targets,
                n_steps=steps,
                internal_batch_size=max(len(clips), TOKENS_A_PASS // torch.Size(grid).numel()),
            )
        )
        return Reading(over_tokens(pixels.sum(dim=2), grid), more_forwards=3.0 * steps)
