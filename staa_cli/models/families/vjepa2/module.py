"""V-JEPA 2 (arXiv 2506.09985) with its attentive pooler, as a classifier.

Joint attention over tubelets with rotary positions, no class token. A pooler follows: blocks
without positions, then one query that attends to all tokens by cross-attention.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from staa_cli.models.architectures import create, register_architecture
from staa_cli.models.families.transformer import (
    SMALLEST,
    TINY_EVENTS,
    VideoTransformer,
    attention_of,
    blocks_of,
)
from staa_cli.models.layers import (
    Block,
    Mlp,
    Rope,
    TapAttention,
    TapNorm,
    TubeletConvStem,
    TubeletEmbed,
)
from staa_cli.models.linear import Linear
from staa_cli.models.taps import record


class CrossAttention(nn.Module):
    """One query that attends to all tokens, without an output projection."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads, self.head_dim = num_heads, dim // num_heads
        self.scale = self.head_dim**-0.5
        self.q = Linear(dim, dim)
        self.kv = Linear(dim, 2 * dim)

    def forward(self, query: Tensor, tokens: Tensor) -> Tensor:
        """Query [B, 1, D] and tokens [B, N, D] to the attention output [B, 1, D]."""
        batch, length, _ = tokens.shape
        heads = (self.num_heads, self.head_dim)
        q = self.q(query).reshape(batch, 1, *heads).transpose(1, 2)
        k, v = self.kv(tokens).reshape(batch, length, 2, *heads).permute(2, 0, 3, 1, 4).unbind(0)
        out = F.scaled_dot_product_attention(q, k, v, scale=self.scale)
        record(self, q, k, v, out, tokens)
        return out.transpose(1, 2).reshape(batch, 1, -1)


class CrossAttentionBlock(nn.Module):
    """Cross-attention of the query to the normalized tokens, then an MLP, both with residuals."""

    def __init__(self, dim: int, num_heads: int, mlp_ratio: float, eps: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=eps)
        self.xattn = CrossAttention(dim, num_heads)
        self.norm2 = nn.LayerNorm(dim, eps=eps)
        self.mlp = Mlp(dim, int(dim * mlp_ratio))

    def forward(self, query: Tensor, tokens: Tensor) -> Tensor:
        """Query [B, 1, D] and tokens [B, N, D] to the query [B, 1, D]."""
        query = query + self.xattn(query, self.norm1(tokens))
        return query + self.mlp(self.norm2(query))  # type: ignore[no-any-return]


class AttentivePooler(nn.Module):
    """Tokens [B, N, D] to one token [B, D]."""

    def __init__(self, dim: int, depth: int, num_heads: int, mlp_ratio: float, eps: float) -> None:
        super().__init__()
        self.query_tokens = nn.Parameter(torch.zeros(1, 1, dim))
        self.blocks = nn.ModuleList(Block(dim, num_heads, mlp_ratio, eps) for _ in range(depth))
        self.cross_attention_block = CrossAttentionBlock(dim, num_heads, mlp_ratio, eps)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens [B, N, D] to one token [B, D]."""
        for block in self.blocks:
            x = block(x)
        query = self.query_tokens.expand(len(x), -1, -1)
        return self.cross_attention_block(query, x)[:, 0]  # type: ignore[no-any-return]


class VJEPA2(VideoTransformer):
    """Normalized float [B, T, 3, H, W] to logits [B, classes].

    Args:
        img_size: height and width in pixels that it was trained with.
        patch_size: side of a patch in pixels.
        tubelet_size: frames per token.
        num_classes: width of the head.
        embed_dim: D.
        depth: number of blocks of the encoder.
        num_heads: heads per layer of the encoder.
        mlp_ratio: hidden width of the encoder's MLPs divided by D.
        num_frames: T that it was trained with.
        pooler_depth: blocks of the pooler before its query.
        pooler_heads: heads per layer of the pooler; by default as in the encoder.
        eps: of the encoder's LayerNorms.
        pooler_eps: of the pooler's.
        qkv_bias: whether the encoder's queries, keys, and values have a bias.
        stem: ``patch`` for tubelets by one projection; ``conv`` for strided convolutions.
        attn_layer: class of the blocks' attention.
    """

    pooling = "attentive"

    def __init__(
        self,
        img_size: int = 256,
        patch_size: int = 16,
        tubelet_size: int = 2,
        num_classes: int = 174,
        embed_dim: int = 1024,
        depth: int = 24,
        num_heads: int = 16,
        mlp_ratio: float = 4.0,
        num_frames: int = 16,
        pooler_depth: int = 3,
        pooler_heads: int | None = None,
        eps: float = 1e-6,
        pooler_eps: float = 1e-6,
        qkv_bias: bool = True,
        stem: Literal["patch", "conv"] = "patch",
        attn_layer: type[TapAttention] = TapAttention,
    ) -> None:
        super().__init__(img_size, patch_size, tubelet_size, num_frames, num_classes, embed_dim)
        self.head_dim, self.pooler_depth = embed_dim // num_heads, pooler_depth
        embed = TubeletConvStem if stem == "conv" else TubeletEmbed
        self.patch_embed = embed(tubelet_size, patch_size, embed_dim)
        self.blocks = nn.ModuleList(
            Block(embed_dim, num_heads, mlp_ratio, eps, qkv_bias=qkv_bias, attn_layer=attn_layer)
            for _ in range(depth)
        )
        self.norm = TapNorm(embed_dim, eps=eps)
        self.pooler = AttentivePooler(
            embed_dim, pooler_depth, pooler_heads or num_heads, 4.0, pooler_eps
        )
        self.head = nn.Linear(embed_dim, num_classes)

    def attention_layers(self) -> dict[tuple[str, int], nn.Module]:
        """(role, block) to the layer that can be tapped; see `Tap` for the roles."""
        return {
            ("pooler", 0): self.pooler.cross_attention_block.xattn,
            **attention_of(self.pooler.blocks, "pooler_self"),
            **blocks_of(self.blocks),
            **attention_of(self.blocks, "joint"),
        }

    def forward_features(self, x: Tensor) -> Tensor:
        """Normalized float [B, T, 3, H, W] to tokens [B, N, D]."""
        grid = self.token_grid(x.shape[1], *x.shape[-2:])
        tokens = self.patch_embed(x)  # [B, N, D]
        rope = rope_table(grid, self.head_dim, tokens.device, tokens.dtype)
        for block in self.blocks:
            tokens = block(tokens, rope)
        return self.norm(tokens)  # type: ignore[no-any-return]

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Tokens [B, N, D] to logits [B, classes], or to the pooled token [B, D]."""
        pooled = self.pooler(x)  # [B, D]
        return pooled if pre_logits else self.head(pooled)  # type: ignore[no-any-return]


@lru_cache(maxsize=4)
def rope_table(
    grid: tuple[int, int, int], head_dim: int, device: torch.device, dtype: torch.dtype
) -> Rope:
    """Sine and cosine [T'*h*w, head_dim] for a token's time, row, and column.

    Each axis rotates a third of a head's channels, rounded down to an even count; the others are
    not rotated. The published models concatenate the angles f0, f1, ... twice although neighboring
    channels are rotated in pairs; the weights were trained that way.
    """
    with torch.inference_mode(False):  # inference tensors could not be used elsewhere
        size = 2 * (head_dim // 3 // 2)
        rate = 10000 ** -(torch.arange(size // 2, dtype=torch.float32) / (size / 2))
        axes = torch.meshgrid(*(torch.arange(n, dtype=torch.float32) for n in grid), indexing="ij")
        angles = [(axis.flatten()[:, None] * rate).repeat(1, 2) for axis in axes]
        unrotated = torch.zeros(len(angles[0]), head_dim - 3 * size)
        angle = torch.cat([*angles, unrotated], dim=1)
        return angle.sin().to(device, dtype), angle.cos().to(device, dtype)


@register_architecture("vjepa2")
def vjepa2_large_patch16_256(pretrained: bool = False, **kwargs: Any) -> VJEPA2:
    """Large: 16 frames of 256 x 256."""
    return create(VJEPA2, pretrained, {}, kwargs)


@register_architecture("vjepa2")
def vjepa2_huge_patch16_256(pretrained: bool = False, **kwargs: Any) -> VJEPA2:
    """Huge: 64 frames of 256 x 256."""
    shape = {"embed_dim": 1280, "depth": 32, "num_heads": 16}
    return create(VJEPA2, pretrained, {"num_frames": 64, **shape}, kwargs)


@register_architecture("vjepa2")
def vjepa2_giant_patch16_384(pretrained: bool = False, **kwargs: Any) -> VJEPA2:
    """Giant: 64 frames of 384 x 384."""
    shape = {"embed_dim": 1408, "depth": 40, "num_heads": 22, "mlp_ratio": 48 / 11}
    return create(VJEPA2, pretrained, {"img_size": 384, "num_frames": 64, **shape}, kwargs)


@register_architecture("vjepa2")
def vjepa2_tiny_events(pretrained: bool = False, **kwargs: Any) -> VJEPA2:
    """For event clips: 16 frames of 112 x 112 in tubelets of two frames, a pooler of one block."""
    shape = {"num_frames": 16, "depth": 3, "pooler_depth": 1}
    return create(VJEPA2, pretrained, {**TINY_EVENTS, **shape}, kwargs)


@register_architecture("vjepa2")
def test_vjepa2(pretrained: bool = False, **kwargs: Any) -> VJEPA2:  # noqa: PT028
    """A minimal model that has every part; for tests."""
    return create(VJEPA2, pretrained, {**SMALLEST, "pooler_depth": 1}, kwargs)
