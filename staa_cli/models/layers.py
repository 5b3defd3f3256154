"""Layers that every family shares: timm's own where timm has them, tapped where it matters."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, Literal, TypeVar

import torch
import torch.nn.functional as F
from timm.layers.attention import Attention
from timm.layers.layer_scale import LayerScale
from timm.layers.mlp import Mlp
from torch import Tensor, nn

from staa_cli.models.taps import record

M = TypeVar("M", bound=nn.Module)

Rope = tuple[Tensor, Tensor]
"""Sine and cosine [N, d] of a rotary position embedding, for every number of a head."""


def rotate(x: Tensor, rope: Rope) -> Tensor:
    """Queries or keys [B, heads, N, d] with neighboring numbers turned as pairs (RoFormer)."""
    sine, cosine = rope
    turned = torch.stack([-x[..., 1::2], x[..., ::2]], dim=-1).flatten(-2)
    return x * cosine + turned * sine


class TapAttention(Attention):
    """timm's attention (same parameters, same names) whose q, k, v can be read while it runs."""

    def forward(  # type: ignore[override]
        self,
        x: Tensor,
        rope: Rope | None = None,
        *,
        attn_mask: None = None,
        is_causal: Literal[False] = False,
    ) -> Tensor:
        """Tokens [B, N, D] to tokens [B, N, D]; `rope` turns queries and keys by their places.

        timm's own blocks pass `attn_mask` and `is_causal`; no video model here has either.
        """
        batch, length, _ = x.shape
        qkv = self.qkv(x).reshape(batch, length, 3, self.num_heads, self.head_dim)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # each [B, heads, N, d]
        q, k = self.q_norm(q), self.k_norm(k)
        if rope is not None:
            q, k = rotate(q, rope), rotate(k, rope)
        if self.fused_attn:
            out = F.scaled_dot_product_attention(
                q, k, v, dropout_p=self.attn_drop.p if self.training else 0.0, scale=self.scale
            )
        else:
            weights = torch.softmax((q * self.scale) @ k.transpose(-2, -1), dim=-1)
            out = self.attn_drop(weights) @ v
        record(self, q, k, v, out, x)
        out = out.transpose(1, 2).reshape(batch, length, -1)  # [B, N, D]
        return self.proj_drop(self.proj(self.norm(out)))  # type: ignore[no-any-return]


class TapNorm(nn.LayerNorm):
    """A LayerNorm whose input can be read: the one before the head."""

    def forward(self, x: Tensor) -> Tensor:
        """Tokens [..., D] to normalized tokens [..., D]."""
        record(self, x)
        return super().forward(x)


class TokenMean(nn.Module):
    """The mean of all tokens, which can be read before they are one."""

    def forward(self, x: Tensor) -> Tensor:
        """Tokens [B, N, D] to [B, D]."""
        record(self, x)
        return x.mean(dim=1)


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

    def init_large(self) -> None:
        """Weights of which tokens come out about as large as sines, or positions drown them."""
        conv: Any
        for conv in self.convs:
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
            nn.init.zeros_(conv.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Frames [B, 3, H, W] to tokens [B, P, D], rows first."""
        for index, conv in enumerate(self.convs):
            x = conv(x if index == 0 else F.gelu(x))
        return x.flatten(2).transpose(1, 2)


class Block(nn.Module):
    """One pre-norm block: attention over all tokens, then the MLP.

    Args:
        dim: D.
        num_heads: of the attention.
        mlp_ratio: hidden width of the MLP, of D.
        eps: of both LayerNorms.
        act_layer: of the MLP.
        init_values: first value of the layer scale; None for a block without.
        qkv_bias: whether queries, keys, and values have a bias.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        mlp_ratio: float,
        eps: float,
        act_layer: type[nn.Module] = nn.GELU,
        init_values: float | None = None,
        qkv_bias: bool = True,
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=eps)
        self.attn = TapAttention(dim, num_heads=num_heads, qkv_bias=qkv_bias)
        self.ls1 = nn.Identity() if init_values is None else LayerScale(dim, init_values)
        self.norm2 = nn.LayerNorm(dim, eps=eps)
        self.mlp = Mlp(dim, round(dim * mlp_ratio), act_layer=act_layer)
        self.ls2 = nn.Identity() if init_values is None else LayerScale(dim, init_values)

    def forward(self, x: Tensor, rope: Rope | None = None) -> Tensor:
        """Tokens [B, N, D] to tokens [B, N, D]."""
        x = x + self.ls1(self.attn(self.norm1(x), rope))
        return x + self.ls2(self.mlp(self.norm2(x)))  # type: ignore[no-any-return]


class TubeletEmbed(nn.Module):
    """Video [B, T, 3, H, W] to tokens [B, T'*h*w, D], time first, then rows.

    Args:
        tubelet_size: frames a token.
        patch_size: height and width of a token in pixels.
        embed_dim: D.
    """

    def __init__(self, tubelet_size: int, patch_size: int, embed_dim: int) -> None:
        super().__init__()
        kernel = (tubelet_size, patch_size, patch_size)
        self.proj = nn.Conv3d(3, embed_dim, kernel, stride=kernel)

    def forward(self, x: Tensor) -> Tensor:
        """Video [B, T, 3, H, W] to tokens [B, N, D]."""
        tokens: Tensor = self.proj(x.transpose(1, 2)).flatten(2).transpose(1, 2)
        # Sums keep the order in memory of what they add to; another one slows every block down.
        return tokens.contiguous()


def pair(size: int | tuple[int, int]) -> tuple[int, int]:
    """Height and width of what may be square."""
    return (size, size) if isinstance(size, int) else size


def init_linear(module: nn.Module) -> None:
    """Weights of every projection in `module` for training from nothing."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def create(
    build: Callable[..., M], pretrained: bool, defaults: dict[str, Any], overrides: dict[str, Any]
) -> M:
    """What an entry point of timm gets to a module; what timm adds on its own is left out.

    Raises:
        RuntimeError: weights are asked for, which are none of timm's.
    """
    if pretrained:
        raise RuntimeError("weights are loaded by staa_cli.load_model, not by timm")
    known = ("pretrained_cfg", "pretrained_cfg_overlay", "cache_dir")
    return build(**{**defaults, **{k: v for k, v in overrides.items() if k not in known}})
