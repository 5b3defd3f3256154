"""Shared code of gradient methods: one backward pass from the target's logit.

Autograd does not compute the gradient of an attention matrix. With the attention output o = A v,
it is exactly dy/dA = (dy/do) v^T, so that no N x N matrix has to be stored: rows are recomputed
from q and k in chunks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from staa_cli.errors import UsageError
from staa_cli.methods.base import Method, MethodInputs
from staa_cli.models.taps import AttentionTensors, attention_rows, rows_at_once


class GradientMethod(Method):
    """A method that differentiates the logit of the target class."""

    class_specific = True
    gradients = True
    passes_per_clip = 3.0


def attention_tensors(tensors: AttentionTensors, layer: nn.Module) -> Any:
    """A reader that returns a layer's tensors unchanged, in the autograd graph.

    Raises:
        UsageError: the layer does not expose enough tensors to differentiate.
    """
    if tensors.out is None or tensors.x is None:
        raise UsageError(
            "the model's attention exposes no output to differentiate",
            "let it call record(self, q, k, v, out, x), or be a TapAttention",
        )
    return tensors


def target_logit(method_inputs: MethodInputs, logits: Tensor | None = None) -> Tensor:
    """The sum of the clips' target logits: clips are independent, so one gradient serves all.

    Args:
        method_inputs: of the clips.
        logits: [B, classes]; the model's own if None.
    """
    logits = method_inputs.logits if logits is None else logits
    return logits.gather(1, method_inputs.targets[:, None]).sum()


def gradients_of(method_inputs: MethodInputs, tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Gradients of the target's logit, from one backward pass."""
    return torch.autograd.grad(target_logit(method_inputs), list(tensors))


def weighted_rows(rows: Tensor, tensors: AttentionTensors, gradient: Tensor, layer: Any) -> Tensor:
    """Rows times each head's relu(A * dA) of a layer: [..., heads, N], in chunks of queries.

    Args:
        rows: weights of the queries, [..., heads, N], or [..., 1, N] for the same in every head.
        tensors: of the layer.
        gradient: of the attention output, [..., heads, N, d].
        layer: for its scale.
    """
    total = torch.zeros_like(tensors.k[..., 0], dtype=torch.float32)
    for part in _chunks(tensors):
        relevance = attention_rows(tensors.q[..., part, :], tensors.k, layer.scale)
        relevance.mul_(_slopes(tensors, gradient, part)).clamp_min_(0)
        total += (rows[..., None, part] @ relevance)[..., 0, :]
    return total


def slope_row(
    tensors: AttentionTensors, gradient: Tensor, first: int | None = None, last: int | None = None
) -> Tensor:
    """Mean over heads and the queries [first, last) of relu(dA): [..., N], in chunks."""
    queries = range(tensors.q.shape[-2])[first:last]
    total = torch.zeros_like(tensors.k[..., 0, :, 0], dtype=torch.float32)
    for part in _chunks(tensors, queries):
        total += _slopes(tensors, gradient, part).clamp_min(0).mean(dim=-3).sum(dim=-2)
    return total / len(queries)


def _slopes(tensors: AttentionTensors, gradient: Tensor, part: slice) -> Tensor:
    """Gradients of the attention [..., heads, n, N] of some queries."""
    return gradient[..., part, :].float() @ tensors.v.detach().float().transpose(-2, -1)


def _chunks(tensors: AttentionTensors, queries: range | None = None) -> list[slice]:
    """Chunks of queries of an efficient size."""
    queries = range(tensors.q.shape[-2]) if queries is None else queries
    size = rows_at_once(tensors.q, tensors.k)
    starts = range(queries.start, queries.stop, size)
    return [slice(start, min(start + size, queries.stop)) for start in starts]
