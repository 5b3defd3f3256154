"""Reading q, k, and v where they are, while the layer runs, and keeping only what was asked for.

A tap is a reader that runs inside an attention layer's forward pass. The layer's own output comes
from the same fused kernel in the same order whether or not anybody reads, so logits do not change,
and no N x N matrix outlives the reader. Taps live in a context variable, never on the module:
nothing can be left behind, and threads do not see each other's taps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


class AttentionTensors(NamedTuple):
    """What an attention layer shows: all [..., heads, N, d] but `x`."""

    q: Tensor
    """Not yet scaled."""
    k: Tensor
    v: Tensor
    out: Tensor | None = None
    """What the queries receive, before the output projection; gradient methods need it."""
    x: Tensor | None = None
    """The layer's input [..., N, D]."""


Reader = Callable[[Any, nn.Module], Tensor]
"""(shown, layer) -> what to keep. Attention shows `AttentionTensors`, a block the tokens that it
leaves [B or B*T, N, D], the norm before the head its input [B, N, D] or [B, D]; a mean of tokens,
those [B, N, D]."""

_READERS: ContextVar[Mapping[int, Callable[..., None]] | None] = ContextVar(
    "staa_taps", default=None
)


@dataclass(frozen=True, slots=True)
class Tap:
    """A request to read one attention layer.

    Args:
        role: ``spatial``, ``temporal``, or ``joint`` attention; of a pooler, ``pooler`` for the
            query and ``pooler_self`` for the blocks before it; ``block``, what shows the tokens as
            a block leaves them; ``read_out``, the norm before the head; or ``tokens``, the mean
            that the head reads.
        block: index of the block, from 0; 0 where there is one alone.
        name: the key under which the reading is returned.
        read: what to keep.
    """

    role: str
    block: int
    name: str
    read: Reader


@contextmanager
def taps(model: nn.Module, wanted: Sequence[Tap]) -> Iterator[dict[tuple[str, int], Tensor]]:
    """Within the block, every forward pass of `model` fills a dict: (name, block) -> reading.

    Args:
        model: has ``attention_layers() -> dict[(role, block), layer]``.
        wanted: what to read.

    Raises:
        KeyError: the model has no such layer.
        RuntimeError: the block ended normally and a tap captured nothing.
    """
    layers: Mapping[tuple[str, int], nn.Module] = model.attention_layers()  # type: ignore[operator]
    captured: dict[tuple[str, int], Tensor] = {}
    by_layer: dict[int, list[tuple[Tap, nn.Module]]] = {}
    for tap in wanted:
        layer = layers[tap.role, tap.block]
        by_layer.setdefault(id(layer), []).append((tap, layer))

    def reader(entries: list[tuple[Tap, nn.Module]]) -> Callable[..., None]:
        def read(shown: AttentionTensors | Tensor) -> None:
            for tap, layer in entries:
                captured[tap.name, tap.block] = tap.read(shown, layer)

        return read

    token = _READERS.set({key: reader(entries) for key, entries in by_layer.items()})
    try:
        yield captured
    finally:
        _READERS.reset(token)
    missing = [
        f"{t.role} attention of block {t.block}"
        for t in wanted
        if (t.name, t.block) not in captured
    ]
    if missing:
        raise RuntimeError(f"no activations were captured from {', '.join(missing)}")


def record(layer: nn.Module, *shown: Tensor) -> None:
    """Show tensors of `layer` to whoever taps it; called by the layers themselves.

    Attention shows the fields of `AttentionTensors`, in their order; other layers show one tensor.
    """
    readers = _READERS.get()
    if readers is not None and id(layer) in readers:
        readers[id(layer)](AttentionTensors(*shown) if len(shown) > 1 else shown[0])


def attention_rows(q: Tensor, k: Tensor, scale: float, out: Tensor | None = None) -> Tensor:
    """Attention [..., heads, n, N] of the n queries given, in float32: softmax(q k^T * scale).

    In the memory of `out`, where that is given; not for gradients.
    """
    scores = torch.matmul(q.float() * scale, k.float().transpose(-2, -1), out=out)
    return torch.softmax(scores, dim=-1, out=out)


def rows_at_once(q: Tensor, k: Tensor) -> int:
    """How many rows of the attention of q and k [..., heads, N, d] are worth computing together.

    On a CPU, some 4 MB stay in a core's cache; more is slower (measured on VideoMAE-B). A GPU
    wants few large kernels: up to 256 MB, all clips of a batch together.
    """
    heads, columns = q.shape[-3], k.shape[-2]
    if q.device.type == "cpu":
        return max(1, (1 << 20) // (heads * columns))
    return max(1, (1 << 26) // (q.shape[:-2].numel() * columns))


def cls_row(seen: AttentionTensors, layer: nn.Module) -> Tensor:
    """Row of query 0, mean over heads: [..., N]. Costs O(N d)."""
    return cls_rows(seen, layer).mean(dim=-2)


def cls_rows(seen: AttentionTensors, layer: nn.Module) -> Tensor:
    """Row of query 0 in each head: [..., heads, N]. Costs O(N d)."""
    return attention_rows(seen.q[..., :1, :], seen.k, layer.scale)[..., 0, :]  # type: ignore[arg-type]


def full_map(seen: AttentionTensors, layer: nn.Module) -> Tensor:
    """The whole matrix, mean over heads: [..., N, N]. For short sequences only."""
    return full_maps(seen, layer).mean(dim=-3)


def full_maps(seen: AttentionTensors, layer: nn.Module) -> Tensor:
    """The whole matrix of each head: [..., heads, N, N]. For short sequences only."""
    return attention_rows(seen.q, seen.k, layer.scale)  # type: ignore[arg-type]


def mean_row(seen: AttentionTensors, layer: nn.Module, first: int = 0) -> Tensor:
    """Mean over heads and all query rows from `first` on: [..., N]. Memory is O(chunk * N)."""
    return row_product(_even(seen.q, first))(seen, layer)


def row_product(row: Tensor) -> Reader:
    """A reader of `row` [..., N] times the head-mean attention matrix: [..., N], in chunks."""

    def read(seen: AttentionTensors, layer: nn.Module) -> Tensor:
        return rows_by_head(row[..., None, :])(seen, layer).mean(dim=-2)

    return read


def rows_by_head(rows: Tensor) -> Reader:
    """A reader of `rows` times each head's own attention matrix: [..., heads, N], in chunks.

    Args:
        rows: [..., heads, N], or [..., 1, N] for the same row in every head.
    """

    def read(seen: AttentionTensors, layer: nn.Module) -> Tensor:
        q, k = seen.q, seen.k
        heads, length = q.shape[-3:-1]
        chunk = min(length, rows_at_once(q, k))
        total = rows.new_zeros(*rows.shape[:-2], heads, k.shape[-2])
        # New memory for every chunk would cost as much as the arithmetic.
        memory = total.new_empty(*q.shape[:-2], chunk, k.shape[-2])
        for start in range(0, length, chunk):
            some = q[..., start : start + chunk, :]
            part = attention_rows(some, k, layer.scale, out=memory[..., : some.shape[-2], :])  # type: ignore[arg-type]
            total += (rows[..., None, start : start + chunk] @ part)[..., 0, :]
        return total

    return read


def cls_values(seen: AttentionTensors, layer: nn.Module) -> Tensor:
    """What query 0 takes from every token, before the output projection: [..., N, heads * d].

    The attention-weighted value alpha_h[n] * v_h[n], heads side by side as the projection wants
    them. As large as one activation of the layer.
    """
    return _moved(cls_rows(seen, layer), seen.v)


def mean_values(seen: AttentionTensors, layer: nn.Module, first: int = 0) -> Tensor:
    """What the queries from `first` on take from every token, their mean: as `cls_values`."""
    return _moved(rows_by_head(_even(seen.q, first)[..., None, :])(seen, layer), seen.v)


def _even(q: Tensor, first: int) -> Tensor:
    """The weights [..., N] of a mean over the queries from `first` on."""
    weights = q.new_zeros((*q.shape[:-3], q.shape[-2]), dtype=torch.float32)
    weights[..., first:] = 1.0 / (q.shape[-2] - first)
    return weights


def _moved(row: Tensor, v: Tensor) -> Tensor:
    """Weights [..., heads, N] times values, heads side by side: [..., N, heads * d]."""
    return (row[..., None] * v.float()).transpose(-3, -2).flatten(-2)


def queries_and_keys(seen: AttentionTensors, layer: nn.Module) -> Tensor:
    """Queries over keys: [2, ..., heads, N, d]; a copy, so that v's memory is let go."""
    return torch.stack([seen.q, seen.k])


def shown(x: Tensor, layer: nn.Module) -> Tensor:
    """The tensor as it was shown: what a block leaves, or the input of a norm or of the mean."""
    return x
