"""Read q, k, and v inside an attention layer while it runs, and keep only what is requested.

A tap is a reader that runs inside an attention layer's forward pass. The layer's output comes from
the same fused kernel in the same order with and without a reader, so logits do not change, and no
N x N matrix outlives the reader. Taps are kept in a context variable, never on the module: nothing
is left behind, and threads do not see each other's taps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from staa_cli.models.linear import linear


class AttentionTensors(NamedTuple):
    """What an attention layer records: all [..., heads, N, d] except `x`."""

    q: Tensor
    """Not yet scaled."""
    k: Tensor
    v: Tensor
    out: Tensor | None = None
    """Attention output before the output projection; gradient methods need it."""
    x: Tensor | None = None
    """The layer's input [..., N, D]."""


Reader = Callable[[Any, nn.Module], Tensor]
"""(recorded, layer) -> tensor to keep. Attention records `AttentionTensors`; a block, its output
tokens [B or B*T, N, D]; the norm before the head, its input [B, N, D] or [B, D]; the mean of
frames' logits, these logits [B, T, classes]."""

_READERS: ContextVar[Mapping[int, Callable[..., None]] | None] = ContextVar(
    "staa_taps", default=None
)


LONG = 400
"""Length from which the CPU reads attention head by head; below, all heads at once are as fast."""
TILE = 1 << 20
"""Numbers of attention that the CPU then computes at once: 4 MB (measured on VideoMAE-B)."""
BITS = 60.0
"""Largest score, as a power of two, whose exponential needs no maximum subtracted: it neither
overflows in a sum, nor do weights vanish that are visible beside it."""


@dataclass(frozen=True, slots=True)
class Tap:
    """A request to read one attention layer.

    Args:
        role: ``spatial``, ``temporal``, or ``joint`` attention; in a pooler, ``pooler`` for the
            cross-attention and ``pooler_self`` for the blocks before it; ``block``, the output
            tokens of a block; ``read_out``, the norm before the head; or ``frames``, the logits
            of frames whose mean is the clip's.
        block: index of the block, from 0; 0 if there is only one.
        name: the key under which the reading is returned.
        read: what to keep.
    """

    role: str
    block: int
    name: str
    read: Reader


@contextmanager
def taps(model: nn.Module, requested: Sequence[Tap]) -> Iterator[dict[tuple[str, int], Tensor]]:
    """Within the block, every forward pass of `model` fills a dict: (name, block) -> reading.

    Args:
        model: has ``attention_layers() -> dict[(role, block), layer]``.
        requested: the taps.

    Raises:
        KeyError: the model has no such layer.
        RuntimeError: the block ended normally and a tap captured nothing.
    """
    layers: Mapping[tuple[str, int], nn.Module] = model.attention_layers()  # type: ignore[operator]
    captured: dict[tuple[str, int], Tensor] = {}
    by_layer: dict[int, list[tuple[Tap, nn.Module]]] = {}
    for tap in requested:
        layer = layers[tap.role, tap.block]
        by_layer.setdefault(id(layer), []).append((tap, layer))

    def reader(entries: list[tuple[Tap, nn.Module]]) -> Callable[..., None]:
        def read(recorded: AttentionTensors | Tensor) -> None:
            for tap, layer in entries:
                captured[tap.name, tap.block] = tap.read(recorded, layer)

        return read

    token = _READERS.set({key: reader(entries) for key, entries in by_layer.items()})
    try:
        yield captured
    finally:
        _READERS.reset(token)
    missing = [
        f"{t.role} attention of block {t.block}"
        for t in requested
        if (t.name, t.block) not in captured
    ]
    if missing:
        raise RuntimeError(f"no activations were captured from {', '.join(missing)}")


def record(layer: nn.Module, *tensors: Tensor) -> None:
    """Pass tensors of `layer` to its taps; called in the layer's forward pass.

    Attention passes the fields of `AttentionTensors`, in order; other layers pass one tensor.
    """
    readers = _READERS.get()
    if readers is not None and id(layer) in readers:
        readers[id(layer)](AttentionTensors(*tensors) if len(tensors) > 1 else tensors[0])


def attention_rows(q: Tensor, k: Tensor, scale: float, out: Tensor | None = None) -> Tensor:
    """Attention [..., heads, n, N] of n queries, in float32: softmax(q k^T * scale).

    Written to `out` if given, which does not support gradients.
    """
    scores = torch.matmul(q.float() * scale, k.float().transpose(-2, -1), out=out)
    return torch.softmax(scores, dim=-1, out=out)


def rows_at_once(q: Tensor, k: Tensor) -> int:
    """How many attention rows of q and k [..., heads, N, d] to compute together.

    On a CPU, about 4 MB stay in a core's cache; more is slower (measured on VideoMAE-B). A GPU
    prefers few large kernels: up to 256 MB for all clips of a batch.
    """
    heads, columns = q.shape[-3], k.shape[-2]
    if q.device.type == "cpu":
        return max(1, (1 << 20) // (heads * columns))
    return max(1, (1 << 26) // (q.shape[:-2].numel() * columns))


def cls_row(recorded: AttentionTensors, layer: nn.Module) -> Tensor:
    """Row of query 0, mean over heads: [..., N]. Costs O(N d)."""
    return cls_rows(recorded, layer).mean(dim=-2)


def cls_rows(recorded: AttentionTensors, layer: nn.Module) -> Tensor:
    """Row of query 0 in each head: [..., heads, N]. Costs O(N d)."""
    return attention_rows(recorded.q[..., :1, :], recorded.k, layer.scale)[..., 0, :]  # type: ignore[arg-type]


def full_map(recorded: AttentionTensors, layer: nn.Module) -> Tensor:
    """The whole matrix, mean over heads: [..., N, N]. For short sequences only."""
    return full_maps(recorded, layer).mean(dim=-3)


def full_maps(recorded: AttentionTensors, layer: nn.Module) -> Tensor:
    """The full matrix of each head: [..., heads, N, N]. For short sequences only."""
    return attention_rows(recorded.q, recorded.k, layer.scale)  # type: ignore[arg-type]


def mean_row(recorded: AttentionTensors, layer: nn.Module, first: int = 0) -> Tensor:
    """Mean over heads and all query rows from `first` on: [..., N]. Memory is O(chunk * N)."""
    return row_product(_mean_weights(recorded.q, first))(recorded, layer)


def row_product(row: Tensor) -> Reader:
    """A reader of `row` [..., N] times the head-mean attention matrix: [..., N], in chunks."""

    def read(recorded: AttentionTensors, layer: nn.Module) -> Tensor:
        return rows_by_head(row[..., None, :])(recorded, layer).mean(dim=-2)

    return read


def rows_by_head(rows: Tensor) -> Reader:
    """A reader of `rows` times the attention matrix of each head: [..., heads, N], in chunks.

    Args:
        rows: [..., heads, N], or [..., 1, N] for the same row in every head.
    """

    def read(recorded: AttentionTensors, layer: nn.Module) -> Tensor:
        q, k, scale = recorded.q.detach(), recorded.k.detach(), float(layer.scale)  # type: ignore[arg-type]
        of_heads = rows.expand(q.shape[:-1])
        if q.device.type != "cpu" or q.shape[-2] < LONG:
            return _chunked_product(of_heads, q, k, scale)
        return _product_by_head(of_heads, q, k, scale)

    return read


def _chunked_product(rows: Tensor, q: Tensor, k: Tensor, scale: float) -> Tensor:
    """Rows [..., heads, N] times each head's attention, all heads in the same few kernels."""
    length = q.shape[-2]
    chunk = min(length, rows_at_once(q, k))
    total = torch.zeros_like(rows, memory_format=torch.contiguous_format)
    # Allocating memory for every chunk would cost as much as the arithmetic.
    memory = total.new_empty(*q.shape[:-2], chunk, k.shape[-2])
    for start in range(0, length, chunk):
        queries = q[..., start : start + chunk, :]
        part = attention_rows(queries, k, scale, out=memory[..., : queries.shape[-2], :])
        total += (rows[..., None, start : start + chunk] @ part)[..., 0, :]
    return total


def _product_by_head(rows: Tensor, q: Tensor, k: Tensor, scale: float) -> Tensor:
    """The same, one head after the other, so that its keys are read from the cache.

    Scores are powers of two, which torch computes in a quarter of the time that those of e take.
    """
    q, k = q.float() * (scale * math.log2(math.e)), k.float().contiguous()
    # No score is larger than the product of the norms.
    large = q.norm(dim=-1).amax(dim=-1) * k.norm(dim=-1).amax(dim=-1) > BITS  # [..., heads]
    length = q.shape[-2]
    chunk = max(64, TILE // length // 64 * 64)
    total = torch.zeros_like(rows, memory_format=torch.contiguous_format)
    for head in product(*map(range, q.shape[:-2])):
        row, queries, shift = rows[head], q[head], bool(large[head])
        for start in range(0, length, chunk):
            part = slice(start, start + chunk)
            total[head] += _tile_product(row[part], queries[part], k[head], shift)
    return total


def _tile_product(row: Tensor, q: Tensor, k: Tensor, shift: bool) -> Tensor:
    """A row [n] times the attention [n, N] of queries [n, d], whose memory is then free again."""
    tile = linear(k, q)  # [N, n]
    if shift:
        tile -= tile.amax(dim=0)
    tile.exp2_()
    # A sum would be split among threads, which takes longer than this one product.
    return tile @ (row / (k.new_ones(len(k)) @ tile))


def cls_values(recorded: AttentionTensors, layer: nn.Module) -> Tensor:
    """Contribution of every token to query 0, before the output projection: [..., N, heads * d].

    The attention-weighted value alpha_h[n] * v_h[n], heads concatenated as the projection expects.
    As large as one activation of the layer.
    """
    return _weighted_values(cls_rows(recorded, layer), recorded.v)


def mean_values(recorded: AttentionTensors, layer: nn.Module, first: int = 0) -> Tensor:
    """Like `cls_values`, but the mean over the queries from `first` on."""
    rows = rows_by_head(_mean_weights(recorded.q, first)[..., None, :])(recorded, layer)
    return _weighted_values(rows, recorded.v)


def _mean_weights(q: Tensor, first: int) -> Tensor:
    """The weights [..., N] of a mean over the queries from `first` on."""
    weights = q.new_zeros((*q.shape[:-3], q.shape[-2]), dtype=torch.float32)
    weights[..., first:] = 1.0 / (q.shape[-2] - first)
    return weights


def _weighted_values(row: Tensor, v: Tensor) -> Tensor:
    """Weights [..., heads, N] times values, heads concatenated: [..., N, heads * d]."""
    return (row[..., None] * v.float()).transpose(-3, -2).flatten(-2)


def queries_and_keys(recorded: AttentionTensors, layer: nn.Module) -> Tensor:
    """Queries over keys: [2, ..., heads, N, d]; a copy, so that v's memory can be freed."""
    return torch.stack([recorded.q, recorded.k])


def shown(x: Tensor, layer: nn.Module) -> Tensor:
    """The recorded tensor: a block's output, or the input of a norm or of a mean."""
    return x
