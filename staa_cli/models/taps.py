"""Read q, k, and v inside an attention layer while it runs, and keep only what is requested.

A tap is a reader that runs inside an attention layer's forward pass. The layer's output comes from
the same fused kernel in the same order with and without a reader, so logits do not change, and no
N x N matrix outlives the reader. Taps are kept in a context variable, never on the module: nothing
is left behind, and threads do not see each other's taps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
"""Numbers of a matrix that the CPU then computes at once: 4 MB (measured on VideoMAE-B)."""
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
    if reader := _reader_of(layer):
        reader(AttentionTensors(*tensors) if len(tensors) > 1 else tensors[0])


def is_read(layer: nn.Module) -> bool:
    """Whether a tap reads `layer` in this pass; if not, what `record` would get can be left out."""
    return _reader_of(layer) is not None


def _reader_of(layer: nn.Module) -> Callable[..., None] | None:
    readers = _READERS.get()
    return None if readers is None else readers.get(id(layer))


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
    return row_product(mean_weights(recorded.q, first))(recorded, layer)


def row_product(row: Tensor) -> Reader:
    """A reader of `row` [..., N] times the head-mean attention matrix: [..., N], in chunks."""

    def read(recorded: AttentionTensors, layer: nn.Module) -> Tensor:
        return rows_by_head(row[..., None, :])(recorded, layer).mean(dim=-2)

    return read


def rows_by_head(rows: Tensor, gradient: Tensor | None = None) -> Reader:
    """A reader of `rows` times the attention matrix A of each head: [..., heads, N], in chunks.

    Args:
        rows: weights of the queries, [..., heads, N], or [..., 1, N] for the same in every head.
        gradient: of the attention output, [..., heads, N, d]; the matrix is then A * relu(dA),
            where dA = gradient v^T.
    """

    def read(recorded: AttentionTensors, layer: nn.Module) -> Tensor:
        return several_rows(rows[..., None, :], gradient)(recorded, layer)[..., 0, :]

    return read


def several_rows(rows: Tensor, gradient: Tensor | None = None) -> Reader:
    """As `rows_by_head`, for r rows that share the work: [..., heads, r, N].

    Args:
        rows: [..., heads, r, N], or [..., 1, r, N] for the same in every head.
        gradient: as for `rows_by_head`.
    """

    def read(recorded: AttentionTensors, layer: nn.Module) -> Tensor:
        q, k, v = recorded.q.detach(), recorded.k.detach(), recorded.v.detach()
        weights = rows.expand(*q.shape[:-2], *rows.shape[-2:])
        slopes = None if gradient is None else (gradient, v)
        if q.device.type == "cpu":
            # If the head reads one token, the last block's other queries have no weight.
            used = weights.flatten(end_dim=-2).any(dim=0).nonzero()[:, 0]
            if len(used) < q.shape[-2]:
                weights, q = weights[..., used], q[..., used, :]
                slopes = slopes and (slopes[0][..., used, :], v)
        multiply = _product_by_head if _by_head(k) else _chunked_product
        return multiply(weights, q, k, float(layer.scale), slopes)  # type: ignore[arg-type]

    return read


def slope_sums(gradient: Tensor, v: Tensor) -> Tensor:
    """Sum over the queries of relu(dA) of each head: [..., heads, N], in chunks.

    Args:
        gradient: of the attention output of n queries, [..., heads, n, d].
        v: [..., heads, N, d].
    """
    gradient, v = gradient.float(), v.detach().float().contiguous()
    total = v.new_zeros(v.shape[:-1])
    for head, part in _tiles(gradient, v):
        of_queries = gradient[head][..., part, :]
        total[head] += _relu_product(v[head], of_queries) @ v.new_ones(of_queries.shape[-2])
    return total


def _by_head(k: Tensor) -> bool:
    """Whether a matrix with the columns k [..., heads, N, d] is computed head by head."""
    return k.device.type == "cpu" and k.shape[-2] >= LONG


def _tiles(q: Tensor, k: Tensor) -> Iterator[tuple[Any, slice]]:
    """The parts of q k^T [..., heads, n, N] to compute at once: (index of the head, queries).

    The index is that of one head, whose keys then are read from the cache, or `...` for all.
    """
    heads: Iterable[Any] = [...]
    size = rows_at_once(q, k)
    if _by_head(k):
        heads, size = product(*map(range, q.shape[:-2])), max(64, TILE // k.shape[-2] // 64 * 64)
    for head in heads:
        for start in range(0, q.shape[-2], size):
            yield head, slice(start, start + size)


def _chunked_product(
    rows: Tensor, q: Tensor, k: Tensor, scale: float, slopes: tuple[Tensor, Tensor] | None
) -> Tensor:
    """Rows [..., heads, r, n] times each head's matrix, all heads in the same few kernels.

    Args:
        rows: weights of n queries.
        q: [..., heads, n, d].
        k: [..., heads, N, d].
        scale: of the layer.
        slopes: gradient and v, like q and k, if the matrix is A * relu(gradient v^T).
    """
    total = rows.new_zeros(*rows.shape[:-1], k.shape[-2])
    # Allocating memory for every chunk would cost as much as the arithmetic.
    memory = total.new_empty(*q.shape[:-2], min(q.shape[-2], rows_at_once(q, k)), k.shape[-2])
    for _, part in _tiles(q, k):
        queries = q[..., part, :]
        matrix = attention_rows(queries, k, scale, out=memory[..., : queries.shape[-2], :])
        if slopes:
            matrix *= _relu_product(slopes[0][..., part, :].float(), slopes[1].float())
        total += rows[..., part] @ matrix
    return total


def _product_by_head(
    rows: Tensor, q: Tensor, k: Tensor, scale: float, slopes: tuple[Tensor, Tensor] | None
) -> Tensor:
    """The same, one head after the other.

    Scores are powers of two, which torch computes in a quarter of the time that those of e take.
    """
    q, k = q.float() * (scale * math.log2(math.e)), k.float().contiguous()
    # No score is larger than the product of the norms.
    large = q.norm(dim=-1).amax(dim=-1) * k.norm(dim=-1).amax(dim=-1) > BITS  # [..., heads]
    if slopes:
        slopes = slopes[0].float(), slopes[1].float().contiguous()
    total = rows.new_zeros(*rows.shape[:-1], k.shape[-2])
    for head, part in _tiles(q, k):
        factors = slopes and (slopes[0][head][part], slopes[1][head])
        weights = rows[head][:, part]
        total[head] += _tile_product(weights, q[head][part], k[head], large[head], factors)
    return total


def _tile_product(
    rows: Tensor, q: Tensor, k: Tensor, large: Tensor, slopes: tuple[Tensor, Tensor] | None
) -> Tensor:
    """Rows [r, n] times one head's matrix of queries [n, d], whose memory is then free again."""
    tile = linear(k, q)  # [N, n]
    if large:
        tile -= tile.amax(dim=0)
    tile.exp2_()
    # A sum would be split among threads, which takes longer than this one product.
    rows = rows / (k.new_ones(len(k)) @ tile)
    if slopes:
        tile *= _relu_product(slopes[1], slopes[0])
    # A product with one vector reads the tile faster than one with a matrix of one column.
    return torch.stack([tile @ row for row in rows])


def _relu_product(a: Tensor, b: Tensor) -> Tensor:
    """relu(a b^T) [..., N, n] of a [..., N, d] and b [..., n, d]."""
    return (linear(a, b) if b.ndim == 2 else a @ b.transpose(-2, -1)).clamp_min_(0)


def cls_values(recorded: AttentionTensors, layer: nn.Module) -> Tensor:
    """Contribution of every token to query 0, before the output projection: [..., N, heads * d].

    The attention-weighted value alpha_h[n] * v_h[n], heads concatenated as the projection expects.
    As large as one activation of the layer.
    """
    return weighted_values(cls_rows(recorded, layer), recorded.v)


def mean_values(recorded: AttentionTensors, layer: nn.Module, first: int = 0) -> Tensor:
    """Like `cls_values`, but the mean over the queries from `first` on."""
    rows = rows_by_head(mean_weights(recorded.q, first)[..., None, :])(recorded, layer)
    return weighted_values(rows, recorded.v)


def mean_weights(q: Tensor, first: int) -> Tensor:
    """The weights [..., N] of a mean over the queries from `first` on."""
    weights = q.new_zeros((*q.shape[:-3], q.shape[-2]), dtype=torch.float32)
    weights[..., first:] = 1.0 / (q.shape[-2] - first)
    return weights


def weighted_values(row: Tensor, v: Tensor) -> Tensor:
    """Weights [..., heads, N] times values, heads concatenated: [..., N, heads * d]."""
    return (row[..., None] * v.float()).transpose(-3, -2).flatten(-2)


def queries_and_keys(recorded: AttentionTensors, layer: nn.Module) -> Tensor:
    """Queries over keys: [2, ..., heads, N, d]; a copy, so that v's memory can be freed."""
    return torch.stack([recorded.q, recorded.k])


def queries(recorded: AttentionTensors, layer: nn.Module) -> Tensor:
    """The queries, not copied: [..., heads, N, d]."""
    return recorded.q


def keys(recorded: AttentionTensors, layer: nn.Module) -> Tensor:
    """The keys, not copied: [..., heads, N, d]."""
    return recorded.k


def values(recorded: AttentionTensors, layer: nn.Module) -> Tensor:
    """The values, not copied: [..., heads, N, d]."""
    return recorded.v


def shown(x: Tensor, layer: nn.Module) -> Tensor:
    """The recorded tensor: a block's output, or the input of a norm or of a mean."""
    return x
