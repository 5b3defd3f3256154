"""Occlusion: what the class loses when a tube of the clip is removed, by Captum."""

from __future__ import annotations

import math

from torch import Tensor

from staa_cli.methods.base import Evidence, Options, register
from staa_cli.methods.captum import captum_attr
from staa_cli.methods.perturbation import Copies, PerturbationMethod, over_tokens, tubes
from staa_cli.schema import AttentionLayout

CELLS = 7
"""Places along a side, at most; a tube is one place of one frame."""


@register("occlusion")
class Occlusion(PerturbationMethod):
    """One tube at a time."""

    summary = "how much probability the class loses without a tube of the clip"
    source = "Zeiler and Fergus 2014 (arXiv 1311.2901), by Captum"
    signed = True
    forward_equivalents = 394.0
    heeds = frozenset({"fill"})

    def copies(self, layout: AttentionLayout, options: Options) -> int:
        """One without each tube, and the whole."""
        sides = (-(-length // _side(length)) for length in layout.grid[1:])
        return 1 + layout.grid[0] * math.prod(sides)

    def clip_values(self, copies: Copies, evidence: Evidence) -> Tensor:
        """[T', h, w]; the tokens of a tube share its value."""
        return _occlude(copies)


def _side(length: int) -> int:
    """Tokens along a tube's side, for so many along the picture's."""
    return -(-length // CELLS)


def _occlude(copies: Copies) -> Tensor:
    clip, grid = copies.clip, copies.grid
    tubelet, patch_h, patch_w = (
        length // cells for length, cells in zip((len(clip), *clip.shape[2:]), grid, strict=True)
    )
    side_h, side_w = (_side(length) for length in grid[1:])
    window = (tubelet, 3, side_h * patch_h, side_w * patch_w)
    pixels: Tensor = (
        captum_attr()
        .Occlusion(copies.ask)
        .attribute(
            clip[None],
            sliding_window_shapes=window,
            strides=window,
            baselines=copies.filling[None],
            perturbations_per_eval=copies.a_pass,
        )
    )
    lost = over_tokens(pixels[:, :, 0], grid)[0] / (tubelet * patch_h * patch_w)
    numbers = tubes(grid, (grid[0], CELLS, CELLS)).to(lost.device)
    values: Tensor = lost / numbers.flatten().bincount()[numbers]  # the last tube may be smaller
    return values
