"""Shared parts of the families' key maps: published parameter names and config values."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from staa_cli.errors import CheckpointError

State = Mapping[str, Tensor]
Renames = Sequence[tuple[str, str]]

HEADS = {384: 6, 768: 12, 1024: 16, 1280: 16}
"""Width of a published model to its number of attention heads, which no tensor shape shows."""

# Parameter names of a Hugging Face encoder, the same in several families.
HUGGING_FACE = (
    ("encoder.layer.", "blocks."),
    ("embeddings.patch_embeddings.projection", "patch_embed.proj"),
    ("embeddings.cls_token", "cls_token"),
    ("embeddings.position_embeddings", "pos_embed"),
    ("attention.attention.query", "attn.q"),
    ("attention.attention.key", "attn.k"),
    ("attention.attention.value", "attn.v"),
    ("attention.attention.", "attn."),
    ("attention.output.dense", "attn.proj"),
    ("layernorm_before", "norm1"),
    ("layernorm_after", "norm2"),
    ("intermediate.dense", "mlp.fc1"),
    ("output.dense", "mlp.fc2"),
    ("layernorm", "norm"),
    ("classifier", "head"),
)

_PART = re.compile(r"(.*)\.([qkv])(?:_bias|\.(weight|bias))")


def rename(name: str, renames: Renames) -> str:
    """A parameter's name after all replacements, in order."""
    for published, ours in renames:
        name = name.replace(published, ours)
    return name


def fuse_qkv(state: State) -> dict[str, Tensor]:
    """Query, key, and value of a layer as one matrix, rows in that order, as timm has them.

    Accepts ``attn.{q,k,v}.{weight,bias}``, ``attn.{q,v}_bias`` with a fused weight, or a mixture.
    A missing bias is zero: VideoMAE has none for the keys, where softmax cancels it.
    """
    fused: dict[str, Tensor] = {}
    parts: dict[str, dict[tuple[str, str], Tensor]] = {}
    for name, tensor in state.items():
        match = _PART.fullmatch(name)
        if match is None:
            fused[name] = tensor
        else:
            parts.setdefault(match[1], {})[match[2], match[3] or "bias"] = tensor
    for layer, tensors in parts.items():
        weights = [tensors[key, "weight"] for key in "qkv" if (key, "weight") in tensors]
        if len(weights) == 3:
            fused[f"{layer}.qkv.weight"] = torch.cat(weights)
        elif weights:  # incomplete: the loader reports what is missing
            fused |= {f"{layer}.{key}.{kind}": tensor for (key, kind), tensor in tensors.items()}
            continue
        biases = [tensors.get((key, "bias")) for key in "qkv"]
        present = next((bias for bias in biases if bias is not None), None)
        if present is not None:
            zero = torch.zeros_like(present)
            fused[f"{layer}.qkv.bias"] = torch.cat([zero if b is None else b for b in biases])
    return fused


def count_blocks(state: State) -> int:
    """Number of blocks."""
    matches = (re.match(r"blocks\.(\d+)\.", name) for name in state)
    return 1 + max((int(match[1]) for match in matches if match), default=-1)


def heads_of(width: int, known: Mapping[int, int] = HEADS) -> int:
    """Number of attention heads of a published model of that width.

    Raises:
        CheckpointError: no published model has this width.
    """
    if width not in known:
        raise CheckpointError(
            f"the number of attention heads cannot be inferred from weights of width {width}",
            "give --arch NAME, or a Hugging Face folder with its config.json",
        )
    return known[width]


def count_classes(state: State) -> int:
    """Width of the classification head.

    Raises:
        CheckpointError: there is no head.
    """
    if "head.weight" not in state:
        raise CheckpointError(
            "the weights have no classification head, so there is no decision to explain",
            "give a checkpoint that was fine-tuned for classification",
        )
    return state["head.weight"].shape[0]


def whole(config: Mapping[str, Any], key: str, default: int) -> int:
    """A count from a config.

    Raises:
        CheckpointError: it is not a positive whole number.
    """
    value = config.get(key, default)
    if not isinstance(value, int) or value < 1:
        raise CheckpointError(f"config.json: {key} is {value!r}, expected a positive whole number")
    return value


def sides(config: Mapping[str, Any], key: str, default: int) -> int | tuple[int, int]:
    """Height and width from a config, one number for a square.

    Raises:
        CheckpointError: it is not a size.
    """
    value = config.get(key, default)
    values = value if isinstance(value, list) else [value, value]
    if len(values) != 2 or not all(isinstance(side, int) and side >= 1 for side in values):
        raise CheckpointError(f"config.json: {key} is {value!r}, which is not a valid size")
    return values[0] if values[0] == values[1] else (values[0], values[1])


def one_side(config: Mapping[str, Any], key: str, default: int) -> int:
    """Side of a square from a config: one number, or two equal ones.

    Raises:
        CheckpointError: it is not a square.
    """
    side = sides(config, key, default)
    if not isinstance(side, int):
        raise CheckpointError(f"config.json: {key} {list(side)} is not supported")
    return side


def biased(state: State) -> bool:
    """Whether queries, keys, and values of converted tensors have a bias."""
    return any(name.endswith(".attn.qkv.bias") and name.startswith("blocks.") for name in state)


def one_of(config: Mapping[str, Any], key: str, known: Sequence[Any]) -> Any:
    """A value from a config; the first of `known` is the default.

    Raises:
        CheckpointError: it is not in `known`.
    """
    value = config.get(key, known[0])
    if value not in known:
        raise CheckpointError(
            f"config.json: {key} {value!r} is not supported",
            f"supported: {', '.join(map(str, known))}",
        )
    return value
