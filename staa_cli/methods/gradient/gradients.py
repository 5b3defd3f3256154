"""Shared code of gradient methods: one backward pass from the target's logit.

Autograd does not compute the gradient of an attention matrix. With the attention output o = A v,
it is exactly dy/dA = (dy/do) v^T, so that no N x N matrix has to be stored: taps recompute it from
q, k, and v in parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from staa_cli.errors import UsageError
from staa_cli.methods.base import Method, MethodInputs
from staa_cli.models.taps import AttentionTensors, slope_sums


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


def slope_row(
    tensors: AttentionTensors, gradient: Tensor, first: int | None = None, last: int | None = None
) -> Tensor:
    """Mean over heads and the queries [first, last) of relu(dA): [..., N]."""
    gradient = gradient[..., first:last, :]
    return slope_sums(gradient, tensors.v).mean(dim=-2) / gradient.shape[-2]
