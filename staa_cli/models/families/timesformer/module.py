"""TimeSformer: "Is Space-Time Attention All You Need for Video Understanding?", arXiv 2102.05095.

Three attention types. Tokens are [B, 1 + P*T, D]: the class token, then patch tokens in row-major
order with time as the fastest axis, as in every published checkpoint.
"""

from __future__ import annotations

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
    ConvStem,
    DropPath,
    Mlp,
    PatchEmbed,
    TapAttention,
    TapNorm,
    init_linear,
    resample_positions,
)
from staa_cli.models.linear import Linear
from staa_cli.models.taps import record

AttentionType = Literal["divided_space_time", "joint_space_time", "space_only"]

_KINDS: dict[AttentionType, Literal["divided", "joint", "space"]] = {
    "divided_space_time": "divided",
    "joint_space_time": "joint",
    "space_only": "space",
}
"""Published names of the attention types to ours."""


class Block(nn.Module):
    """One pre-norm block; with divided attention it attends over time, then over space."""

    def __init__(
        self,
        dim: int,
        num_heads: int,
        mlp_ratio: float,
        divided: bool,
        eps: float,
        attn_drop: float = 0.0,
        drop_path: float = 0.0,
        qkv_bias: bool = True,
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=eps)
        self.attn = TapAttention(dim, num_heads=num_heads, qkv_bias=qkv_bias, attn_drop=attn_drop)
        self.divided = divided
        if divided:
            self.temporal_norm1 = nn.LayerNorm(dim, eps=eps)
            self.temporal_attn = TapAttention(
                dim, num_heads=num_heads, qkv_bias=qkv_bias, attn_drop=attn_drop
            )
            self.temporal_fc = Linear(dim, dim)
        self.norm2 = nn.LayerNorm(dim, eps=eps)
        self.mlp = Mlp(dim, round(dim * mlp_ratio))
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """Tokens [B, N, D] to tokens [B, N, D]; `frames` is T, for divided attention."""
        if self.divided:
            x = self._attend_over_space(self._attend_over_time(x, frames), frames)
        else:
            x = x + self.drop_path(self.attn(self.norm1(x)))
        x = x + self.drop_path(self.mlp(self.norm2(x)))
        record(self, x)
        return x

    def _attend_over_time(self, x: Tensor, frames: int) -> Tensor:
        batch, _, dim = x.shape
        patches = x[:, 1:]
        rows = self.temporal_norm1(patches).reshape(-1, frames, dim)  # [B*P, T, D]
        out = self.temporal_fc(self.drop_path(self.temporal_attn(rows)))
        return torch.cat([x[:, :1], patches + out.reshape(batch, -1, dim)], dim=1)

    def _attend_over_space(self, x: Tensor, frames: int) -> Tensor:
        batch, length, dim = x.shape
        positions = (length - 1) // frames
        normed = self.norm1(x)
        patches = normed[:, 1:].reshape(batch, positions, frames, dim).transpose(1, 2)
        cls_token = normed[:, None, :1].expand(batch, frames, 1, dim)
        rows = torch.cat([cls_token, patches], dim=2)  # [B, T, 1+P, D]
        rows = rows.reshape(-1, 1 + positions, dim)
        out = self.drop_path(self.attn(rows)).reshape(batch, frames, 1 + positions, dim)
        patch_out = out[:, :, 1:].transpose(1, 2).reshape(batch, -1, dim)  # time fastest again
        return x + torch.cat([out[:, :, 0].mean(dim=1, keepdim=True), patch_out], dim=1)


class TimeSformer(VideoTransformer):
    """Normalized float [B, T, 3, H, W] to logits [B, classes].

    Args:
        img_size: height and width in pixels that the position table is for.
        patch_size: side of a patch in pixels.
        num_classes: width of the head; 0 for no head.
        embed_dim: D.
        depth: number of blocks.
        num_heads: heads per layer.
        mlp_ratio: hidden width of the MLP divided by D.
        num_frames: T that the time table is for.
        attention_type: divided_space_time, joint_space_time, or space_only.
        stem: ``patch`` for one projection per patch, ``conv`` for strided 3x3 convolutions.
        eps: of every LayerNorm.
        attn_drop: dropout on attention weights in training.
        drop_path: stochastic depth of the last block in training.
        qkv_bias: whether queries, keys, and values have a bias.
    """

    pooling = "cls"
    prefix_tokens = 1
    order = "hwt"

    def __init__(
        self,
        img_size: int = 224,
        patch_size: int = 16,
        num_classes: int = 400,
        embed_dim: int = 768,
        depth: int = 12,
        num_heads: int = 12,
        mlp_ratio: float = 4.0,
        num_frames: int = 8,
        attention_type: AttentionType = "divided_space_time",
        stem: Literal["patch", "conv"] = "patch",
        eps: float = 1e-6,
        attn_drop: float = 0.0,
        drop_path: float = 0.0,
        qkv_bias: bool = True,
    ) -> None:
        super().__init__(img_size, patch_size, 1, num_frames, num_classes, embed_dim)
        self.kind = _KINDS[attention_type]
        self.patch_embed = (
            ConvStem(patch_size, embed_dim) if stem == "conv" else PatchEmbed(patch_size, embed_dim)
        )
        positions = self.grid_size[1] * self.grid_size[2]
        self.cls_token = nn.Parameter(torch.zeros(1, 1, embed_dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + positions, embed_dim))
        if self.kind != "space":
            self.time_embed = nn.Parameter(torch.zeros(1, num_frames, embed_dim))
        divided = self.kind == "divided"
        rates = [drop_path * i / max(depth - 1, 1) for i in range(depth)]
        self.blocks = nn.ModuleList(
            Block(embed_dim, num_heads, mlp_ratio, divided, eps, attn_drop, rate, qkv_bias)
            for rate in rates
        )
        self.norm = TapNorm(embed_dim, eps=eps)
        self.head = nn.Linear(embed_dim, num_classes) if num_classes else nn.Identity()
        self._init_weights()

    def _init_weights(self) -> None:
        # For training from scratch. The published models start from image weights with temporal
        # attention zeroed; a small model that has to detect motion does not learn from that.
        tables = [self.cls_token, self.pos_embed]
        if self.kind != "space":
            tables.append(self.time_embed)
        for table in tables:
            nn.init.trunc_normal_(table, std=0.02)
        init_linear(self)

    def attention_layers(self) -> dict[tuple[str, int], nn.Module]:
        """(role, block) to the layer that can be tapped; the norm before the head is read_out 0."""
        role = "joint" if self.kind == "joint" else "spatial"
        layers = {
            ("read_out", 0): self.norm,
            **blocks_of(self.blocks),
            **attention_of(self.blocks, role),
        }
        if self.kind == "divided":
            layers |= attention_of(self.blocks, "temporal", "temporal_attn")
        return layers

    def forward_features(self, x: Tensor) -> Tensor:
        """Normalized float [B, T, 3, H, W] to tokens [B, 1 + P*T, D]; space only, [B, 1 + P, D]."""
        batch, frames = x.shape[:2]
        tokens = self._embed(x)  # [B*T, 1+P, D]
        if self.kind != "space":
            tokens = self._add_time(tokens, batch, frames)  # [B, 1+P*T, D]
        for block in self.blocks:
            tokens = block(tokens, frames)
        if self.kind == "space":
            tokens = tokens.reshape(batch, frames, *tokens.shape[1:]).mean(dim=1)  # [B, 1+P, D]
        return self.norm(tokens)  # type: ignore[no-any-return]

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Tokens [B, N, D] to logits [B, classes], or to the class token [B, D]."""
        pooled = x[:, 0]
        return pooled if pre_logits else self.head(pooled)

    def _embed(self, x: Tensor) -> Tensor:
        """[B, T, 3, H, W] to [B*T, 1+P, D] with the class token and positions."""
        patches = self.patch_embed(x.flatten(0, 1))  # [B*T, P, D]
        cls_token = self.cls_token.expand(len(patches), -1, -1)  # [B*T, 1, D]
        _, height, width = self.token_grid(1, *x.shape[-2:])
        return torch.cat([cls_token, patches], dim=1) + self._positions((height, width))

    def _positions(self, grid: tuple[int, int]) -> Tensor:
        """[1, 1+P, D] for frames with that token grid."""
        if 1 + grid[0] * grid[1] == self.pos_embed.shape[1]:
            return self.pos_embed  # the published code compares only the number of tokens
        # Nearest, as in the published code.
        return resample_positions(self.pos_embed, self.grid_size[1:], grid, "nearest")

    def _add_time(self, tokens: Tensor, batch: int, frames: int) -> Tensor:
        """[B*T, 1+P, D] to [B, 1+P*T, D]: class token, then patches with time fastest."""
        cls_token = tokens.reshape(batch, frames, *tokens.shape[1:])[:, 0, :1]
        patches = tokens[:, 1:].reshape(batch, frames, -1, self.embed_dim).transpose(1, 2)
        time: Tensor = self.time_embed
        if frames != time.shape[1]:
            time = F.interpolate(time.transpose(1, 2), size=frames, mode="nearest").transpose(1, 2)
        patches = patches + time[:, None]  # [B, P, T, D]
        return torch.cat([cls_token, patches.flatten(1, 2)], dim=1)


@register_architecture("timesformer")
def timesformer_base_patch16_224(pretrained: bool = False, **kwargs: Any) -> TimeSformer:
    """The base model of the paper: 8 frames of 224 x 224, divided attention."""
    return create(TimeSformer, pretrained, {}, kwargs)


@register_architecture("timesformer")
def timesformer_hr_patch16_448(pretrained: bool = False, **kwargs: Any) -> TimeSformer:
    """High resolution: 16 frames of 448 x 448."""
    return create(TimeSformer, pretrained, {"img_size": 448, "num_frames": 16}, kwargs)


@register_architecture("timesformer")
def timesformer_large_patch16_224(pretrained: bool = False, **kwargs: Any) -> TimeSformer:
    """Long range: 96 frames of 224 x 224."""
    return create(TimeSformer, pretrained, {"num_frames": 96}, kwargs)


@register_architecture("timesformer")
def timesformer_tiny_events(pretrained: bool = False, **kwargs: Any) -> TimeSformer:
    """The bundled model: 8 frames of 112 x 112, 14 x 14 tokens each, on event clips."""
    return create(TimeSformer, pretrained, TINY_EVENTS, kwargs)


@register_architecture("timesformer")
def test_timesformer(pretrained: bool = False, **kwargs: Any) -> TimeSformer:  # noqa: PT028
    """A minimal model that has every part; for tests."""
    return create(TimeSformer, pretrained, SMALLEST, kwargs)
