"""Layers shared by the families; attention and norms can be tapped.

Layers that timm has, too, use timm's names for classes, parameters, and arguments, and give the
same numbers. They are reimplemented because importing timm takes as long as importing torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from staa_cli.models.frame_embeddings import embed_new
from staa_cli.models.linear import Linear
from staa_cli.models.taps import record

Rope = tuple[Tensor, Tensor]
"""Sine and cosine [N, d] of a rotary position embedding, for every channel of a head."""


def rotate(x: Tensor, rope: Rope) -> Tensor:
    """Queries or keys [B, heads, N, d] with neighboring channels rotated in pairs (RoFormer)."""
    sine, cosine = rope
    rotated = torch.stack([-x[..., 1::2], x[..., ::2]], dim=-1).flatten(-2)
    return x * cosine + rotated * sine


class TapAttention(nn.Module):
    """Attention over all tokens, as timm's `Attention`; q, k, v can be read while it runs.

    Args:
        dim: D.
        num_heads: heads; they divide D unless `attn_head_dim` is given.
        attn_head_dim: width d of a head; D / heads where None.
        qkv_bias: whether queries, keys, and values have a bias.
        qk_norm: whether each head's queries and keys go through a norm.
        attn_drop: dropout on attention weights while training.
        norm_layer: makes the norm of `qk_norm` from d.

    Raises:
        ValueError: the heads do not divide D.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int = 8,
        attn_head_dim: int | None = None,
        qkv_bias: bool = False,
        qk_norm: bool = False,
        attn_drop: float = 0.0,
        norm_layer: Callable[[int], nn.Module] = nn.LayerNorm,
    ) -> None:
        super().__init__()
        if attn_head_dim is None and dim % num_heads:
            raise ValueError(f"{num_heads} heads do not divide a width of {dim}")
        self.num_heads, self.head_dim = num_heads, attn_head_dim or dim // num_heads
        self.scale = self.head_dim**-0.5
        self.fused_attn = True
        width = self.num_heads * self.head_dim
        self.qkv = Linear(dim, 3 * width, bias=qkv_bias)
        self.q_norm = norm_layer(self.head_dim) if qk_norm else nn.Identity()
        self.k_norm = norm_layer(self.head_dim) if qk_norm else nn.Identity()
        self.attn_drop = nn.Dropout(attn_drop)
        self.proj = Linear(width, dim)

    def forward(self, x: Tensor, rope: Rope | None = None) -> Tensor:
        """Tokens [B, N, D] to tokens [B, N, D]; `rope` rotates queries and keys by position."""
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
        return self.project(out.transpose(1, 2).reshape(batch, length, -1))

    def project(self, out: Tensor) -> Tensor:
        """Attention output, heads concatenated [B, N, heads * d], to tokens [B, N, D]."""
        return self.proj(out)  # type: ignore[no-any-return]


class Mlp(nn.Module):
    """Two projections with an activation between them.

    Args:
        in_features: D.
        hidden_features: width between the two.
        act_layer: makes the activation.
    """

    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        act_layer: Callable[[], nn.Module] = nn.GELU,
    ) -> None:
        super().__init__()
        self.fc1 = Linear(in_features, hidden_features)
        self.act = act_layer()
        self.fc2 = Linear(hidden_features, in_features)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens [..., D] to tokens [..., D]."""
        return self.fc2(self.act(self.fc1(x)))  # type: ignore[no-any-return]


class LayerScale(nn.Module):
    """A learned factor for every channel of a branch, small at first (arXiv 2103.17239)."""

    def __init__(self, dim: int, init_values: float) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((dim,), init_values))

    def forward(self, x: Tensor) -> Tensor:
        """Tokens [..., D] to tokens [..., D]."""
        return x * self.gamma


class TapNorm(nn.LayerNorm):
    """A LayerNorm whose input can be tapped, such as the one before the head."""

    def forward(self, x: Tensor) -> Tensor:
        """Tokens [..., D] to normalized tokens [..., D]."""
        record(self, x)
        return super().forward(x)


class FrameMean(nn.Module):
    """The mean of frames' logits, which can be tapped."""

    def forward(self, x: Tensor) -> Tensor:
        """Logits [B, T, classes] to [B, classes]."""
        record(self, x)
        return x.mean(dim=1)


class PatchEmbed(nn.Module):
    """Frames [B, 3, H, W] to tokens [B, P, D] by one projection per patch, in row-major order.

    Args:
        patch_size: side of a patch in pixels.
        embed_dim: D.
        in_chans: channels of a frame.
    """

    def __init__(self, patch_size: int, embed_dim: int, in_chans: int = 3) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.proj = nn.Conv2d(in_chans, embed_dim, patch_size, stride=patch_size)

    def forward(self, x: Tensor) -> Tensor:
        """Frames [B, 3, H, W] to tokens [B, P, D].

        Raises:
            ValueError: the frames do not divide into patches.
        """
        height, width = x.shape[-2:]
        if height % self.patch_size or width % self.patch_size:
            raise ValueError(
                f"pictures of {width} x {height} do not divide into patches of {self.patch_size}"
            )
        return embed_new(self, x, self._embed)

    def _embed(self, x: Tensor) -> Tensor:
        return self.proj(x).flatten(2).transpose(1, 2)  # type: ignore[no-any-return]


class ConvStem(nn.Module):
    """Frames [B, 3, H, W] to tokens [B, P, D] by 3x3 convolutions of stride 2.

    Early convolutions learn much faster on small data sets than one large patch projection
    (Xiao et al. 2021, arXiv 2106.14881).

    Args:
        patch_size: a power of two, the total stride.
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
        """Initialize so that tokens are about as large as sine positions, which would mask them."""
        conv: Any
        for conv in self.convs:
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
            nn.init.zeros_(conv.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Frames [B, 3, H, W] to tokens [B, P, D], in row-major order."""
        return embed_new(self, x, self._embed)

    def _embed(self, x: Tensor) -> Tensor:
        if x.device.type == "cpu" and not self.training:
            # Otherwise each convolution converts to channels last and back. In training, contiguous
            # frames are faster.
            x = x.contiguous(memory_format=torch.channels_last)
        for index, conv in enumerate(self.convs):
            x = conv(x if index == 0 else F.gelu(x))
        return x.flatten(2).transpose(1, 2)


class TubeletConvStem(ConvStem):
    """Video [B, T, 3, H, W] to tokens [B, T'*h*w, D], time first, by a `ConvStem`.

    The frames of a tubelet are the channels of its first convolution.

    Args:
        tubelet_size: frames a token.
        patch_size: a power of two; height and width of a token in pixels.
        embed_dim: D.
    """

    def __init__(self, tubelet_size: int, patch_size: int, embed_dim: int) -> None:
        super().__init__(patch_size, embed_dim, 3 * tubelet_size)
        self.tubelet_size = tubelet_size

    def forward(self, x: Tensor) -> Tensor:
        """Video [B, T, 3, H, W] to tokens [B, N, D]."""
        tubelets = x.reshape(-1, 3 * self.tubelet_size, *x.shape[-2:])  # [B*T', 3*tubelet, H, W]
        tokens = self._embed(tubelets)
        return tokens.reshape(len(x), -1, tokens.shape[-1])


class Block(nn.Module):
    """One pre-norm block: attention over all tokens, then the MLP.

    Args:
        dim: D.
        num_heads: attention heads.
        mlp_ratio: hidden width of the MLP divided by D.
        eps: of both LayerNorms.
        act_layer: makes the activation of the MLP.
        init_values: initial value of the layer scale; None for a block without one.
        qkv_bias: whether queries, keys, and values have a bias.
        attn_layer: class of the attention.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        mlp_ratio: float,
        eps: float,
        act_layer: Callable[[], nn.Module] = nn.GELU,
        init_values: float | None = None,
        qkv_bias: bool = True,
        attn_layer: type[TapAttention] = TapAttention,
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=eps)
        self.attn = attn_layer(dim, num_heads=num_heads, qkv_bias=qkv_bias)
        self.ls1 = nn.Identity() if init_values is None else LayerScale(dim, init_values)
        self.norm2 = nn.LayerNorm(dim, eps=eps)
        self.mlp = Mlp(dim, round(dim * mlp_ratio), act_layer=act_layer)
        self.ls2 = nn.Identity() if init_values is None else LayerScale(dim, init_values)

    def forward(self, x: Tensor, rope: Rope | None = None) -> Tensor:
        """Tokens [B, N, D] to tokens [B, N, D]."""
        x = x + self.ls1(self.attn(self.norm1(x), rope))
        x = x + self.ls2(self.mlp(self.norm2(x)))
        record(self, x)
        return x


class TubeletEmbed(nn.Module):
    """Video [B, T, 3, H, W] to tokens [B, T'*h*w, D], time first, then rows.

    Args:
        tubelet_size: frames per token.
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
        # Residual sums keep this memory layout; a non-contiguous one slows down every block.
        return tokens.contiguous()


def pair(size: int | tuple[int, int]) -> tuple[int, int]:
    """Height and width; one number means a square."""
    return (size, size) if isinstance(size, int) else size


def resample_positions(
    table: Tensor, grid: Sequence[int], new_grid: Sequence[int], mode: str
) -> Tensor:
    """Interpolate a table of position embeddings from one token grid to another.

    Args:
        table: [1, 1 + N, D]: the class token's, which is kept, then those of `grid`.
        grid: lengths of the axes, two or three; their product is N.
        new_grid: lengths of the new axes; their product is N'.
        mode: of `torch.nn.functional.interpolate`.

    Returns:
        [1, 1 + N', D].
    """
    positions = table[:, 1:].reshape(1, *grid, -1).movedim(-1, 1)  # [1, D, *grid]
    positions = F.interpolate(positions, size=tuple(new_grid), mode=mode)  # [1, D, *new_grid]
    return torch.cat([table[:, :1], positions.flatten(2).transpose(1, 2)], dim=1)


@lru_cache(maxsize=4)
def axes_table(
    grid: tuple[int, int, int], dim: int, device: torch.device, dtype: torch.dtype
) -> Tensor:
    """Positions [T', h, w, D], a third of D each for time, row, and column.

    Wavelengths go from 6 to 600 tokens: longer ones hardly vary on a small grid.

    Raises:
        ValueError: D does not divide into sines and cosines of three axes.
    """
    if dim % 6:
        raise ValueError(f"embed_dim must be a multiple of 6 for three axes, not {dim}")
    with torch.inference_mode(False):  # inference tensors could not be used elsewhere
        rate = 100.0 ** (-torch.arange(dim // 6, dtype=torch.float64) / (dim // 6))
        axes = []
        for axis, length in enumerate(grid):
            angle = torch.arange(length, dtype=torch.float64)[:, None] * rate
            shape = [1, 1, 1, -1]
            shape[axis] = length
            axes.append(torch.cat([angle.sin(), angle.cos()], 1).reshape(shape))
        table = torch.cat([axis.expand(*grid, -1) for axis in axes], dim=-1)
        return table.to(torch.float32).to(device, dtype)


def init_linear(module: nn.Module) -> None:
    """Initialize every projection in `module` for training from scratch."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
