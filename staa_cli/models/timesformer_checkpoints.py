"""TimeSformer checkpoints: Hugging Face's and the authors' dialect, and how they were sampled."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from staa_cli.errors import CheckpointError
from staa_cli.models.families import FAMILIES, Family, State
from staa_cli.models.timesformer import TimeSformer
from staa_cli.schema import ModelInput

# Hugging Face's names to ours, in this order: later lines see what earlier ones left.
_RENAMES = (
    ("timesformer.", ""),
    ("embeddings.cls_token", "cls_token"),
    ("embeddings.position_embeddings", "pos_embed"),
    ("embeddings.time_embeddings", "time_embed"),
    ("embeddings.patch_embeddings.projection", "patch_embed.proj"),
    ("encoder.layer.", "blocks."),
    ("temporal_attention.attention.qkv", "temporal_attn.qkv"),
    ("temporal_attention.output.dense", "temporal_attn.proj"),
    ("temporal_layernorm", "temporal_norm1"),
    ("temporal_dense", "temporal_fc"),
    ("attention.attention.qkv", "attn.qkv"),
    ("attention.output.dense", "attn.proj"),
    ("layernorm_before", "norm1"),
    ("layernorm_after", "norm2"),
    ("intermediate.dense", "mlp.fc1"),
    ("output.dense", "mlp.fc2"),
    ("layernorm", "norm"),
    ("classifier", "head"),
)
_TYPES = ("divided_space_time", "joint_space_time", "space_only")
_HEADS = {384: 6, 768: 12, 1024: 16, 1280: 16}
_STEM = "patch_embed.proj.weight"
_CONV_STEM = "patch_embed.convs.{}.weight"

# Published sampling at 30 frames a second: frames to stride. Others see as much time as the base.
_RATE = 30.0
_STRIDES = {8: 32, 16: 16, 96: 4}
_BASE_SPAN = 256

# Something-Something V2 models saw frames spread evenly over a whole clip, some 4 s long, at
# whatever rate; here that is T frames in 4 s.
_SSV2_CLASSES = 174
_SSV2_SPAN_S = 4


def rename(name: str) -> str:
    """A parameter's name in either dialect to ours."""
    for theirs, ours in _RENAMES:
        name = name.replace(theirs, ours)
    return name


def recognise(state: State) -> bool:
    """Whether renamed tensors are a TimeSformer's: 2D patches and learned positions."""
    needed = ("cls_token", "pos_embed", "blocks.0.attn.qkv.weight", "blocks.0.mlp.fc1.weight")
    stem = state.get(_STEM, state.get(_CONV_STEM.format(0)))
    return all(name in state for name in needed) and stem is not None and stem.ndim == 4


def from_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """A Hugging Face TimesformerConfig to TimeSformer's arguments.

    Raises:
        CheckpointError: it asks for something that TimeSformer does not have.
    """
    if config.get("hidden_act", "gelu") != "gelu":
        raise CheckpointError(f"config.json: hidden_act {config['hidden_act']!r} is not supported")
    if config.get("attention_type", _TYPES[0]) not in _TYPES:
        raise CheckpointError(
            f"config.json: attention_type {config['attention_type']!r} is not known",
            f"there are: {', '.join(_TYPES)}",
        )
    width = _whole(config, "hidden_size", 768)
    return {
        "img_size": _whole(config, "image_size", 224),
        "patch_size": _whole(config, "patch_size", 16),
        "embed_dim": width,
        "depth": _whole(config, "num_hidden_layers", 12),
        "num_heads": _whole(config, "num_attention_heads", 12),
        "mlp_ratio": _whole(config, "intermediate_size", 3072) / width,
        "num_frames": _whole(config, "num_frames", 8),
        "attention_type": config.get("attention_type", _TYPES[0]),
        "eps": config.get("layer_norm_eps", 1e-6),
    }


def from_state(state: State) -> dict[str, Any]:
    """Renamed tensors to TimeSformer's arguments.

    Raises:
        CheckpointError: the picture is not square, or the number of heads cannot be known.
    """
    width = state["cls_token"].shape[-1]
    if width not in _HEADS:
        raise CheckpointError(
            f"weights {width} wide do not tell their number of attention heads",
            "say --arch NAME, or give a Hugging Face folder with its config.json",
        )
    blocks = [int(m[1]) for m in (re.match(r"blocks\.(\d+)\.", name) for name in state) if m]
    return {
        "embed_dim": width,
        "depth": 1 + max(blocks),
        "num_heads": _HEADS[width],
        "mlp_ratio": state["blocks.0.mlp.fc1.weight"].shape[0] / width,
        "attention_type": _attention_type(state),
        **_patches(state),
        **measured(state),
    }


def measured(state: State) -> dict[str, Any]:
    """Frames and classes, as the weights have them.

    Raises:
        CheckpointError: there is no classification head.
    """
    if "head.weight" not in state:
        raise CheckpointError(
            "the weights have no classification head, so there is no decision to explain",
            "give a checkpoint that was fine-tuned for classification",
        )
    facts = {"num_classes": state["head.weight"].shape[0]}
    if "time_embed" in state:
        facts["num_frames"] = state["time_embed"].shape[1]
    return facts


def published_input(model: TimeSformer) -> ModelInput:
    """What a model expects, by the published recipes; its frames and classes tell which."""
    frames, side = model.num_frames, model.grid_size[0] * model.patch_size
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


def _whole(config: Mapping[str, Any], key: str, default: int) -> int:
    value = config.get(key, default)
    if not isinstance(value, int) or value < 1:
        raise CheckpointError(f"config.json: {key} is {value!r}, which is no count")
    return value


def _attention_type(state: State) -> str:
    if "blocks.0.temporal_attn.qkv.weight" in state:
        return "divided_space_time"
    return "joint_space_time" if "time_embed" in state else "space_only"


def _patches(state: State) -> dict[str, Any]:
    places = state["pos_embed"].shape[1] - 1
    side = math.isqrt(places)
    if side * side != places:
        raise CheckpointError(f"a position table of {places} places is of no square picture")
    if _STEM in state:
        patch = state[_STEM].shape[-1]
        return {"img_size": side * patch, "patch_size": patch}
    steps = sum(_CONV_STEM.format(step) in state for step in range(len(state)))
    return {"img_size": side << steps, "patch_size": 1 << steps, "stem": "conv"}


FAMILIES.register("timesformer")(
    Family(
        model_type="timesformer",
        licence="not stated; the published TimeSformer weights are CC-BY-NC-4.0",
        rename=rename,
        recognise=recognise,
        from_config=from_config,
        from_state=from_state,
        measured=measured,
        build=TimeSformer,
        input=published_input,
    )
)
