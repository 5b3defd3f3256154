"""V-JEPA 2 classifiers: Hugging Face's naming scheme, without the predictor of pre-training."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from staa_cli.errors import CheckpointError
from staa_cli.models.checkpoints.key_maps import (
    State,
    biased,
    count_blocks,
    count_classes,
    fuse_qkv,
    heads_of,
    one_of,
    rename,
    whole,
)
from staa_cli.models.families.base import Family
from staa_cli.models.families.vjepa2.module import VJEPA2
from staa_cli.schema import ModelInput

_RENAMES = (
    ("vjepa2.", ""),
    ("encoder.embeddings.patch_embeddings.proj", "patch_embed.proj"),
    ("encoder.layernorm", "norm"),
    ("encoder.layer.", "blocks."),
    ("pooler.self_attention_layers.", "pooler.blocks."),
    ("pooler.cross_attention_layer.", "pooler.cross_attention_block."),
    ("layer_norm", "norm"),
    ("cross_attn.q_proj", "xattn.q"),
    ("cross_attn.k_proj", "xattn.k"),
    ("cross_attn.v_proj", "xattn.v"),
    ("self_attn.q_proj", "attn.q"),
    ("self_attn.k_proj", "attn.k"),
    ("self_attn.v_proj", "attn.v"),
    ("self_attn.out_proj", "attn.proj"),
    ("attention.query", "attn.q"),
    ("attention.key", "attn.k"),
    ("attention.value", "attn.v"),
    ("attention.proj", "attn.proj"),
    ("classifier", "head"),
    ("linear.", "head."),
)
_HEADS = {1024: 16, 1280: 16, 1408: 22}
_PROBE = {"pooler_heads": 16, "pooler_eps": 1e-5}
_STEM = "patch_embed.proj.weight"
_QKV = "blocks.0.attn.qkv.bias"
_QUERY = "pooler.query_tokens"
_CROSS_ATTENTION = "pooler.cross_attention_block.xattn"
# Tensors of V-JEPA 2.1 that V-JEPA 2 does not have.
_V2_1 = ("norms_block.", "video_mod_embed", "img_mod_embed")
_LEARNED = ("cls_token", "pos_embed", "time_embed")

# Published: frames to stride at 30 frames per second; others span as much time as 16 frames.
_RATE = 30.0
_STRIDES = {16: 4, 32: 2, 64: 2}


def convert(state: State) -> dict[str, Tensor]:
    """Tensors in either naming scheme under our names."""
    renamed = {rename(name, _RENAMES): tensor for name, tensor in state.items()}
    cross = {n: t for n, t in renamed.items() if n.startswith(_CROSS_ATTENTION)}
    fused = fuse_qkv({n: t for n, t in renamed.items() if n not in cross})
    return {**fused, **_fuse_kv(cross)}


def _fuse_kv(state: State) -> dict[str, Tensor]:
    """Key and value of the pooler's cross-attention as one matrix."""
    fused = dict(state)
    for kind in ("weight", "bias"):
        key, value = f"{_CROSS_ATTENTION}.k.{kind}", f"{_CROSS_ATTENTION}.v.{kind}"
        if key in fused and value in fused:
            fused[f"{_CROSS_ATTENTION}.kv.{kind}"] = torch.cat([fused.pop(key), fused.pop(value)])
    return fused


def recognize(state: State) -> bool:
    """Whether converted tensors are a V-JEPA 2's: tubelets, and no position embeddings.

    An encoder alone is recognized, too, so that `measured` can report what is missing. The bias of
    its keys distinguishes it from a VideoMAE whose head reads token 0.
    """
    if _STEM not in state or state[_STEM].ndim != 5 or any(name in state for name in _LEARNED):
        return False
    return _QUERY in state or _is_v2_1(state) or ("fc_norm.weight" not in state and _QKV in state)


def _is_v2_1(state: State) -> bool:
    return any(part in name for name in state for part in _V2_1)


def from_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """A Hugging Face VJEPA2Config to VJEPA2's arguments.

    Raises:
        CheckpointError: it asks for something that VJEPA2 does not have.
    """
    one_of(config, "hidden_act", ["gelu"])
    eps = config.get("layer_norm_eps", 1e-6)
    return {
        "img_size": whole(config, "crop_size", 256),
        "patch_size": whole(config, "patch_size", 16),
        "tubelet_size": whole(config, "tubelet_size", 2),
        "embed_dim": whole(config, "hidden_size", 1024),
        "depth": whole(config, "num_hidden_layers", 24),
        "num_heads": whole(config, "num_attention_heads", 16),
        "mlp_ratio": config.get("mlp_ratio", 4.0),
        "num_frames": whole(config, "frames_per_clip", 64),
        "pooler_depth": config.get("num_pooler_layers", 3),
        "eps": eps,
        "pooler_eps": eps,
        "qkv_bias": one_of(config, "qkv_bias", [True, False]),
    }


def from_state(state: State) -> dict[str, Any]:
    """Converted tensors to VJEPA2's arguments; frames and frame size are the large model's.

    Raises:
        CheckpointError: the number of heads cannot be inferred.
    """
    width, _, tubelet, patch, _ = state[_STEM].shape
    facts = measured(state)
    matches = (re.match(r"pooler\.blocks\.(\d+)\.", name) for name in state)
    return {
        "patch_size": patch,
        "tubelet_size": tubelet,
        "embed_dim": width,
        "depth": count_blocks(state),
        "qkv_bias": biased(state),
        "num_heads": heads_of(width, _HEADS),
        "mlp_ratio": state["blocks.0.mlp.fc1.weight"].shape[0] / width,
        "pooler_depth": 1 + max((int(m[1]) for m in matches if m), default=-1),
        **facts,
    }


def from_original_names(tensors: State) -> dict[str, Any]:
    """Heads and eps of the authors' probes, which differ from Hugging Face's."""
    return _PROBE if "linear.weight" in tensors else {}


def measured(state: State) -> dict[str, Any]:
    """The number of classes of the weights.

    Raises:
        CheckpointError: there is no classification head, or no pooler before it, or the weights
            are of another version.
    """
    if _is_v2_1(state):
        raise CheckpointError(
            "the weights belong to V-JEPA 2.1, whose blocks and positions differ "
            "from those of V-JEPA 2",
            "only V-JEPA 2 classifiers are supported; no classifier for 2.1 has been published",
        )
    if _QUERY not in state:
        raise CheckpointError(
            "the weights contain only a V-JEPA 2 encoder, without its attentive "
            "pooler and classification head",
            "give both of the authors' files: --model ENCODER.pt,PROBE.pt; for "
            "another model, use --arch",
        )
    return {"num_classes": count_classes(state)}


def published_input(model: VJEPA2) -> ModelInput:
    """The input of the published evaluation for the model's number of frames."""
    side, _ = model.img_size
    return ModelInput(
        frames=model.num_frames,
        size=(side, side),
        stride=_STRIDES.get(model.num_frames, max(1, round(64 / model.num_frames))),
        rate=_RATE,
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        resize=side * 256 // 224,
    )


FAMILY = Family(
    model_types=("vjepa2",),
    license="not stated; the published V-JEPA 2 weights are MIT or Apache-2.0",
    convert=convert,
    recognize=recognize,
    from_config=from_config,
    from_state=from_state,
    from_original_names=from_original_names,
    measured=measured,
    build=VJEPA2,
    input=published_input,
    processors=("VJEPA2VideoProcessor", "VJEPA2VideoProcessor"),
    any_crop=True,
    marks=("blocks.0.", "pooler.query_tokens"),
    left_out=("predictor.", "vjepa2.predictor."),
)
