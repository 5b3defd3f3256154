"""Read-out strategies: how what a model's head reads leads back to the tokens.

The one place that asks how a model attends (`AttentionLayout.kind`) and what its head reads
(`AttentionLayout.pooling`), so that a method is written once for all families.

Attention over space runs over S sequences of tokens a clip: over one of all tokens where space and
time are attended jointly, else over one a frame, S = T'. A sequence has `prefix_tokens` tokens,
then n patches; S * n = T' * h * w. A row says how much of each token of its sequence is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

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
"""[B, T, classes] of a model that sees each frame by itself."""


def space_role(layout: AttentionLayout) -> str:
    """Role of the attention that runs over space: alone, or together with time."""
    return "joint" if layout.kind == "joint" else "spatial"


def read_role(layout: AttentionLayout) -> str:
    """Role of the attention by which the head's one token is read from all others."""
    return "pooler" if layout.pooling == "attentive" else space_role(layout)


def attends_over_time(layout: AttentionLayout) -> bool:
    """Whether every block attends over time by itself, before it attends over space."""
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
    """First and last (exclusive) of the queries of `read_role` whose outputs the head reads."""
    return (layout.prefix_tokens, None) if reads_mean(layout) else (0, 1)


def row_reader(layout: AttentionLayout) -> Reader:
    """Reads the row of `read_role` by which the head reads, [B*S, prefix + n]."""
    return partial(mean_row, first=layout.prefix_tokens) if reads_mean(layout) else cls_row


def value_reader(layout: AttentionLayout) -> Reader:
    """Reads what `read_role` moves to the head from every token, [B*S, prefix + n, heads * d]."""
    return partial(mean_values, first=layout.prefix_tokens) if reads_mean(layout) else cls_values


def time_taps(layout: AttentionLayout, block: int) -> list[Tap]:
    """What `through_time` reads."""
    return [Tap("temporal", block, "time", full_map)] if attends_over_time(layout) else []


def frame_taps(layout: AttentionLayout) -> list[Tap]:
    """What `frame_shares` reads."""
    return [FRAME_LOGITS] if layout.kind == "frame" else []


def temporal_maps(method_inputs: MethodInputs, block: int) -> Tensor:
    """T [B, P, T, T'] of a block."""
    maps = method_inputs.captured["time", block]  # [B*P, T, T']
    return maps.reshape(len(method_inputs.inputs), -1, *maps.shape[1:])


def through_time(rows: Tensor, method_inputs: MethodInputs, block: int) -> Tensor:
    """Patches' rows [B, T, P] to where these patches had looked in time, [B, T', P].

    Where space and time are attended jointly, or time is not, the rows stay as they are.
    """
    if not attends_over_time(method_inputs.layout):
        return rows
    return torch.einsum("btp,bpts->bsp", rows, temporal_maps(method_inputs, block))


def averaged_sequences(layout: AttentionLayout) -> int:
    """How many sequences the token that the head reads is the mean of, with an equal part of each.

    Where each frame goes as far as its own logits, it has a read-out of its own.
    """
    return layout.grid[0] if layout.kind in ("divided", "space") else 1


def start_rows(method_inputs: MethodInputs, total: float = 1.0) -> Tensor:
    """What the head reads of the last block's tokens, [B, S, prefix + n].

    Each row's sum is `total`; where a pooler reads the tokens, it is zero.
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
    """Rows of heads, [B, heads, S, N], for a layer with so many: the same, or [B, 1, S, N] for all.

    Where the layer above has others, each head goes on from the mean of those.
    """
    return rows if rows.shape[1] in (1, heads) else rows.mean(dim=1, keepdim=True)


def split_rows(rows: Tensor, method_inputs: MethodInputs) -> tuple[Tensor, Tensor | None]:
    """Rows [B*S, prefix + n] to the patches' [B, S, n], and the share [B] that is no patch's.

    The share is the mean over sequences, and None where there are patches alone.
    """
    prefix = method_inputs.layout.prefix_tokens
    rows = rows.reshape(len(method_inputs.inputs), -1, rows.shape[-1])  # [B, S, prefix + n]
    mass = rows[..., :prefix].sum(dim=2).mean(dim=1) if prefix else None
    return rows[..., prefix:], mass


def along_path(rows: Tensor, method_inputs: MethodInputs, block: int) -> Tensor:
    """Patches' rows [B, S, n] of a block, by which the head reads, to a map [B, T', h, w].

    Through time, where it is attended apart, and with the part that each sequence has in what the
    head reads.
    """
    layout = method_inputs.layout
    rows = through_time(rows, method_inputs, block) / averaged_sequences(layout)
    return to_grid(rows, layout)


def to_grid(rows: Tensor, layout: AttentionLayout) -> Tensor:
    """Patches' values [..., S, n], without the prefix, to [..., T', h, w].

    One sequence alone has the patches in the model's own order.
    """
    frames, height, width = layout.grid
    leading = rows.shape[:-2]
    if rows.shape[-2] == 1 and layout.order == "hwt":
        return rows.reshape(*leading, height, width, frames).movedim(-1, -3)
    return rows.reshape(*leading, frames, height, width)


def frame_shares(method_inputs: MethodInputs) -> Tensor | None:
    """[B, classes, T] each frame's share of what speaks for a class; a clip's sum is one.

    None where a model sees more than one frame at a time. Where a clip's logits are its frames'
    mean, a share is how far a frame's logit lies above what says nothing, or zero where it lies
    below: above the mean of all classes where these share one softmax, above zero where each class
    is by itself, and of a raw value, whose zero means nothing, above the lowest frame's. In a clip
    of which no frame speaks for the class, all frames have the same.
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
    """Names of what `output_projection` reads of the layers by which the head reads."""
    return [name for block in blocks for name in projection_names(read_role(layout), block)]


def projection_names(role: str, block: int) -> list[str]:
    """Names of what `output_projection` reads of a layer; none of a pooler's query."""
    of_block, layer = {
        "pooler": (None, ""),
        "pooler_self": ("pooler.blocks", "attn"),
        "temporal": ("blocks", "temporal_attn"),
    }.get(role, ("blocks", "attn"))
    return [f"{of_block}.{block}.{layer}.proj.weight"] if of_block else []


def output_projection(
    method_inputs: MethodInputs, block: int, role: str | None = None
) -> Tensor | None:
    """W_o [D, heads * d] of a layer, scaled as the block scales what it writes.

    Args:
        method_inputs: for the model.
        block: of the layer.
        role: of the layer; that of those by which the head reads where None.

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
        return weight if after is None else after.weight.float() @ weight
    scale: Tensor | None = getattr(getattr(owner, "ls1", None), "gamma", None)
    return weight if scale is None else scale.float()[:, None] * weight


def head_taps(layout: AttentionLayout) -> list[Tap]:
    """What `normed_tokens` and `mean_tokens` read."""
    norm = Tap("read_out", 0, "read_out", shown)
    if read_role(layout) == "pooler":
        return []
    if reads_mean(layout) and layout.kind != "frame":
        return [Tap("tokens", 0, "tokens", shown), norm]
    return [norm]


def logits_of_tokens(tokens: Tensor, method_inputs: MethodInputs) -> Tensor:
    """What the head would say, [B, classes], were these tokens the last block's.

    Args:
        tokens: [B or B*T, prefix + n, D] as a block leaves them.
        method_inputs: of a model without a pooler, whose norm and head are used.
    """
    layout, model = method_inputs.layout, method_inputs.model
    norm, head = method_inputs.layer("read_out", 0), model.get_submodule("head")
    patches = slice(layout.prefix_tokens, None)
    if layout.kind == "frame":  # which norms each token, and takes the mean of the frames' logits
        normed = norm(tokens)
        pooled = normed[:, patches].mean(dim=1) if reads_mean(layout) else normed[:, 0]
        logits: Tensor = head(pooled)
        return logits.reshape(-1, layout.grid[0], logits.shape[-1]).mean(dim=1)
    pooled = tokens[:, patches].mean(dim=1) if reads_mean(layout) else tokens[:, 0]
    if layout.kind == "space":  # one sequence a frame, of which the head reads the mean
        pooled = pooled.reshape(-1, layout.grid[0], pooled.shape[-1]).mean(dim=1)
    return head(norm(pooled))  # type: ignore[no-any-return]


def mean_tokens(method_inputs: MethodInputs) -> Tensor:
    """The tokens [B or B*T, n, D] whose mean the head reads.

    An image model norms each of them by itself, before the mean.
    """
    layout = method_inputs.layout
    if layout.kind == "frame":
        return method_inputs.captured["read_out", 0][:, layout.prefix_tokens :].float()
    return method_inputs.captured["tokens", 0].float()


def normed_tokens(method_inputs: MethodInputs) -> Tensor | None:
    """What the norm before the head has been given of what the head reads.

    One token [B or B*T, 1, D], or, where the mean comes after the norm, all of its tokens
    [B*T, n, D]; None where there is a pooler, and no norm after it.
    """
    layout = method_inputs.layout
    if read_role(layout) == "pooler":
        return None
    if reads_mean(layout) and layout.kind == "frame":
        return mean_tokens(method_inputs)
    tokens = method_inputs.captured["read_out", 0].float()  # [B or B*T, N, D], or [B, D] alone
    return tokens[:, None] if tokens.ndim == 2 else tokens[:, :1]
