"""Occlusion: what the class loses when a tube of the clip is removed, by Captum."""

from __future__ import annotations

from torch import Tensor

from staa_cli.methods.base import Evidence, Options, register
from staa_cli.methods.perturbation.base import Copies, PerturbationMethod, tube_count, tubes
from staa_cli.methods.perturbation.captum import captum_attr, over_tubes
from staa_cli.schema import AttentionLayout

CELLS = 7
"""Places along a side, at most; a tube is one place of one frame."""


@register("occlusion")
class Occlusion(PerturbationMethod):
    """One tube at a time."""

    summary = "how much probability the class loses without a tube of the clip"
    source = "Zeiler and Fergus 2014 (arXiv 1311.2901), by Captum"
    signed = True
    passes_per_clip = 394.0
    heeds = frozenset({"fill"})

    def copies(self, layout: AttentionLayout, options: Options) -> int:
        """One without each tube, and the whole."""
        captum_attr()
        return 1 + tube_count(tubes(layout.grid, _most(layout.grid)))

    def clip_values(self, copies: Copies, evidence: Evidence) -> Tensor:
        """[T', h, w]; the tokens of a tube share its value."""
        return over_tubes(lambda attr, ask: attr.FeatureAblation(ask), copies, _most(copies.grid))


def _most(grid: tuple[int, int, int]) -> tuple[int, int, int]:
    """Tubes along each side, at most."""
    return grid[0], CELLS, CELLS
