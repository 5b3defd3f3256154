"""TimeSformer: "Is Space-Time Attention All You Need for Video Understanding?", arXiv 2102.05095.

Three attention types. Tokens are [B, 1 + P*T, D]: the class token, then patch tokens in row-major
order with time as the fastest axis, as in every published checkpoint.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

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
    Mlp,
    PatchEmbed,
    TapAttention,
    TapNorm,
    init_linear,
    resample_positions,
)
from staa_cli.models.linear import Linear
from staa_cli.models.taps import is_read, record

AttentionType = Literal["divided_space_time", "joint_space_time", "space_only"]

_KINDS: dict[AttentionType, Literal["divided", "joint", "space"]] = {
    "divided_space_time": "divided",
    "joint_space_time": "joint",
    "space_only": "space",
}
"""Published names of the attention types to ours."""


class Block(nn.Module):
    """One pre-norm block: attention over all tokens, then the MLP."""

    divided: ClassVar[bool] = False
    """Whether it has attention over time of its own."""

    def __init__(
        self,
        dim: int,
        num_heads: int,
        mlp_ratio: float,
        eps: float,
        attn_drop: float = 0.0,
        qkv_bias: bool = True,
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=eps)
        self.attn = TapAttention(dim, num_heads=num_heads, qkv_bias=qkv_bias, attn_drop=attn_drop)
        if self.divided:
            self.temporal_norm1 = nn.LayerNorm(dim, eps=eps)
            self.temporal_attn = TapAttention(
                dim, num_heads=num_heads, qkv_bias=qkv_bias, attn_drop=attn_drop
            )
            self.temporal_fc = Linear(dim, dim)
        self.norm2 = nn.LayerNorm(dim, eps=eps)
        self.mlp = Mlp(dim, round(dim * mlp_ratio))

    def forward(self, x: Tensor) -> Tensor:
        """Tokens [B, N, D] to tokens [B, N, D]."""
        x = x + self.attn(self.norm1(x))
        x = x + self.mlp(self.norm2(x))
        record(self, x)
        return x


class DividedBlock(Block):
    """A block that attends over time at every position, then over space in every frame.

    The class token and the patches are kept apart: joining them for every step would copy all.
    """

    divided = True

    def forward(  # type: ignore[override]
        self, cls_token: Tensor, patches: Tensor, whole: bool = True
    ) -> tuple[Tensor, Tensor]:
        """The class token [B, 1, D] and the patches [B, P, T, D] to the same.

        Args:
            cls_token: of the clip; a frame attends with a copy of it, whose results are averaged.
            patches: of the clip.
            whole: whether the patches are needed; if not, they are returned before the MLP.
        """
        patches = patches + self._over_time(patches)
        of_cls, of_patches = self._over_space(cls_token, patches)
        cls_token, patches = cls_token + of_cls, patches + of_patches
        cls_token = cls_token + self.mlp(self.norm2(cls_token))
        whole = whole or is_read(self)
        if whole:
            patches = patches + self.mlp(self.norm2(patches))
            if is_read(self):
                record(self, joined(cls_token, patches))
        return cls_token, patches

    def _over_time(self, patches: Tensor) -> Tensor:
        rows = self.temporal_norm1(patches).flatten(0, 1)  # [B*P, T, D]
        return self.temporal_fc(self.temporal_attn(rows)).view_as(patches)  # type: ignore[no-any-return]

    def _over_space(self, cls_token: Tensor, patches: Tensor) -> tuple[Tensor, Tensor]:
        batch, frames = patches.shape[0], patches.shape[2]
        of_frames = self.norm1(cls_token)[:, None].expand(-1, frames, -1, -1)  # [B, T, 1, D]
        rows = torch.cat([of_frames, self.norm1(patches).transpose(1, 2)], dim=2)
        out = self.attn(rows.flatten(0, 1)).unflatten(0, (batch, frames))  # [B, T, 1+P, D]
        return out[:, :, 0].mean(dim=1, keepdim=True), out[:, :, 1:].transpose(1, 2)


def joined(cls_token: Tensor, patches: Tensor) -> Tensor:
    """Class token [B, 1, D] and patches [B, P, T, D] to tokens [B, 1 + P*T, D]."""
    return torch.cat([cls_token, patches.flatten(1, 2)], dim=1)


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
        block = DividedBlock if self.kind == "divided" else Block
        self.blocks = nn.ModuleList(
            block(embed_dim, num_heads, mlp_ratio, eps, attn_drop, qkv_bias) for _ in range(depth)
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

    @property
    def frame_embedding(self) -> nn.Module:
        """The layer that embeds every frame by itself."""
        return self.patch_embed

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
        if self.kind == "divided":
            return self.norm(joined(*self._divided(tokens, batch)))  # type: ignore[no-any-return]
        if self.kind == "joint":
            tokens = joined(*self._add_time(tokens, batch))
        for block in self.blocks:
            tokens = block(tokens)
        if self.kind == "space":
            tokens = tokens.reshape(batch, frames, *tokens.shape[1:]).mean(dim=1)  # [B, 1+P, D]
        return self.norm(tokens)  # type: ignore[no-any-return]

    def forward(self, x: Tensor) -> Tensor:
        """Normalized float [B, T, 3, H, W] to logits [B, classes]."""
        if self.kind != "divided" or torch.is_grad_enabled():
            return super().forward(x)
        cls_token, _ = self._divided(self._embed(x), len(x), whole=False)
        return self.forward_head(self.norm(cls_token))

    def _divided(self, tokens: Tensor, batch: int, whole: bool = True) -> tuple[Tensor, Tensor]:
        """Embedded frames [B*T, 1+P, D] to the last block's class token and patches.

        Unless they are needed as a whole, the last MLP is computed for the class token only.
        """
        cls_token, patches = self._add_time(tokens, batch)
        for index, block in enumerate(self.blocks, 1):
            cls_token, patches = block(cls_token, patches, whole or index < len(self.blocks))
        return cls_token, patches

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

    def _add_time(self, tokens: Tensor, batch: int) -> tuple[Tensor, Tensor]:
        """[B*T, 1+P, D] to the class token [B, 1, D] and patches [B, P, T, D] with their time."""
        tokens = tokens.reshape(batch, -1, *tokens.shape[1:])  # [B, T, 1+P, D]
        frames = tokens.shape[1]
        time: Tensor = self.time_embed
        if frames != time.shape[1]:
            time = F.interpolate(time.transpose(1, 2), size=frames, mode="nearest").transpose(1, 2)
        patches = tokens[:, :, 1:].transpose(1, 2).contiguous()  # time fastest
        return tokens[:, 0, :1], patches + time[:, None]


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
