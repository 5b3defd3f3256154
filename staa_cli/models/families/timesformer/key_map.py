"""TimeSformer checkpoints: Hugging Face's and the authors' names, and the published sampling."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from staa_cli.errors import CheckpointError
from staa_cli.models.checkpoints.key_maps import (
    HUGGING_FACE,
    State,
    biased,
    count_blocks,
    count_classes,
    heads_of,
    one_of,
    rename,
    whole,
)
from staa_cli.models.families.base import Family
from staa_cli.models.families.timesformer.module import TimeSformer
from staa_cli.schema import ModelInput

_RENAMES = (
    ("timesformer.", ""),
    ("embeddings.time_embeddings", "time_embed"),
    ("temporal_attention.attention.", "temporal_attn."),
    ("temporal_attention.output.dense", "temporal_attn.proj"),
    ("temporal_layernorm", "temporal_norm1"),
    ("temporal_dense", "temporal_fc"),
    *HUGGING_FACE,
)
_TYPES = ("divided_space_time", "joint_space_time", "space_only")
_STEM = "patch_embed.proj.weight"
_CONV_STEM = "patch_embed.convs.{}.weight"

# Published sampling at 30 frames per second: frames to stride. Others span as much time as the
# base model.
_RATE = 30.0
_STRIDES = {8: 32, 16: 16, 96: 4}
_BASE_SPAN = 256

# Something-Something V2 models were trained on frames spread evenly over clips of about 4 s, so
# their rate is T frames in 4 s.
_SSV2_CLASSES = 174
_SSV2_SPAN_S = 4


def convert(state: State) -> dict[str, Tensor]:
    """Tensors in either naming scheme under our names."""
    return {rename(name, _RENAMES): tensor for name, tensor in state.items()}


def recognize(state: State) -> bool:
    """Whether converted tensors are a TimeSformer's: 2D patches and learned positions."""
    required = ("cls_token", "pos_embed", "blocks.0.attn.qkv.weight", "blocks.0.mlp.fc1.weight")
    stem = state.get(_STEM, state.get(_CONV_STEM.format(0)))
    return all(name in state for name in required) and stem is not None and stem.ndim == 4


def from_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """A Hugging Face TimesformerConfig to TimeSformer's arguments.

    Raises:
        CheckpointError: it asks for something that TimeSformer does not have.
    """
    one_of(config, "hidden_act", ["gelu"])
    width = whole(config, "hidden_size", 768)
    return {
        "img_size": whole(config, "image_size", 224),
        "patch_size": whole(config, "patch_size", 16),
        "embed_dim": width,
        "depth": whole(config, "num_hidden_layers", 12),
        "num_heads": whole(config, "num_attention_heads", 12),
        "mlp_ratio": whole(config, "intermediate_size", 3072) / width,
        "num_frames": whole(config, "num_frames", 8),
        "attention_type": one_of(config, "attention_type", _TYPES),
        "eps": config.get("layer_norm_eps", 1e-6),
        "qkv_bias": one_of(config, "qkv_bias", [True, False]),
    }


def from_state(state: State) -> dict[str, Any]:
    """Converted tensors to TimeSformer's arguments.

    Raises:
        CheckpointError: frames are not square, or the number of heads cannot be inferred.
    """
    width = state["cls_token"].shape[-1]
    return {
        "qkv_bias": biased(state),
        "embed_dim": width,
        "depth": count_blocks(state),
        "num_heads": heads_of(width),
        "mlp_ratio": state["blocks.0.mlp.fc1.weight"].shape[0] / width,
        "attention_type": _attention_type(state),
        **_patches(state),
        **measured(state),
    }


def measured(state: State) -> dict[str, Any]:
    """The numbers of frames and classes of the weights.

    Raises:
        CheckpointError: there is no classification head.
    """
    facts = {"num_classes": count_classes(state)}
    if "time_embed" in state:
        facts["num_frames"] = state["time_embed"].shape[1]
    return facts


def published_input(model: TimeSformer) -> ModelInput:
    """The input of the published recipe for the model's frames and classes."""
    frames, (side, _) = model.num_frames, model.img_size
    stride, rate = _STRIDES.get(frames, max(1, round(_BASE_SPAN / frames))), _RATE
    if model.num_classes == _SSV2_CLASSES:
        stride, rate = 1, frames / _SSV2_SPAN_S
    return ModelInput(
        frames=frames,
        size=(side, side),
        stride=stride,
        rate=rate,
        mean=(0.45, 0.45, 0.45),
        std=(0.225, 0.225, 0.225),
        resize=side,
    )


def _attention_type(state: State) -> str:
    if "blocks.0.temporal_attn.qkv.weight" in state:
        return "divided_space_time"
    return "joint_space_time" if "time_embed" in state else "space_only"


def _patches(state: State) -> dict[str, Any]:
    patches = state["pos_embed"].shape[1] - 1
    side = math.isqrt(patches)
    if side * side != patches:
        raise CheckpointError(
            f"a position table of {patches} entries does not match a square picture"
        )
    if _STEM in state:
        patch = state[_STEM].shape[-1]
        return {"img_size": side * patch, "patch_size": patch}
    steps = sum(_CONV_STEM.format(step) in state for step in range(len(state)))
    return {"img_size": side << steps, "patch_size": 1 << steps, "stem": "conv"}


FAMILY = Family(
    model_types=("timesformer",),
    license="not stated; the published TimeSformer weights are CC-BY-NC-4.0",
    convert=convert,
    recognize=recognize,
    from_config=from_config,
    from_state=from_state,
    measured=measured,
    build=TimeSformer,
    input=published_input,
    processors=("VideoMAEImageProcessor", "TimesformerVideoProcessor"),
    any_crop=True,
)
