"""Exact Shapley values of a few players: here, of frames (Shapley 1953)."""

from __future__ import annotations

from math import comb

import torch
from torch import Tensor

EXACT = 8
"""Frames up to which all coalitions are asked about."""


def over_frames(kept: Tensor, grid: tuple[int, int, int]) -> Tensor:
    """What frames have [M, T'] to what each of their tokens has [M, T', h, w]."""
    return kept[..., None, None].expand(-1, -1, *grid[1:])


def coalitions(count: int) -> Tensor:
    """All subsets of `count` players [2^count, count]; row number m has player i where bit i is."""
    return (torch.arange(2**count)[:, None] >> torch.arange(count)) & 1


def exact_shapley(worth: Tensor) -> Tensor:
    """Worth of all coalitions [2^n], in the order of `coalitions`, to Shapley values [n]."""
    count = len(worth).bit_length() - 1
    members = coalitions(count).to(worth.device)
    sizes = members.sum(dim=1)
    values = []
    for player in range(count):
        without = (members[:, player] == 0).nonzero()[:, 0]
        weights = worth.new_tensor(
            [1 / (count * comb(count - 1, size)) for size in sizes[without].tolist()]
        )
        gained = worth[without + (1 << player)] - worth[without]
        values.append((weights * gained).sum())
    return torch.stack(values)
