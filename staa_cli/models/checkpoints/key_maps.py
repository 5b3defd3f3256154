"""What the published naming schemes of parameters have in common, for the families' key maps."""

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
"""Width of a published model to its number of attention heads, which no tensor tells."""

# Names of a Hugging Face encoder's parts, the same in every family of its time.
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
    """A parameter's name after all replacements, in their order."""
    for theirs, ours in renames:
        name = name.replace(theirs, ours)
    return name


def fuse_qkv(state: State) -> dict[str, Tensor]:
    """Query, key, and value of a layer as one matrix, rows in that order, as timm has them.

    Takes ``attn.{q,k,v}.{weight,bias}``, ``attn.{q,v}_bias`` beside a fused weight, or a mixture.
    A bias that is not there is zero: VideoMAE has none for the keys, where softmax sees none.
    """
    fused: dict[str, Tensor] = {}
    parts: dict[str, dict[tuple[str, str], Tensor]] = {}
    for name, tensor in state.items():
        match = _PART.fullmatch(name)
        if match is None:
            fused[name] = tensor
        else:
            parts.setdefault(match[1], {})[match[2], match[3] or "bias"] = tensor
    for layer, found in parts.items():
        weights = [found[key, "weight"] for key in "qkv" if (key, "weight") in found]
        if len(weights) == 3:
            fused[f"{layer}.qkv.weight"] = torch.cat(weights)
        elif weights:  # one is missing: let the loader name it
            fused |= {f"{layer}.{key}.{kind}": tensor for (key, kind), tensor in found.items()}
            continue
        biases = [found.get((key, "bias")) for key in "qkv"]
        some = next((bias for bias in biases if bias is not None), None)
        if some is not None:
            zero = torch.zeros_like(some)
            fused[f"{layer}.qkv.bias"] = torch.cat([zero if b is None else b for b in biases])
    return fused


def count_blocks(state: State) -> int:
    """Number of blocks."""
    found = (re.match(r"blocks\.(\d+)\.", name) for name in state)
    return 1 + max((int(match[1]) for match in found if match), default=-1)


def heads_of(width: int, known: Mapping[int, int] = HEADS) -> int:
    """Number of attention heads of a published model of that width.

    Raises:
        CheckpointError: none is so wide.
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
        CheckpointError: there is none.
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
        CheckpointError: it is none.
    """
    value = config.get(key, default)
    if not isinstance(value, int) or value < 1:
        raise CheckpointError(f"config.json: {key} is {value!r}, expected a positive whole number")
    return value


def sides(config: Mapping[str, Any], key: str, default: int) -> int | tuple[int, int]:
    """Height and width from a config, one number where they are the same.

    Raises:
        CheckpointError: it is neither.
    """
    value = config.get(key, default)
    values = value if isinstance(value, list) else [value, value]
    if len(values) != 2 or not all(isinstance(side, int) and side >= 1 for side in values):
        raise CheckpointError(f"config.json: {key} is {value!r}, which is not a valid size")
    return values[0] if values[0] == values[1] else (values[0], values[1])


def one_side(config: Mapping[str, Any], key: str, default: int) -> int:
    """Side of a square from a config: one number, or twice the same.

    Raises:
        CheckpointError: it is neither.
    """
    side = sides(config, key, default)
    if not isinstance(side, int):
        raise CheckpointError(f"config.json: {key} {list(side)} is not supported")
    return side


def biased(state: State) -> bool:
    """Whether queries, keys, and values of converted tensors have a bias."""
    return any(name.endswith(".attn.qkv.bias") and name.startswith("blocks.") for name in state)


def one_of(config: Mapping[str, Any], key: str, known: Sequence[Any]) -> Any:
    """A value from a config, the first of those known where it says nothing.

    Raises:
        CheckpointError: it is none of them.
    """
    value = config.get(key, known[0])
    if value not in known:
        raise CheckpointError(
            f"config.json: {key} {value!r} is not supported",
            f"supported: {', '.join(map(str, known))}",
        )
    return value
