"""VideoMAE (arXiv 2203.12602) and VideoMAE v2 (arXiv 2303.16727), as classifiers.

Joint attention over tubelets, no class token, positions from a fixed table. The head reads the mean
of all tokens or, in most fine-tunes, as inherited from the pre-trained models, token 0: the first
tubelet at the upper left.
"""

from __future__ import annotations

from functools import lru_cache
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
)

Pooling = Literal["mean", "token"]


class VideoMAE(VideoTransformer):
    """Normalized float [B, T, 3, H, W] to logits [B, classes].

    Args:
        img_size: height and width in pixels; one number means a square.
        patch_size: side of a patch in pixels.
        tubelet_size: frames per token.
        num_classes: width of the head.
        embed_dim: D.
        depth: number of blocks.
        num_heads: heads per layer.
        mlp_ratio: hidden width of the MLP divided by D.
        num_frames: T that it was trained with.
        pooling: ``mean`` of all tokens, then a norm; or ``token`` 0 after the norm.
        stem: ``patch`` for tubelets by one projection; ``conv`` for strided convolutions.
        positions: ``flat`` numbers the tokens, as published; ``axes`` encodes each axis.
        eps: of the blocks' LayerNorms, and of the last one if the head reads token 0.
        fc_eps: of the norm after the mean.
        init_values: initial value of the layer scale; None for no layer scale.
        qkv_bias: whether queries, keys, and values have a bias.
        attn_layer: class of the blocks' attention.
    """

    any_size = False

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
        num_frames: int = 16,
        pooling: Pooling = "mean",
        stem: Literal["patch", "conv"] = "patch",
        positions: Literal["flat", "axes"] = "flat",
        eps: float = 1e-6,
        fc_eps: float = 1e-6,
        init_values: float | None = None,
        qkv_bias: bool = True,
        attn_layer: type[TapAttention] = TapAttention,
    ) -> None:
        super().__init__(img_size, patch_size, tubelet_size, num_frames, num_classes, embed_dim)
        self.pooling, self.positions = pooling, positions
        embed = TubeletConvStem if stem == "conv" else TubeletEmbed
        self.patch_embed = embed(tubelet_size, patch_size, embed_dim)
        self.blocks = nn.ModuleList(
            Block(
                embed_dim,
                num_heads,
                mlp_ratio,
                eps,
                init_values=init_values,
                qkv_bias=qkv_bias,
                attn_layer=attn_layer,
            )
            for _ in range(depth)
        )
        if pooling == "mean":
            self.fc_norm = TapNorm(embed_dim, eps=fc_eps)
        else:
            self.norm = TapNorm(embed_dim, eps=eps)
        self.head = nn.Linear(embed_dim, num_classes)
        init_linear(self)
        if isinstance(self.patch_embed, TubeletConvStem):
            self.patch_embed.init_large()

    def attention_layers(self) -> dict[tuple[str, int], nn.Module]:
        """(role, block) to the layer that can be tapped; see `Tap` for the roles."""
        norm = self.fc_norm if self.pooling == "mean" else self.norm
        return {
            ("read_out", 0): norm,
            **blocks_of(self.blocks),
            **attention_of(self.blocks, "joint"),
        }

    def forward_features(self, x: Tensor, corner: tuple[int, int] | None = None) -> Tensor:
        """Normalized float [B, T, 3, H, W] to tokens [B, N, D], before the last norm.

        Args:
            x: the clips.
            corner: row and column of the token grid at which smaller frames begin; for training on
                crops.

        Raises:
            ValueError: the frame size does not match the table of positions.
        """
        size = self.img_size
        if corner is None and tuple(x.shape[-2:]) != size:
            raise ValueError(f"pictures must be {size[0]} x {size[1]}, not {tuple(x.shape[-2:])}")
        tokens: Tensor = self.patch_embed(x) + self._positions(x, corner or (0, 0))  # [B, N, D]
        for block in self.blocks:
            tokens = block(tokens)
        return tokens

    def _positions(self, x: Tensor, corner: tuple[int, int]) -> Tensor:
        """[N, D] for clips [B, T, 3, H, W] that begin at a corner of the token grid."""
        frames, height, width = self.token_grid(x.shape[1], *x.shape[-2:])
        rows, columns = self.grid_size[1:]
        if self.positions == "axes":
            positions = axes_table((frames, rows, columns), self.embed_dim, x.device, x.dtype)
        else:
            # It numbers tokens in order: a longer clip continues the table.
            table = sinusoid_table(frames * rows * columns, self.embed_dim, x.device, x.dtype)
            positions = table.reshape(frames, rows, columns, -1)
        top, left = corner
        return positions[:, top : top + height, left : left + width].reshape(-1, self.embed_dim)

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Tokens [B, N, D] to logits [B, classes], or to what the head reads [B, D]."""
        pooled = self.fc_norm(x.mean(dim=1)) if self.pooling == "mean" else self.norm(x[:, 0])
        return pooled if pre_logits else self.head(pooled)  # type: ignore[no-any-return]


@lru_cache(maxsize=4)
def sinusoid_table(length: int, dim: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Positions [length, D] of Vaswani et al. 2017 (arXiv 1706.03762), in no checkpoint."""
    with torch.inference_mode(False):  # inference tensors could not be used elsewhere
        rate = 10000 ** (-2 * (torch.arange(dim, dtype=torch.float64) // 2) / dim)
        angle = torch.arange(length, dtype=torch.float64)[:, None] * rate
        table = torch.where(torch.arange(dim) % 2 == 0, angle.sin(), angle.cos())
        return table.to(torch.float32).to(device, dtype)


@register_architecture("videomae")
def videomae_tiny_events(pretrained: bool = False, **kwargs: Any) -> VideoMAE:
    """The bundled model with joint attention: 8 frames of 112 x 112, 14 x 14 tokens each."""
    defaults = {**TINY_EVENTS, "tubelet_size": 1, "positions": "axes"}
    return create(VideoMAE, pretrained, defaults, kwargs)


@register_architecture("videomae")
def videomae_small_patch16_224(pretrained: bool = False, **kwargs: Any) -> VideoMAE:
    """Small: 16 frames of 224 x 224."""
    return create(VideoMAE, pretrained, {"embed_dim": 384, "num_heads": 6}, kwargs)


@register_architecture("videomae")
def videomae_base_patch16_224(pretrained: bool = False, **kwargs: Any) -> VideoMAE:
    """Base: 16 frames of 224 x 224."""
    return create(VideoMAE, pretrained, {}, kwargs)


@register_architecture("videomae")
def videomae_large_patch16_224(pretrained: bool = False, **kwargs: Any) -> VideoMAE:
    """Large: 16 frames of 224 x 224."""
    return create(VideoMAE, pretrained, {"embed_dim": 1024, "depth": 24, "num_heads": 16}, kwargs)


@register_architecture("videomae")
def videomae_huge_patch16_224(pretrained: bool = False, **kwargs: Any) -> VideoMAE:
    """Huge: 16 frames of 224 x 224."""
    return create(VideoMAE, pretrained, {"embed_dim": 1280, "depth": 32, "num_heads": 16}, kwargs)


@register_architecture("videomae")
def videomae_giant_patch14_224(pretrained: bool = False, **kwargs: Any) -> VideoMAE:
    """Giant, of version 2: 16 frames of 224 x 224 in patches of 14."""
    shape = {"embed_dim": 1408, "depth": 40, "num_heads": 16, "mlp_ratio": 48 / 11}
    return create(VideoMAE, pretrained, {"patch_size": 14, **shape}, kwargs)


@register_architecture("videomae")
def test_videomae(pretrained: bool = False, **kwargs: Any) -> VideoMAE:  # noqa: PT028
    """A minimal model that has every part; for tests."""
    return create(VideoMAE, pretrained, SMALLEST, kwargs)
