"""Read-out strategies: how the head's input depends on the tokens.

Only this module distinguishes how a model attends (`AttentionLayout.kind`) and what its head reads
(`AttentionLayout.pooling`), so that a method is written once for all families.

Attention over space runs over S sequences of tokens per clip: with joint attention over one
sequence of all tokens, else over one per frame, S = T'. A sequence has `prefix_tokens` tokens,
then n patches; S * n = T' * h * w. A row has the weight of each token of its sequence.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from staa_cli.models.linear import linear
from staa_cli.models.taps import (
    Reader,
    Tap,
    cls_row,
    cls_values,
    full_map,
    mean_row,
    mean_values,
    shown,
)
from staa_cli.schema import AttentionLayout

if TYPE_CHECKING:
    from staa_cli.methods.base import MethodInputs, Options

FRAME_LOGITS = Tap("frames", 0, "frame_logits", shown)
"""[B, T, classes] of a model that processes frames independently."""


def space_role(layout: AttentionLayout) -> str:
    """Role of the attention that runs over space: alone, or together with time."""
    return "joint" if layout.kind == "joint" else "spatial"


def read_role(layout: AttentionLayout) -> str:
    """Role of the attention by which the head's token reads all others."""
    return "pooler" if layout.pooling == "attentive" else space_role(layout)


def attends_over_time(layout: AttentionLayout) -> bool:
    """Whether every block attends over time separately, before it attends over space."""
    return layout.kind == "divided"


def reads_mean(layout: AttentionLayout) -> bool:
    """Whether the head reads the mean of tokens, not one token."""
    return layout.pooling == "mean"


def attention_layers(layout: AttentionLayout, blocks: Sequence[int]) -> list[tuple[str, int]]:
    """(role, block) of the blocks' layers and the pooler's, in the order in which they run."""
    roles = ["temporal", space_role(layout)] if attends_over_time(layout) else [space_role(layout)]
    layers = [(role, block) for block in blocks for role in roles]
    if read_role(layout) == "pooler":
        layers += [("pooler_self", block) for block in range(layout.pooler_depth)]
        layers.append(("pooler", 0))
    return layers


def read_blocks(
    layout: AttentionLayout, options: Options, default: Sequence[int] = (-1,)
) -> tuple[int, ...]:
    """The blocks of `read_role`: the default unless the user names some; a pooler's query has one.

    Raises:
        UsageError: the model has no such block.
    """
    if read_role(layout) == "pooler":
        return (0,)
    return options.blocks(layout.depth, default)


def read_queries(layout: AttentionLayout) -> tuple[int, int | None]:
    """First and last (exclusive) query of `read_role` whose output the head reads."""
    return (layout.prefix_tokens, None) if reads_mean(layout) else (0, 1)


def row_reader(layout: AttentionLayout) -> Reader:
    """A reader of the attention row of `read_role` that the head uses, [B*S, prefix + n]."""
    return partial(mean_row, first=layout.prefix_tokens) if reads_mean(layout) else cls_row


def value_reader(layout: AttentionLayout) -> Reader:
    """A reader of the weighted values of `read_role` per token, [B*S, prefix + n, heads * d]."""
    return partial(mean_values, first=layout.prefix_tokens) if reads_mean(layout) else cls_values


def time_taps(layout: AttentionLayout, block: int) -> list[Tap]:
    """The taps of `through_time`."""
    return [Tap("temporal", block, "time", full_map)] if attends_over_time(layout) else []


def frame_taps(layout: AttentionLayout) -> list[Tap]:
    """The taps of `frame_shares`."""
    return [FRAME_LOGITS] if layout.kind == "frame" else []


def temporal_maps(method_inputs: MethodInputs, block: int) -> Tensor:
    """T [B, P, T, T'] of a block."""
    maps = method_inputs.captured["time", block]  # [B*P, T, T']
    return maps.reshape(len(method_inputs.inputs), -1, *maps.shape[1:])


def through_time(rows: Tensor, method_inputs: MethodInputs, block: int) -> Tensor:
    """Patches' rows [B, T, P] propagated through attention over time, [B, T', P].

    Without separate attention over time, the rows are returned unchanged.
    """
    if not attends_over_time(method_inputs.layout):
        return rows
    return torch.einsum("btp,bpts->bsp", rows, temporal_maps(method_inputs, block))


def averaged_sequences(layout: AttentionLayout) -> int:
    """Number of sequences whose mean the head reads, with equal weights.

    If each frame has its own logits, it has its own read-out.
    """
    return layout.grid[0] if layout.kind in ("divided", "space") else 1


def start_rows(method_inputs: MethodInputs, total: float = 1.0) -> Tensor:
    """Weights of the last block's tokens in the head's input, [B, S, prefix + n].

    Each row's sum is `total`, or zero if a pooler reads the tokens.
    """
    layout, batch = method_inputs.layout, len(method_inputs.inputs)
    frames, height, width = layout.grid
    sequences = 1 if layout.kind == "joint" else frames
    patches = frames * height * width // sequences
    device = method_inputs.inputs.device
    rows = torch.zeros(batch, sequences, layout.prefix_tokens + patches, device=device)
    if reads_mean(layout):
        rows[..., layout.prefix_tokens :] = total / patches
    elif read_role(layout) != "pooler":
        rows[..., 0] = total
    return rows


def per_head(rows: Tensor, heads: int) -> Tensor:
    """Rows per head [B, heads, S, N] for a layer with `heads` heads: unchanged, or [B, 1, S, N].

    If the layer above has another number of heads, each head continues from their mean.
    """
    return rows if rows.shape[1] in (1, heads) else rows.mean(dim=1, keepdim=True)


def split_rows(rows: Tensor, method_inputs: MethodInputs) -> tuple[Tensor, Tensor | None]:
    """Rows [B*S, prefix + n] to the patches' [B, S, n], and the share [B] of the prefix tokens.

    The share is the mean over sequences, and None if there are only patches.
    """
    prefix = method_inputs.layout.prefix_tokens
    rows = rows.reshape(len(method_inputs.inputs), -1, rows.shape[-1])  # [B, S, prefix + n]
    mass = rows[..., :prefix].sum(dim=2).mean(dim=1) if prefix else None
    return rows[..., prefix:], mass


def along_path(rows: Tensor, method_inputs: MethodInputs, block: int) -> Tensor:
    """Patches' rows [B, S, n] of a block, by which the head reads, to a map [B, T', h, w].

    Propagated through separate attention over time, if any, and weighted by the share of each
    sequence in the head's input.
    """
    layout = method_inputs.layout
    rows = through_time(rows, method_inputs, block) / averaged_sequences(layout)
    return to_grid(rows, layout)


def to_grid(rows: Tensor, layout: AttentionLayout) -> Tensor:
    """Patches' values [..., S, n], without the prefix, to [..., T', h, w].

    A single sequence has the patches in the model's own order.
    """
    frames, height, width = layout.grid
    leading = rows.shape[:-2]
    if rows.shape[-2] == 1 and layout.order == "hwt":
        return rows.reshape(*leading, height, width, frames).movedim(-1, -3)
    return rows.reshape(*leading, frames, height, width)


def frame_shares(method_inputs: MethodInputs) -> Tensor | None:
    """[B, classes, T] each frame's share of the evidence for a class; a clip's sum is one.

    None if the model does not process frames independently. A clip's logits are the mean of its
    frames' logits, so the evidence of a frame is its logit above a neutral value, or zero: above
    the mean of all classes for softmax, above zero for sigmoid, and for raw values, whose zero is
    arbitrary, above the lowest frame's. If no frame has evidence, all have the same share.
    """
    if method_inputs.layout.kind != "frame":
        return None
    logits = method_inputs.captured[FRAME_LOGITS.name, 0].float()  # [B, T, classes]
    neutral = {
        "softmax": logits.mean(dim=2, keepdim=True),
        "sigmoid": logits.new_zeros(()),
        "identity": logits.amin(dim=1, keepdim=True),
    }[method_inputs.output]
    evidence = (logits - neutral).clamp_min(0).transpose(1, 2)  # [B, classes, T]
    total = evidence.sum(dim=2, keepdim=True)  # [B, classes, 1]
    return torch.where(total > 0, evidence / total, 1 / logits.shape[1])


def output_weights(layout: AttentionLayout, blocks: Sequence[int]) -> list[str]:
    """Parameter names of `output_projection` for the layers by which the head reads."""
    return [name for block in blocks for name in projection_names(read_role(layout), block)]


def projection_names(role: str, block: int) -> list[str]:
    """Parameter names of `output_projection` for a layer; none for a pooler's query."""
    of_block, layer = {
        "pooler": (None, ""),
        "pooler_self": ("pooler.blocks", "attn"),
        "temporal": ("blocks", "temporal_attn"),
    }.get(role, ("blocks", "attn"))
    return [f"{of_block}.{block}.{layer}.proj.weight"] if of_block else []


def output_projection(
    method_inputs: MethodInputs, block: int, role: str | None = None
) -> Tensor | None:
    """W_o [D, heads * d] of a layer, with the block's own scaling of the output.

    Args:
        method_inputs: for the model.
        block: of the layer.
        role: of the layer; None for `read_role`.

    Returns:
        None for a pooler's query, which has none.
    """
    model, role = method_inputs.model, role or read_role(method_inputs.layout)
    names = projection_names(role, block)
    if not names:
        return None
    weight: Tensor = model.get_parameter(names[0]).float()
    owner: Any = model.get_submodule(names[0].rsplit(".", 3)[0])
    if role == "temporal":
        after: nn.Linear | None = getattr(owner, "temporal_fc", None)
        return weight if after is None else linear(after.weight.float(), weight.T)
    scale: Tensor | None = getattr(getattr(owner, "ls1", None), "gamma", None)
    return weight if scale is None else scale.float()[:, None] * weight


def head_taps(layout: AttentionLayout) -> list[Tap]:
    """The taps of `normed_tokens`."""
    return [] if read_role(layout) == "pooler" else [Tap("read_out", 0, "read_out", shown)]


def logits_of_tokens(tokens: Tensor, method_inputs: MethodInputs) -> Tensor:
    """Logits [B, classes] of the head if these tokens were the last block's.

    Args:
        tokens: [B or B*T, prefix + n, D], output of a block.
        method_inputs: of a model without a pooler, whose norm and head are used.
    """
    layout, model = method_inputs.layout, method_inputs.model
    norm, head = method_inputs.layer("read_out", 0), model.get_submodule("head")
    patches = slice(layout.prefix_tokens, None)
    if layout.kind == "frame":  # norms each token, and averages the frames' logits
        normed = norm(tokens)
        pooled = normed[:, patches].mean(dim=1) if reads_mean(layout) else normed[:, 0]
        logits: Tensor = head(pooled)
        return logits.reshape(-1, layout.grid[0], logits.shape[-1]).mean(dim=1)
    pooled = tokens[:, patches].mean(dim=1) if reads_mean(layout) else tokens[:, 0]
    if layout.kind == "space":  # one sequence per frame; the head reads their mean
        pooled = pooled.reshape(-1, layout.grid[0], pooled.shape[-1]).mean(dim=1)
    return head(norm(pooled))  # type: ignore[no-any-return]


def normed_tokens(method_inputs: MethodInputs) -> Tensor | None:
    """The input of the norm before the head, as far as the head reads it.

    One token [B or B*T, 1, D] or, if the mean comes after the norm, all of its tokens
    [B or B*T, n, D]; None with a pooler, which has no norm after it.
    """
    layout = method_inputs.layout
    if read_role(layout) == "pooler":
        return None
    tokens = method_inputs.captured["read_out", 0].float()  # [B or B*T, N, D], or [B, D]
    if tokens.ndim == 2:
        return tokens[:, None]
    return tokens[:, layout.prefix_tokens :] if reads_mean(layout) else tokens[:, :1]
