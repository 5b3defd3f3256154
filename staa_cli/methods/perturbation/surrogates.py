"""A linear model of the class's score, fitted to random removals of features, by Captum."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from staa_cli.errors import UsageError
from staa_cli.methods.base import MethodInputs, Options
from staa_cli.methods.perturbation.base import (
    PerturbationMethod,
    PerturbedClip,
    feature_count,
    feature_mask,
)
from staa_cli.methods.perturbation.captum import Ask, captum_attr, over_features, seeded
from staa_cli.schema import AttentionLayout

CELLS = (4, 4, 4)
"""Maximum of groups of frames, and of places along each side: 64 features."""
SAMPLES = 512
WIDTH = 0.25
"""Kernel width of the weights of removals near the clip."""


class Surrogate(PerturbationMethod):
    """A Captum method that fits a linear model."""

    signed = True
    passes_per_clip = 1.0 + SAMPLES
    supported_options = frozenset({"replacement", "samples", "seed"})

    def explainer(self, attr: Any, ask: Ask) -> Any:
        """Captum's object, from ``captum.attr``."""
        raise NotImplementedError

    def perturbations(self, layout: AttentionLayout, options: Options) -> int:
        """One per sample; there must be enough to separate all features."""
        captum_attr()
        samples, features = (
            options.samples or SAMPLES,
            feature_count(feature_mask(layout.grid, CELLS)),
        )
        if samples < features + 2:
            raise UsageError(
                f"{self.name} cannot separate {features} features with {samples} samples",
                f"use --samples of at least {features + 2}",
            )
        return samples

    def clip_values(self, perturbed: PerturbedClip, method_inputs: MethodInputs) -> Tensor:
        """[T', h, w]; the tokens of a feature share its weight."""
        samples = self.perturbations(method_inputs.layout, method_inputs.options)
        with seeded(perturbed.seed, perturbed.clip.device):
            return over_features(self.explainer, perturbed, CELLS, n_samples=samples)


class KernelShap(Surrogate):
    """Shapley values by weighted regression."""

    summary = "Shapley values of features by weighted regression on random removals"
    source = "Lundberg and Lee 2017 (arXiv 1705.07874), by Captum"

    def explainer(self, attr: Any, ask: Ask) -> Any:
        """Captum's KernelShap."""
        return attr.KernelShap(ask)


class Lime(Surrogate):
    """A local linear model."""

    summary = "weights of features in a ridge regression on random removals near the clip"
    source = "Ribeiro et al. 2016 (arXiv 1602.04938), by Captum; ridge and kernel as lime-image's"

    def explainer(self, attr: Any, ask: Ask) -> Any:
        """Captum's Lime."""
        from captum._utils.models.linear_model import SkLearnRidge

        return attr.Lime(ask, interpretable_model=SkLearnRidge(alpha=1.0), similarity_func=nearness)


def nearness(clip: Tensor, copy: Tensor, kept: Tensor, **_: Any) -> Tensor:
    """Weight of a copy: exp(-d^2 / 2w^2), d its cosine distance from the whole clip.

    The distance is that of the kept features, [1, features] of 0 and 1, not of pixels: the pixels
    of an empty copy may be close to those of the clip. The width is that of lime-image, whose
    kernel is the square root of exp(-d^2 / w^2).
    """
    distance = 1 - kept.float().mean().sqrt()
    return torch.exp(-(distance**2) / (2 * WIDTH**2))
