"""RISE: the mean of random soft masks, weighted by the score of the masked clip.

Petsiuk, Das and Saenko 2018 (arXiv 1806.07421), equation 6, with masks of space-time: coarse cells
kept with a probability of one half, scaled up with a random shift. This is the mean score when a
token is kept. For raw values, whose zero is arbitrary, it is the difference from the mean over all
masks: otherwise a model with only negative values would have only negative maps.
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
        """One per mask."""
        return options.samples or SAMPLES

    def is_signed(self, output: Output) -> bool:
        """Raw values are relative to their mean."""
        return output == "identity"

    def clip_values(self, perturbed: PerturbedClip, method_inputs: MethodInputs) -> Tensor:
        """[T', h, w]; every clip has its own masks."""
        return _mean_mask(
            perturbed, self.perturbations(method_inputs.layout, method_inputs.options)
        )


def _mean_mask(perturbed: PerturbedClip, samples: int) -> Tensor:
    """Equation 6, [T', h, w]; masks are made per pass, on the model's device."""
    cells, shifts = draw(samples, perturbed.grid, torch.Generator().manual_seed(perturbed.seed))
    device = perturbed.clip.device
    weighted_sum, mask_sum = (torch.zeros(perturbed.grid, device=device) for _ in range(2))
    score_sum = torch.zeros((), device=device)
    batches = zip(*(torch.split(t, perturbed.together) for t in (cells, shifts)), strict=True)
    for batch_cells, batch_shifts in batches:
        masks = soft_masks(batch_cells.to(device), batch_shifts, perturbed.grid)
        scores = perturbed.keep(masks)
        weighted_sum += torch.tensordot(scores, masks, dims=1)
        mask_sum += masks.sum(dim=0)
        score_sum += scores.sum()
    if perturbed.output == "identity":
        weighted_sum -= score_sum / samples * mask_sum
    return weighted_sum / (KEPT * samples)


def draw(
    samples: int, grid: tuple[int, int, int], generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draw the kept coarse cells, [M, 1, t, y, x], and the shift of each mask, [M, 3].

    All at once, so that the draws do not depend on the number of copies per pass.
    """
    cells, sizes = _coarse(grid)
    kept = torch.rand(samples, 1, *(c + 1 for c in cells), generator=generator) < KEPT
    shifts = [torch.randint(size, (samples,), generator=generator) for size in sizes]
    return kept.float(), torch.stack(shifts, dim=1)


def soft_masks(kept: Tensor, shifts: Tensor, grid: tuple[int, int, int]) -> Tensor:
    """The drawn cells, scaled up and shifted: masks [M, T', h, w] between 0 and 1."""
    cells, sizes = _coarse(grid)
    scaled = [(c + 1) * size for c, size in zip(cells, sizes, strict=True)]
    fine = F.interpolate(kept, scaled, mode="trilinear", align_corners=False)[:, 0]
    parts = [
        tuple(slice(s, s + length) for s, length in zip(shift, grid, strict=True))
        for shift in shifts.tolist()
    ]
    return torch.stack([mask[part] for mask, part in zip(fine, parts, strict=True)])


def _coarse(grid: tuple[int, int, int]) -> tuple[list[int], list[int]]:
    """Number of cells along each side, and of tokens in a cell."""
    cells = [min(most, length) for most, length in zip(CELLS, grid, strict=True)]
    return cells, [-(-length // cell) for length, cell in zip(grid, cells, strict=True)]
