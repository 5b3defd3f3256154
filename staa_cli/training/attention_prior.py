"""A temporary attention prior for joint attention, so that a small model learns from scratch.

Among all tokens of a clip, a head finds the few relevant ones, those of its own place at other
times, only after very long training, and without them nothing else is learned. So at first some
heads are limited to their own place at all times, some to their own frame, and the others not at
all; the prior then decreases to zero, and attention is as in any other model.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from staa_cli.models.layers import Rope, TapAttention, rotate

STRENGTH = 12.0
"""Subtracted from the scores of masked tokens at full strength of the prior."""


@lru_cache(maxsize=2)
def led_to(grid: tuple[int, int, int], heads: int, device: torch.device, prefix: int = 0) -> Tensor:
    """The tokens visible to each head, bool [heads, N, N], for tokens in the order (t, h, w).

    The first heads see their own place, the next their own frame; the last see everything. All see
    the `prefix` tokens before those, such as a class token, and these see all.
    """
    frames, places = grid[0], grid[1] * grid[2]
    number = torch.arange(frames * places, device=device)
    place = number % places
    frame = number // places
    same_place = place[:, None] == place
    same_frame = frame[:, None] == frame
    kinds = [same_place, same_frame, torch.ones_like(same_place)]
    visible = torch.stack([kinds[head * len(kinds) // heads] for head in range(heads)])
    return F.pad(visible, (prefix, 0, prefix, 0), value=True)


class PriorAttention(TapAttention):
    """Attention with an optional prior; without one it is `TapAttention`."""

    prior: Tensor | None = None
    """[heads, N, N], added to the scores."""

    def forward(self, x: Tensor, rope: Rope | None = None) -> Tensor:
        """Tokens [B, N, D] to tokens [B, N, D]; with a prior, taps record nothing."""
        if self.prior is None:
            return super().forward(x, rope)
        batch, length, _ = x.shape
        qkv = self.qkv(x).reshape(batch, length, 3, self.num_heads, self.head_dim)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        if rope is not None:
            q, k = rotate(q, rope), rotate(k, rope)
        scores = (q * self.scale) @ k.transpose(-2, -1)
        out = torch.softmax(scores + self.prior.to(scores.dtype), dim=-1) @ v
        return self.project(out.transpose(1, 2).reshape(batch, length, -1))


def lead(
    layers: Iterable[nn.Module], grid: tuple[int, int, int], strength: float, prefix: int = 0
) -> None:
    """Set or remove the prior of attention layers.

    Args:
        layers: of a model that was built with `PriorAttention`; others are unchanged.
        grid: (T', h, w) of the next clips.
        strength: subtracted from the scores of masked tokens; 0 removes the prior.
        prefix: tokens before those of the grid.
    """
    for layer in layers:
        if isinstance(layer, PriorAttention):
            visible = led_to(grid, layer.num_heads, layer.qkv.weight.device, prefix)
            layer.prior = torch.where(visible, 0.0, -strength) if strength else None
