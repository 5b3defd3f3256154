"""Pixel gradients, summed over every token's pixels and colors."""

from __future__ import annotations

import torch
from torch import Tensor

from staa_cli.errors import UsageError
from staa_cli.memory import ran_out_of_memory
from staa_cli.methods.base import MethodInputs, MethodOutput, Options
from staa_cli.methods.gradient.gradients import GradientMethod, gradients_of
from staa_cli.methods.perturbation.base import (
    draw_seed,
    draw_seeds,
    over_tokens,
    perturbations_per_pass,
    replacement_for,
)
from staa_cli.methods.perturbation.captum import captum_attr, seeded
from staa_cli.schema import AttentionLayout

STEPS = 50
MOST = 1000
"""Maximum of steps; the table of Captum's integration rule grows with their square."""
GRAPH = 2
"""Memory of a differentiated copy, as a multiple of one that is not; passes run one at a time."""


class InputXGradient(GradientMethod):
    """Pixels times their gradients."""

    summary = "pixels times their gradients"
    source = "Shrikumar et al. 2016 (arXiv 1605.01713)"
    units = "logit"
    signed = True

    def attribute(self, method_inputs: MethodInputs) -> MethodOutput:
        """[B, T', h, w], relative to normalized zero, the mean color of the training data."""
        (gradient,) = gradients_of(method_inputs, [method_inputs.inputs])  # [B, T, 3, H, W]
        pixels = (method_inputs.inputs.detach() * gradient).sum(dim=2)  # [B, T, H, W]
        return MethodOutput(over_tokens(pixels, method_inputs.layout.grid), more_passes=2.0)


class IntegratedGradients(GradientMethod):
    """Gradients along the straight line from the replacement to the clip."""

    summary = "pixel gradients along the path from the replacement to the clip"
    source = "Sundararajan et al. 2017 (arXiv 1703.01365), by Captum"
    units = "logit"
    signed = True
    passes_per_clip = 1.0 + 3 * STEPS
    supported_options = frozenset({"replacement", "samples"})

    def perturbations(self, layout: AttentionLayout, options: Options) -> int:
        """One per step."""
        captum_attr()
        steps = options.samples or STEPS
        if steps > MOST:
            raise UsageError(
                f"{self.name} cannot take {steps} steps: its integration rule supports fewer",
                f"use --samples of at most {MOST}",
            )
        return steps

    def attribute(self, method_inputs: MethodInputs) -> MethodOutput:
        """[B, T', h, w]; the sum is about the difference of the logit between both ends."""
        steps = self.perturbations(method_inputs.layout, method_inputs.options)
        at_once = max(
            1,
            perturbations_per_pass(method_inputs.layout.grid, method_inputs.inputs.device) // GRAPH,
        )
        while True:
            try:
                values = _integrated_gradients(method_inputs, steps, at_once)
                return MethodOutput(values, more_passes=3.0 * steps)
            except (RuntimeError, MemoryError) as error:
                if at_once == 1 or not ran_out_of_memory(error):
                    raise
                at_once //= 2


BASELINES = ("blur", "mean", "black")
"""Replacements that expected gradients draw from; black requires a known normalization."""


class ExpectedGradients(GradientMethod):
    """The mean gradient along the paths from several replacements to the clip."""

    summary = "mean pixel gradient at random points between several replacements and the clip"
    source = "Erion et al. 2019 (arXiv 1906.10670), by Captum's GradientShap"
    units = "logit"
    signed = True
    passes_per_clip = 1.0 + 3 * STEPS
    supported_options = frozenset({"samples", "seed"})

    def perturbations(self, layout: AttentionLayout, options: Options) -> int:
        """One per draw."""
        captum_attr()
        return options.samples or STEPS

    def attribute(self, method_inputs: MethodInputs) -> MethodOutput:
        """[B, T', h, w]; the sum is about the logit's excess over that of the replacements.

        Blur, mean color, and black, if it is known, are equally likely. Draws are made for each
        clip separately, one at a time, so that values depend only on the seed.
        """
        draws = self.perturbations(method_inputs.layout, method_inputs.options)
        maps = []
        for index in range(len(method_inputs.inputs)):
            clip = method_inputs.inputs[index : index + 1].detach()
            number = method_inputs.clip_indices[index] if method_inputs.clip_indices else index
            with seeded(draw_seed(method_inputs.options.seed, number), clip.device):
                target = method_inputs.targets[index]
                maps.append(_expected_gradients(method_inputs, clip, target, draws))
        return MethodOutput(torch.cat(maps), more_passes=3.0 * draws)


def _expected_gradients(
    method_inputs: MethodInputs, clip: Tensor, target: Tensor, draws: int
) -> Tensor:
    """The map [1, T', h, w] of a clip [1, T, 3, H, W]."""

    def forward(copies: Tensor) -> Tensor:
        method_inputs.on_perturbed(len(copies))
        return method_inputs.model(copies.to(clip.dtype))  # type: ignore[no-any-return]

    names = BASELINES if method_inputs.given is not None else BASELINES[:2]
    baselines = torch.cat([replacement_for(clip, name, method_inputs.given) for name in names])
    explainer, total = captum_attr().GradientShap(forward), torch.zeros_like(clip[:, :, 0])
    for _ in range(draws):
        pixels = explainer.attribute(clip, baselines, n_samples=1, stdevs=0.0, target=target)
        total += pixels.detach().sum(dim=2)
    return over_tokens(total / draws, method_inputs.layout.grid)


def _integrated_gradients(method_inputs: MethodInputs, steps: int, at_once: int) -> Tensor:
    """Integrated gradients [B, T', h, w], with `at_once` copies per pass."""
    clips = method_inputs.inputs.detach()

    def forward(copies: Tensor) -> Tensor:
        method_inputs.on_perturbed(len(copies))
        return method_inputs.model(copies)  # type: ignore[no-any-return]

    pixels: Tensor = (
        captum_attr()
        .IntegratedGradients(forward)
        .attribute(
            clips,
            baselines=replacement_for(
                clips,
                method_inputs.options.replacement,
                method_inputs.given,
                draw_seeds(method_inputs),
            ),
            target=method_inputs.targets,
            n_steps=steps,
            internal_batch_size=max(len(clips), at_once),
        )
    )
    return over_tokens(pixels.sum(dim=2), method_inputs.layout.grid)
