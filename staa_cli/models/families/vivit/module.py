"""ViViT: "A Video Vision Transformer", arXiv 2103.15691: the unfactorized model.

Joint attention over tubelets behind a class token, with one learned table of positions.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from staa_cli.models.architectures import create, register_architecture
from staa_cli.models.layers import Block, TapNorm, TubeletEmbed, pair
from staa_cli.schema import AttentionLayout


class ViViT(nn.Module):
    """Normalized float [B, T, 3, H, W] to logits [B, classes].

    Args:
        img_size: height and width in pixels that the position table is for, one number where
            they are the same.
        patch_size: side of a patch in pixels.
        tubelet_size: frames a token.
        num_classes: width of the head.
        embed_dim: D.
        depth: number of blocks.
        num_heads: heads a layer.
        mlp_ratio: hidden width of the MLP, of D.
        num_frames: T that the position table is for.
        eps: of every LayerNorm.
        qkv_bias: whether queries, keys, and values have a bias.
    """

    any_size = True
    """Whether it takes other pictures than those that it was trained with."""

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
    ) -> None:
        super().__init__()
        self.num_frames, self.num_classes, self.embed_dim = num_frames, num_classes, embed_dim
        self.tubelet_size, self.patch_size = tubelet_size, patch_size
        height, width = pair(img_size)
        self.grid_size = (num_frames // tubelet_size, height // patch_size, width // patch_size)
        self.patch_embed = TubeletEmbed(tubelet_size, patch_size, embed_dim)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, embed_dim))
        places = math.prod(self.grid_size)
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + places, embed_dim))
        # The published weights were trained with this approximation; the exact one is off by 2e-4.
        gelu = partial(nn.GELU, approximate="tanh")
        self.blocks = nn.ModuleList(
            Block(embed_dim, num_heads, mlp_ratio, eps, gelu, qkv_bias=qkv_bias)
            for _ in range(depth)
        )
        self.norm = TapNorm(embed_dim, eps=eps)
        self.head = nn.Linear(embed_dim, num_classes)

    def layout(self) -> AttentionLayout:
        """How this model attends, for the methods."""
        return AttentionLayout(
            kind="joint",
            pooling="cls",
            grid=self.grid_size,
            tubelet=self.tubelet_size,
            depth=len(self.blocks),
            prefix_tokens=1,
            order="thw",
        )

    def attention_layers(self) -> dict[tuple[str, int], nn.Module]:
        """(role, block) to the layer that can be tapped; the norm before the head is read_out 0."""
        layers: dict[tuple[str, int], nn.Module] = {("read_out", 0): self.norm}
        block: Any
        for index, block in enumerate(self.blocks):
            layers["joint", index] = block.attn
        return layers

    def forward_features(self, x: Tensor) -> Tensor:
        """Normalized float [B, T, 3, H, W] to tokens [B, 1 + N, D]."""
        frames, height, width = x.shape[1], *x.shape[-2:]
        grid = (frames // self.tubelet_size, height // self.patch_size, width // self.patch_size)
        cls_token = self.cls_token.expand(len(x), -1, -1)
        tokens = torch.cat([cls_token, self.patch_embed(x)], dim=1) + self._positions(grid)
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens)  # type: ignore[no-any-return]

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Tokens [B, 1 + N, D] to logits [B, classes], or to the class token [B, D]."""
        return x[:, 0] if pre_logits else self.head(x[:, 0])

    def forward(self, x: Tensor) -> Tensor:
        """Normalized float [B, T, 3, H, W] to logits [B, classes]."""
        return self.forward_head(self.forward_features(x))

    def _positions(self, grid: tuple[int, int, int]) -> Tensor:
        if grid == self.grid_size:
            return self.pos_embed
        # No reference does this: linear between the entries that were learned.
        table = self.pos_embed[:, 1:].reshape(1, *self.grid_size, -1).permute(0, 4, 1, 2, 3)
        table = F.interpolate(table, size=grid, mode="trilinear").flatten(2).transpose(1, 2)
        return torch.cat([self.pos_embed[:, :1], table], dim=1)


@register_architecture("vivit")
def vivit_base_patch16x2_224(pretrained: bool = False, **kwargs: Any) -> ViViT:
    """Base: 32 frames of 224 x 224 in tubelets of two frames."""
    return create(ViViT, pretrained, {}, kwargs)


@register_architecture("vivit")
def test_vivit(pretrained: bool = False, **kwargs: Any) -> ViViT:  # noqa: PT028
    """As small as one can be and still have every part; for tests."""
    defaults = {
        "img_size": 32,
        "patch_size": 8,
        "num_classes": 5,
        "embed_dim": 32,
        "depth": 2,
        "num_heads": 2,
        "num_frames": 4,
    }
    return create(ViViT, pretrained, defaults, kwargs)
