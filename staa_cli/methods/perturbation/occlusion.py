"""Occlusion: the drop of the class's score when one place of a frame is removed, by Captum."""

from __future__ import annotations

from torch import Tensor

from staa_cli.methods.base import MethodInputs, Options
from staa_cli.methods.perturbation.base import (
    PerturbationMethod,
    PerturbedClip,
    feature_count,
    feature_mask,
)
from staa_cli.methods.perturbation.captum import captum_attr, over_features
from staa_cli.schema import AttentionLayout

CELLS = 7
"""Maximum of places along a side; a feature is one place of one frame."""


class Occlusion(PerturbationMethod):
    """One place of one frame at a time."""

    summary = "drop in the class's probability without one place of one frame"
    source = "Zeiler and Fergus 2014 (arXiv 1311.2901), by Captum"
    signed = True
    passes_per_clip = 394.0
    supported_options = frozenset({"replacement"})

    def perturbations(self, layout: AttentionLayout, options: Options) -> int:
        """One without each feature, and the whole clip."""
        captum_attr()
        return 1 + feature_count(feature_mask(layout.grid, _most(layout.grid)))

    def clip_values(self, perturbed: PerturbedClip, method_inputs: MethodInputs) -> Tensor:
        """[T', h, w]; the tokens of a feature share its value."""
        return over_features(
            lambda attr, ask: attr.FeatureAblation(ask), perturbed, _most(perturbed.grid)
        )


def _most(grid: tuple[int, int, int]) -> tuple[int, int, int]:
    """Maximum of features along each side."""
    return grid[0], CELLS, CELLS
