"""RISE: the mean of random soft masks, each weighted by what the model still sees through it.

Petsiuk, Das and Saenko 2018 (arXiv 1806.07421), equation 6, with masks of space-time: coarse cells
kept with a probability of a half, scaled up with a random shift. That is the mean score where a
token is kept. Of raw values, whose zero means nothing, it is told how far that lies above the mean
over all masks: otherwise a model whose values are all negative would have nothing but cold places.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from staa_cli.methods.base import MethodInputs, Options
from staa_cli.methods.perturbation.base import PerturbationMethod, PerturbedClip
from staa_cli.schema import AttentionLayout, Output

SAMPLES = 512
CELLS = (4, 7, 7)
KEPT = 0.5


class Rise(PerturbationMethod):
    """Random masks."""

    summary = "mean of random masks, weighted by the class's score of the masked clip"
    source = "arXiv 1806.07421, equation 6"
    passes_per_clip = 513.0
    supported_options = frozenset({"replacement", "samples", "seed"})

    def perturbations(self, layout: AttentionLayout, options: Options) -> int:
        """One a mask."""
        return options.samples or SAMPLES

    def is_signed(self, output: Output) -> bool:
        """Raw values lie above their mean, or below."""
        return output == "identity"

    def clip_values(self, perturbed: PerturbedClip, method_inputs: MethodInputs) -> Tensor:
        """[T', h, w]; other masks for every clip."""
        return _mean_mask(
            perturbed, self.perturbations(method_inputs.layout, method_inputs.options)
        )


def _mean_mask(perturbed: PerturbedClip, samples: int) -> Tensor:
    """Equation 6, [T', h, w]; masks are made as they are needed, where they are needed."""
    cells, shifts = draw(samples, perturbed.grid, torch.Generator().manual_seed(perturbed.seed))
    device = perturbed.clip.device
    total, seen = (torch.zeros(perturbed.grid, device=device) for _ in range(2))
    worth = torch.zeros((), device=device)
    parts = zip(*(torch.split(each, perturbed.a_pass) for each in (cells, shifts)), strict=True)
    for part, by in parts:
        masks = soft_masks(part.to(device), by, perturbed.grid)
        found = perturbed.keep(masks)
        total += torch.tensordot(found, masks, dims=1)
        seen += masks.sum(dim=0)
        worth += found.sum()
    if perturbed.output == "identity":
        total -= worth / samples * seen
    return total / (KEPT * samples)


def draw(
    samples: int, grid: tuple[int, int, int], generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Which coarse cells are kept, [M, 1, t, y, x], and by how much each mask is shifted, [M, 3].

    All at once: what is drawn does not depend on how many copies go into one pass.
    """
    cells, sizes = _coarse(grid)
    kept = torch.rand(samples, 1, *(c + 1 for c in cells), generator=generator) < KEPT
    shifts = [torch.randint(size, (samples,), generator=generator) for size in sizes]
    return kept.float(), torch.stack(shifts, dim=1)


def soft_masks(kept: Tensor, shifts: Tensor, grid: tuple[int, int, int]) -> Tensor:
    """What was drawn, scaled up and shifted: masks [M, T', h, w] between 0 and 1."""
    cells, sizes = _coarse(grid)
    whole = [(c + 1) * size for c, size in zip(cells, sizes, strict=True)]
    fine = F.interpolate(kept, whole, mode="trilinear", align_corners=False)[:, 0]
    parts = [
        tuple(slice(s, s + length) for s, length in zip(shift, grid, strict=True))
        for shift in shifts.tolist()
    ]
    return torch.stack([mask[part] for mask, part in zip(fine, parts, strict=True)])


def _coarse(grid: tuple[int, int, int]) -> tuple[list[int], list[int]]:
    """How many cells a side has, and how many tokens a cell."""
    cells = [min(most, length) for most, length in zip(CELLS, grid, strict=True)]
    return cells, [-(-length // cell) for length, cell in zip(grid, cells, strict=True)]
