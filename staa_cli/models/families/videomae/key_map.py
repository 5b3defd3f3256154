"""VideoMAE checkpoints of both versions: Hugging Face's and the authors' naming schemes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from staa_cli.errors import CheckpointError
from staa_cli.models.checkpoints.key_maps import (
    HEADS,
    HUGGING_FACE,
    State,
    biased,
    count_blocks,
    count_classes,
    fuse_qkv,
    heads_of,
    one_of,
    one_side,
    rename,
    sides,
    whole,
)
from staa_cli.models.families.base import Family
from staa_cli.models.families.videomae.module import VideoMAE
from staa_cli.schema import ModelInput

_RENAMES = (
    ("videomae.", ""),
    *HUGGING_FACE,
    ("gamma_1", "ls1.gamma"),
    ("gamma_2", "ls2.gamma"),
)
# The decoder of pre-training does not affect the prediction.
_DECODER = ("decoder.", "encoder_to_decoder.", "mask_token")
_HEADS = {**HEADS, 1408: 16}
_STEM = "patch_embed.proj.weight"
_EITHER = (True, False)
_QKV, _BIAS = "blocks.0.attn.qkv.weight", "blocks.0.attn.qkv.bias"

_STRIDE, _RATE = 4, 30.0
# Something-Something V2 models were trained on frames spread evenly over clips of about 4 s.
_SSV2_CLASSES, _SSV2_SPAN_S = 174, 4
# UMT (arXiv 2303.16058) is this module with one frame per token and 8 frames spread evenly.
_UMT_FRAMES, _UMT_SPAN_S = 8, 10


def convert(state: State) -> dict[str, Tensor]:
    """Tensors in any naming scheme under our names."""
    return fuse_qkv({rename(name, _RENAMES): tensor for name, tensor in state.items()})


def recognize(state: State) -> bool:
    """Whether converted tensors are a VideoMAE's: tubelets, and no class token or positions.

    Its keys have no bias. Files from transformers 5.6 to 5.17 have one, which softmax cancels;
    without a config, these are recognized only by the norm after the mean.
    """
    learned = ("cls_token", "pos_embed", "time_embed", "pooler.query_tokens")
    tubelets = _STEM in state and state[_STEM].ndim == 5
    if not tubelets or _QKV not in state or any(name in state for name in learned):
        return False
    if "fc_norm.weight" in state:
        return True
    bias = state.get(_BIAS)
    unbiased = bias is None or not bool(bias.chunk(3)[1].any())
    return "norm.weight" in state and unbiased


def from_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """A Hugging Face VideoMAEConfig, or a VideoMAE v2 config, to VideoMAE's arguments.

    Raises:
        CheckpointError: it asks for something that VideoMAE does not have.
    """
    if "model_config" in config:
        return _from_v2_config(config["model_config"])
    one_of(config, "hidden_act", ["gelu"])
    width = whole(config, "hidden_size", 768)
    return {
        "img_size": sides(config, "image_size", 224),
        "patch_size": one_side(config, "patch_size", 16),
        "tubelet_size": whole(config, "tubelet_size", 2),
        "embed_dim": width,
        "depth": whole(config, "num_hidden_layers", 12),
        "num_heads": whole(config, "num_attention_heads", 12),
        "mlp_ratio": whole(config, "intermediate_size", 3072) / width,
        "num_frames": whole(config, "num_frames", 16),
        "eps": config.get("layer_norm_eps", 1e-12),
        "fc_eps": 1e-5,
        # qv_bias is its old name, which transformers still reads.
        "qkv_bias": one_of(config, "qkv_bias" if "qkv_bias" in config else "qv_bias", _EITHER),
    }


def _from_v2_config(config: Mapping[str, Any]) -> dict[str, Any]:
    one_of(config, "cos_attn", [False])
    one_of(config, "use_learnable_pos_emb", [False])
    eps = config.get("layer_norm_eps", 1e-6)
    return {
        "img_size": sides(config, "img_size", 224),
        "patch_size": one_side(config, "patch_size", 16),
        "tubelet_size": whole(config, "tubelet_size", 2),
        "embed_dim": whole(config, "embed_dim", 768),
        "depth": whole(config, "depth", 12),
        "num_heads": whole(config, "num_heads", 12),
        "mlp_ratio": config.get("mlp_ratio", 4.0),
        "num_frames": whole(config, "num_frames", 16),
        "eps": eps,
        "fc_eps": eps,
        "qkv_bias": one_of(config, "qkv_bias", _EITHER),
    }


def from_state(state: State) -> dict[str, Any]:
    """Converted tensors to VideoMAE's arguments; frames and frame size are the published ones.

    Raises:
        CheckpointError: the number of heads cannot be inferred.
    """
    width, _, tubelet, patch, _ = state[_STEM].shape
    return {
        "patch_size": patch,
        "tubelet_size": tubelet,
        **({"num_frames": _UMT_FRAMES} if tubelet == 1 else {}),
        "embed_dim": width,
        "depth": count_blocks(state),
        "qkv_bias": biased(state),
        "num_heads": heads_of(width, _HEADS),
        "mlp_ratio": state["blocks.0.mlp.fc1.weight"].shape[0] / width,
        **measured(state),
    }


def measured(state: State) -> dict[str, Any]:
    """Pooling, number of classes, and layer scale of the weights.

    Raises:
        CheckpointError: there is no classification head, or no norm before it.
    """
    norms = {name for name in ("fc_norm.weight", "norm.weight") if name in state}
    if not norms:
        raise CheckpointError(
            "the weights have no norm before the head: neither fc_norm.weight nor norm.weight"
        )
    return {
        "num_classes": count_classes(state),
        "pooling": "mean" if "fc_norm.weight" in norms else "token",
        "init_values": 1.0 if "blocks.0.ls1.gamma" in state else None,
    }


def published_input(model: VideoMAE) -> ModelInput:
    """The input of the published recipe for the model's tubelets and classes."""
    stride, rate = _STRIDE, _RATE
    if model.tubelet_size == 1:
        stride, rate = 1, model.num_frames / _UMT_SPAN_S
    if model.num_classes == _SSV2_CLASSES:
        stride, rate = 1, model.num_frames / _SSV2_SPAN_S
    return ModelInput(
        frames=model.num_frames,
        size=model.img_size,
        stride=stride,
        rate=rate,
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        resize=max(model.img_size),
    )


FAMILY = Family(
    model_types=("videomae", "VideoMAEv2_Base"),
    license="not stated; the published VideoMAE weights are CC-BY-NC-4.0, those of v2 MIT",
    convert=convert,
    recognize=recognize,
    from_config=from_config,
    from_state=from_state,
    measured=measured,
    build=VideoMAE,
    input=published_input,
    processors=("VideoMAEImageProcessor", "VideoMAEVideoProcessor"),
    left_out=_DECODER,
)
