"""Layers that every family shares: timm's own where timm has them, tapped where it matters."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from timm.layers.attention import Attention
from torch import Tensor, nn

from staa_cli.models.taps import offer


class TapAttention(Attention):
    """timm's attention (same parameters, same names) whose q, k, v can be read while it runs."""

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """Tokens [B, N, D] to tokens [B, N, D]."""
        batch, length, _ = x.shape
        qkv = self.qkv(x).reshape(batch, length, 3, self.num_heads, self.head_dim)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # each [B, heads, N, d]
        if self.fused_attn:
            out = F.scaled_dot_product_attention(
                q, k, v, dropout_p=self.attn_drop.p if self.training else 0.0, scale=self.scale
            )
        else:
            weights = torch.softmax((q * self.scale) @ k.transpose(-2, -1), dim=-1)
            out = self.attn_drop(weights) @ v
        offer(self, q, k, v)
        out = out.transpose(1, 2).reshape(batch, length, -1)  # [B, N, D]
        return self.proj_drop(self.proj(out))  # type: ignore[no-any-return]


class TapNorm(nn.LayerNorm):
    """A LayerNorm whose input can be read: the one before the head."""

    def forward(self, x: Tensor) -> Tensor:
        """Tokens [B, N, D] to normalised tokens [B, N, D]."""
        offer(self, x)
        return super().forward(x)


class ConvStem(nn.Module):
    """Frames [B, 3, H, W] to tokens [B, P, D] by strided 3x3 convolutions, each halving.

    Early convolutions learn far faster on small data than one large patch projection
    (Xiao et al. 2021, arXiv 2106.14881).

    Args:
        patch_size: a power of two; how much smaller the token grid is than the picture.
        embed_dim: D.
    """

    def __init__(self, patch_size: int, embed_dim: int, in_chans: int = 3) -> None:
        super().__init__()
        steps = patch_size.bit_length() - 1
        if patch_size != 1 << steps:
            raise ValueError(f"patch_size must be a power of two, not {patch_size}")
        widths = [in_chans, *(embed_dim >> (steps - 1 - i) for i in range(steps))]
        self.convs = nn.ModuleList(
            nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairwise(widths)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Frames [B, 3, H, W] to tokens [B, P, D], rows first."""
        for index, conv in enumerate(self.convs):
            x = conv(x if index == 0 else F.gelu(x))
        return x.flatten(2).transpose(1, 2)
