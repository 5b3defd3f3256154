"""Base class of the families' modules, and the arguments of small models."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from torch import Tensor, nn

from staa_cli.models.layers import pair
from staa_cli.schema import AttentionLayout

SMALLEST = {
    "img_size": 32,
    "patch_size": 8,
    "num_classes": 5,
    "embed_dim": 32,
    "depth": 2,
    "num_heads": 2,
    "num_frames": 4,
}
"""Arguments of a minimal model that has every part; for tests."""

TINY_EVENTS = {
    "img_size": 112,
    "patch_size": 8,
    "num_classes": 9,
    "embed_dim": 96,
    "depth": 4,
    "num_heads": 3,
    "num_frames": 8,
    "stem": "conv",
}
"""Arguments of the bundled models: 8 frames of 112 x 112, 14 x 14 tokens each, on event clips."""


class VideoTransformer(nn.Module):
    """Normalized float [B, T, 3, H, W] to logits [B, classes], by attention blocks.

    A family builds its layers and implements `forward_features` (clips to tokens), `forward_head`
    (tokens to logits), and `attention_layers` (layers that can be tapped). The class attributes
    below declare how it attends; `AttentionLayout` documents them.

    Args:
        img_size: height and width in pixels; one number means a square.
        patch_size: side of a patch in pixels.
        tubelet_size: frames per token.
        num_frames: T that it was trained with.
        num_classes: width of the head.
        embed_dim: D.
    """

    kind: Literal["divided", "joint", "space"] = "joint"
    pooling: Literal["cls", "mean", "token", "attentive"]
    prefix_tokens: int = 0
    order: Literal["thw", "hwt"] = "thw"
    pooler_depth: int = 0
    any_size: bool = True
    """Whether it accepts other frame sizes than it was trained with."""

    blocks: nn.ModuleList
    grid_size: tuple[int, int, int]
    """(T', h, w) of the tokens that it was trained with."""

    def __init__(
        self,
        img_size: int | tuple[int, int],
        patch_size: int,
        tubelet_size: int,
        num_frames: int,
        num_classes: int,
        embed_dim: int,
    ) -> None:
        super().__init__()
        self.patch_size, self.tubelet_size = patch_size, tubelet_size
        self.num_frames, self.num_classes, self.embed_dim = num_frames, num_classes, embed_dim
        self.grid_size = self.token_grid(num_frames, *pair(img_size))

    @property
    def img_size(self) -> tuple[int, int]:
        """Height and width in pixels that the tokens of `grid_size` cover."""
        return self.grid_size[1] * self.patch_size, self.grid_size[2] * self.patch_size

    def token_grid(self, frames: int, height: int, width: int) -> tuple[int, int, int]:
        """(T', h, w) of the tokens of a clip, from its frames and pixels."""
        return frames // self.tubelet_size, height // self.patch_size, width // self.patch_size

    def layout(self) -> AttentionLayout:
        """How this model attends, for the methods."""
        return AttentionLayout(
            kind=self.kind,
            pooling=self.pooling,
            grid=self.grid_size,
            tubelet=self.tubelet_size,
            depth=len(self.blocks),
            prefix_tokens=self.prefix_tokens,
            order=self.order,
            pooler_depth=self.pooler_depth,
        )

    def attention_layers(self) -> dict[tuple[str, int], nn.Module]:
        """(role, block) to the layer that can be tapped; see `Tap` for the roles."""
        raise NotImplementedError

    def forward_features(self, x: Tensor) -> Tensor:
        """Normalized float [B, T, 3, H, W] to tokens [B, N, D]."""
        raise NotImplementedError

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Tokens [B, N, D] to logits [B, classes], or to what the head reads [B, D]."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """Normalized float [B, T, 3, H, W] to logits [B, classes]."""
        return self.forward_head(self.forward_features(x))


def attention_of(
    blocks: Iterable[nn.Module], role: str, name: str = "attn"
) -> dict[tuple[str, int], Any]:
    """(role, block) to each block's attention layer of that name."""
    return {(role, index): getattr(block, name) for index, block in enumerate(blocks)}


def blocks_of(blocks: Iterable[nn.Module]) -> dict[tuple[str, int], nn.Module]:
    """("block", block) to each block, which shows the tokens that it leaves."""
    return {("block", index): block for index, block in enumerate(blocks)}
