"""RISE: the mean of random soft masks, each weighted by what the model still sees through it.

Petsiuk, Das and Saenko 2018 (arXiv 1806.07421), equation 6, with masks of space-time: coarse cells
kept with a probability of a half, scaled up with a random shift.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from staa_cli.methods.base import Evidence, Options, register
from staa_cli.methods.perturbation import Copies, PerturbationMethod
from staa_cli.schema import AttentionLayout

SAMPLES = 512
CELLS = (4, 7, 7)
KEPT = 0.5


@register("rise")
class Rise(PerturbationMethod):
    """Random masks."""

    summary = "mean of random masks, weighted by what the model still sees through them"
    source = "arXiv 1806.07421, equation 6"
    forward_equivalents = 513.0
    heeds = frozenset({"fill", "samples", "seed"})

    def copies(self, layout: AttentionLayout, options: Options) -> int:
        """One a mask."""
        return options.samples or SAMPLES

    def clip_values(self, copies: Copies, evidence: Evidence) -> Tensor:
        """[T', h, w]; other masks for every clip."""
        return _mean_mask(copies, self.copies(evidence.layout, evidence.options))


def _mean_mask(copies: Copies, samples: int) -> Tensor:
    """Equation 6, [T', h, w]; masks are made as they are needed."""
    generator = torch.Generator().manual_seed(copies.seed)
    total = torch.zeros(copies.grid, device=copies.clip.device)
    for start in range(0, samples, copies.a_pass):
        count = min(copies.a_pass, samples - start)
        masks = soft_masks(count, copies.grid, generator).to(total.device)
        total += torch.tensordot(copies.keep(masks), masks, dims=1)
    return total / (KEPT * samples)


def soft_masks(count: int, grid: tuple[int, int, int], generator: torch.Generator) -> Tensor:
    """`count` masks [M, T', h, w] between 0 and 1."""
    cells = [min(most, length) for most, length in zip(CELLS, grid, strict=True)]
    sizes = [-(-length // cell) for length, cell in zip(grid, cells, strict=True)]
    coarse = (torch.rand(count, 1, *(c + 1 for c in cells), generator=generator) < KEPT).float()
    whole = [(c + 1) * size for c, size in zip(cells, sizes, strict=True)]
    fine = F.interpolate(coarse, whole, mode="trilinear", align_corners=False)[:, 0]
    masks = []
    for mask in fine:
        shift = [int(torch.randint(size, (), generator=generator)) for size in sizes]
        part = tuple(slice(s, s + length) for s, length in zip(shift, grid, strict=True))
        masks.append(mask[part])
    return torch.stack(masks)
