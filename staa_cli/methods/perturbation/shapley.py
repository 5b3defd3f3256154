"""Exact Shapley values of a few players: here, of frames (Shapley 1953)."""

from __future__ import annotations

from math import comb

import torch
from torch import Tensor

EXACT = 8
"""Maximum of frames for which all coalitions are scored."""


def over_frames(kept: Tensor, grid: tuple[int, int, int]) -> Tensor:
    """Values of frames [M, T'] repeated for each of their tokens [M, T', h, w]."""
    return kept[..., None, None].expand(-1, -1, *grid[1:])


def coalitions(count: int) -> Tensor:
    """All subsets of `count` players [2^count, count]; row m has player i if bit i of m is set."""
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
        gains = worth[without + (1 << player)] - worth[without]
        values.append((weights * gains).sum())
    return torch.stack(values)
