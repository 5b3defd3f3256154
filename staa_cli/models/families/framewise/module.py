"""Image transformers from timm, applied frame by frame; a clip's logits are the mean over frames.

Such a model cannot see motion. It shows which frames and which regions in them contribute.
"""

from __future__ import annotations

from typing import Any, Literal, cast

import torch
from timm.layers.attention import Attention
from timm.layers.norm import LayerNorm
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn

from staa_cli.errors import CheckpointError
from staa_cli.models.architectures import register_with_timm
from staa_cli.models.families.transformer import attention_of
from staa_cli.models.layers import FrameMean, Rope, TapAttention, TapNorm
from staa_cli.schema import AttentionLayout

FRAMES = 8
"""Default number of frames."""


class FrameAttention(TapAttention):
    """Replaces an attention layer of timm; it takes over the layer's submodules.

    Args:
        layer: timm's layer, without a gate.
    """

    def __init__(self, layer: Attention) -> None:
        with torch.device("meta"):  # the layer's submodules replace these below
            super().__init__(layer.qkv.in_features, layer.num_heads, layer.head_dim)
        self.scale, self.fused_attn = layer.scale, layer.fused_attn
        for name, part in layer.named_children():
            self.add_module(name, part)
        self.training = layer.training

    def forward(
        self,
        x: Tensor,
        rope: Rope | None = None,
        *,
        attn_mask: None = None,
        is_causal: Literal[False] = False,
    ) -> Tensor:
        """Tokens [B, N, D] to tokens [B, N, D].

        timm's blocks pass `attn_mask` and `is_causal`; an image model uses neither.
        """
        return super().forward(x, rope)

    def project(self, out: Tensor) -> Tensor:
        """As in `TapAttention`, with timm's norm and dropout."""
        return self.proj_drop(super().project(self.norm(out)))  # type: ignore[operator,no-any-return]


class FrameWise(nn.Module):
    """Normalized float [B, T, 3, H, W] to logits [B, classes].

    Args:
        vit: float [B, 3, H, W] to logits [B, classes]; its attention layers are replaced.
        num_frames: default T.

    Raises:
        CheckpointError: its kind of attention or pooling is not supported.
    """

    def __init__(self, vit: nn.Module, num_frames: int = FRAMES) -> None:
        super().__init__()
        self.vit = _tapped(vit)
        self.mean = FrameMean()
        self.num_frames, self.num_classes = num_frames, self.vit.num_classes
        self.pooling: Literal["cls", "mean"] = "cls" if self.vit.global_pool == "token" else "mean"

    @property
    def head(self) -> nn.Module:
        """The image model's head."""
        return cast(nn.Module, self.vit.head)

    @property
    def blocks(self) -> nn.ModuleList:
        """The image model's blocks."""
        return cast(nn.ModuleList, self.vit.blocks)

    @property
    def frame_embedding(self) -> nn.Module:
        """The layer that embeds every frame by itself."""
        return cast(nn.Module, self.vit.patch_embed.proj)

    def layout(self) -> AttentionLayout:
        """How this model attends, for the methods."""
        return AttentionLayout(
            kind="frame",
            pooling=self.pooling,
            grid=(self.num_frames, *self.vit.patch_embed.grid_size),
            tubelet=1,
            depth=len(self.vit.blocks),
            prefix_tokens=self.vit.num_prefix_tokens,
        )

    def attention_layers(self) -> dict[tuple[str, int], nn.Module]:
        """(role, block) to the layer that can be tapped; see `Tap` for the roles."""
        return {
            ("frames", 0): self.mean,
            ("read_out", 0): self.vit.norm,
            **self._blocks(),
            **attention_of(self.vit.blocks, "spatial"),
        }

    def _blocks(self) -> dict[tuple[str, int], nn.Module]:
        """("block", block) to the norm that is given what the block leaves."""
        norms = [*(getattr(block, "norm1", None) for block in self.blocks[1:]), self.vit.norm]
        return {("block", n): norm for n, norm in enumerate(norms) if isinstance(norm, TapNorm)}

    def forward(self, x: Tensor) -> Tensor:
        """Normalized float [B, T, 3, H, W] to logits [B, classes]."""
        logits = self.vit(x.flatten(0, 1))
        return self.mean(logits.unflatten(0, x.shape[:2]))  # type: ignore[no-any-return]


def _tapped(vit: nn.Module) -> Any:
    """Replace the model's attention layers and norms by layers that can be tapped."""
    name = type(vit).__name__
    if not isinstance(vit, VisionTransformer):
        raise CheckpointError(f"{name} is not a plain vision transformer", "use a timm ViT: vit_*")
    if vit.attn_pool is not None or vit.global_pool not in ("token", "avg") or not vit.num_classes:
        pools = "by attention" if vit.attn_pool is not None else repr(vit.global_pool)
        raise CheckpointError(
            f"this {name} pools {pools} to {vit.num_classes} classes, which is not supported",
            "use a model that pools by its class token or by the mean",
        )
    for block in vit.blocks:
        layer = getattr(block, "attn", None)
        if type(layer) is not Attention or getattr(layer, "gate", None) is not None:
            raise CheckpointError(
                f"this {name} uses {type(layer).__name__} for attention, which is not supported"
            )
        block.attn = FrameAttention(layer)
        if type(block) is Block and _is_layer_norm(block.norm1):  # others norm something else
            block.norm1 = _tapped_norm(block.norm1)
    if not _is_layer_norm(vit.norm):
        raise CheckpointError(
            f"this {name} ends in {type(vit.norm).__name__}, which is not supported"
        )
    vit.norm = _tapped_norm(vit.norm)
    return vit


def _is_layer_norm(norm: object) -> bool:
    return type(norm) in (LayerNorm, nn.LayerNorm)


def _tapped_norm(norm: Any) -> TapNorm:
    tapped = TapNorm(norm.normalized_shape, eps=norm.eps, elementwise_affine=False)
    tapped.weight, tapped.bias = norm.weight, norm.bias
    return tapped


register_with_timm()
