"""ViViT checkpoints: Hugging Face's old names on disk and its new names in memory."""

from __future__ import annotations

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
    fuse_qkv,
    heads_of,
    one_of,
    rename,
    sides,
    whole,
)
from staa_cli.models.families.base import Family
from staa_cli.models.families.vivit.module import ViViT
from staa_cli.schema import ModelInput

_RENAMES = (
    ("vivit.", ""),
    ("attention.q_proj", "attn.q"),
    ("attention.k_proj", "attn.k"),
    ("attention.v_proj", "attn.v"),
    ("attention.o_proj", "attn.proj"),
    *HUGGING_FACE,
)
_STEM = "patch_embed.proj.weight"


def convert(state: State) -> dict[str, Tensor]:
    """Tensors in either naming scheme under our names, without the unused pooler."""
    renamed = {rename(name, _RENAMES): tensor for name, tensor in state.items()}
    renamed = {
        f"blocks.{name.removeprefix('layers.')}" if name.startswith("layers.") else name: tensor
        for name, tensor in renamed.items()
        if not name.startswith("pooler.")
    }
    return fuse_qkv(renamed)


def recognize(state: State) -> bool:
    """Whether converted tensors are a ViViT's: tubelets, a class token, and learned positions."""
    required = (_STEM, "cls_token", "pos_embed", "blocks.0.attn.qkv.weight")
    return all(name in state for name in required) and state[_STEM].ndim == 5


def from_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """A Hugging Face VivitConfig to ViViT's arguments.

    Raises:
        CheckpointError: it asks for something that ViViT does not have.
    """
    one_of(config, "hidden_act", ["gelu_fast"])
    tubelet, patch = _tubelet(config.get("tubelet_size", [2, 16, 16]))
    width = whole(config, "hidden_size", 768)
    return {
        "img_size": sides(config, "image_size", 224),
        "patch_size": patch,
        "tubelet_size": tubelet,
        "embed_dim": width,
        "depth": whole(config, "num_hidden_layers", 12),
        "num_heads": whole(config, "num_attention_heads", 12),
        "mlp_ratio": whole(config, "intermediate_size", 3072) / width,
        "num_frames": whole(config, "num_frames", 32),
        "eps": config.get("layer_norm_eps", 1e-6),
        "qkv_bias": one_of(config, "qkv_bias", [True, False]),
    }


def _tubelet(size: Any) -> tuple[int, int]:
    """Frames and side of a tubelet."""
    if not isinstance(size, list) or len(size) != 3 or size[1] != size[2]:
        raise CheckpointError(f"config.json: tubelet_size {size} is not supported")
    return size[0], size[1]


def from_state(state: State) -> dict[str, Any]:
    """Converted tensors to ViViT's arguments; the frame size is the published one.

    Raises:
        CheckpointError: the number of heads cannot be inferred, or the position table does not fit.
    """
    width, _, tubelet, patch, _ = state[_STEM].shape
    steps, remainder = divmod(state["pos_embed"].shape[1] - 1, (224 // patch) ** 2)
    if remainder or not steps:
        raise CheckpointError(
            f"a position table {list(state['pos_embed'].shape)} does not match a "
            "video of 224 pixels",
            "give --arch NAME, or a Hugging Face folder with its config.json",
        )
    return {
        "patch_size": patch,
        "tubelet_size": tubelet,
        "embed_dim": width,
        "depth": count_blocks(state),
        "qkv_bias": biased(state),
        "num_heads": heads_of(width),
        "mlp_ratio": state["blocks.0.mlp.fc1.weight"].shape[0] / width,
        "num_frames": steps * tubelet,
        **measured(state),
    }


def measured(state: State) -> dict[str, Any]:
    """The number of classes of the weights.

    Raises:
        CheckpointError: there is no classification head.
    """
    return {"num_classes": count_classes(state)}


def published_input(model: ViViT) -> ModelInput:
    """The paper's input: every second frame, colors from -1 to 1."""
    return ModelInput(
        frames=model.num_frames,
        size=model.img_size,
        stride=2,
        rate=30.0,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        resize=round(max(model.img_size) * 256 / 224),
    )


FAMILY = Family(
    model_types=("vivit",),
    license="not stated; the published ViViT weights are Apache-2.0",
    convert=convert,
    recognize=recognize,
    from_config=from_config,
    from_state=from_state,
    measured=measured,
    build=ViViT,
    input=published_input,
    processors=("VivitImageProcessor", "VivitVideoProcessor"),
)
