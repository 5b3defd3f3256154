"""ViViT: "A Video Vision Transformer", arXiv 2103.15691: the unfactorized model.

Joint attention over a class token and tubelets, with one learned table of positions.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any, Literal

import torch
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
    TapAttention,
    TapNorm,
    TubeletConvStem,
    TubeletEmbed,
    axes_table,
    init_linear,
    resample_positions,
)


class ViViT(VideoTransformer):
    """Normalized float [B, T, 3, H, W] to logits [B, classes].

    Args:
        img_size: height and width in pixels that the position table is for; one number
            means a square.
        patch_size: side of a patch in pixels.
        tubelet_size: frames per token.
        num_classes: width of the head.
        embed_dim: D.
        depth: number of blocks.
        num_heads: heads per layer.
        mlp_ratio: hidden width of the MLP divided by D.
        num_frames: T that the position table is for.
        eps: of every LayerNorm.
        qkv_bias: whether queries, keys, and values have a bias.
        stem: ``patch`` for tubelets by one projection; ``conv`` for strided convolutions.
        attn_layer: class of the blocks' attention.
    """

    pooling = "cls"
    prefix_tokens = 1

    def __init__(
        self,
        img_size: int | tuple[int, int] = 224,
        patch_size: int = 16,
        tubelet_size: int = 2,
        num_classes: int = 400,
        embed_dim: int = 768,
        depth: int = 12,
        num_heads: int = 12,
        mlp_ratio: float = 4.0,
        num_frames: int = 32,
        eps: float = 1e-6,
        qkv_bias: bool = True,
        stem: Literal["patch", "conv"] = "patch",
        attn_layer: type[TapAttention] = TapAttention,
    ) -> None:
        super().__init__(img_size, patch_size, tubelet_size, num_frames, num_classes, embed_dim)
        embed = TubeletConvStem if stem == "conv" else TubeletEmbed
        self.patch_embed = embed(tubelet_size, patch_size, embed_dim)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, embed_dim))
        positions = math.prod(self.grid_size)
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + positions, embed_dim))
        # The published weights were trained with this approximation, which differs by 2e-4.
        gelu = partial(nn.GELU, approximate="tanh")
        self.blocks = nn.ModuleList(
            Block(
                embed_dim, num_heads, mlp_ratio, eps, gelu, qkv_bias=qkv_bias, attn_layer=attn_layer
            )
            for _ in range(depth)
        )
        self.norm = TapNorm(embed_dim, eps=eps)
        self.head = nn.Linear(embed_dim, num_classes)
        if isinstance(self.patch_embed, TubeletConvStem):
            self._init_small(self.patch_embed)

    def _init_small(self, stem: TubeletConvStem) -> None:
        # For training from scratch: from no positions at all, attention to the same place at other
        # times is hardly found. The table is learned nevertheless.
        init_linear(self)
        stem.init_large()
        if not self.pos_embed.is_meta:  # or a checkpoint is going to fill it
            axes = axes_table(self.grid_size, self.embed_dim, torch.device("cpu"), torch.float32)
            self.pos_embed.data[:, 1:] = axes.flatten(0, 2)

    def attention_layers(self) -> dict[tuple[str, int], nn.Module]:
        """(role, block) to the layer that can be tapped; the norm before the head is read_out 0."""
        return {
            ("read_out", 0): self.norm,
            **blocks_of(self.blocks),
            **attention_of(self.blocks, "joint"),
        }

    def forward_features(self, x: Tensor) -> Tensor:
        """Normalized float [B, T, 3, H, W] to tokens [B, 1 + N, D]."""
        cls_token = self.cls_token.expand(len(x), -1, -1)  # [B, 1, D]
        tokens = torch.cat([cls_token, self.patch_embed(x)], dim=1)  # [B, 1 + N, D]
        tokens = tokens + self._positions(self.token_grid(x.shape[1], *x.shape[-2:]))
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens)  # type: ignore[no-any-return]

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Tokens [B, 1 + N, D] to logits [B, classes], or to the class token [B, D]."""
        return x[:, 0] if pre_logits else self.head(x[:, 0])

    def _positions(self, grid: tuple[int, int, int]) -> Tensor:
        """[1, 1 + N, D] for that token grid."""
        if grid == self.grid_size:
            return self.pos_embed
        # There is no reference for this: linear interpolation of the learned entries.
        return resample_positions(self.pos_embed, self.grid_size, grid, "trilinear")


@register_architecture("vivit")
def vivit_base_patch16x2_224(pretrained: bool = False, **kwargs: Any) -> ViViT:
    """Base: 32 frames of 224 x 224 in tubelets of two frames."""
    return create(ViViT, pretrained, {}, kwargs)


@register_architecture("vivit")
def vivit_tiny_events(pretrained: bool = False, **kwargs: Any) -> ViViT:
    """For event clips: 16 frames of 112 x 112 in tubelets of two frames."""
    return create(ViViT, pretrained, {**TINY_EVENTS, "num_frames": 16}, kwargs)


@register_architecture("vivit")
def test_vivit(pretrained: bool = False, **kwargs: Any) -> ViViT:  # noqa: PT028
    """A minimal model that has every part; for tests."""
    return create(ViViT, pretrained, SMALLEST, kwargs)
