"""LeGrad: the gradient of every layer's own logit by that layer's attention.

Bousselham et al. 2024 (arXiv 2404.03214). The output tokens of block l, through the pooling, the
last norm, and the head, give the logit s_l; the map is

    1/L * sum_l mean over heads and queries of relu(ds_l / dA_l),

of the attention over space, or over all tokens, by which the pooled token reads. If one token is
pooled, only its row has a gradient, and it is the map; the paper's mean over all rows is the same
up to a factor.

The path from s_l to A_l lies within block l: each of these gradients passes one block's MLP. All
together cost less than one backward pass.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from staa_cli.methods.base import MethodInputs, MethodOutput, Options
from staa_cli.methods.gradient.gradients import (
    GradientMethod,
    attention_tensors,
    slope_row,
    target_logit,
)
from staa_cli.methods.readout import (
    head_taps,
    logits_of_tokens,
    read_blocks,
    read_queries,
    read_role,
    split_rows,
    to_grid,
)
from staa_cli.models.taps import AttentionTensors, Tap, shown
from staa_cli.schema import AttentionLayout


class LeGrad(GradientMethod):
    """How much each layer's logit of the class would rise with more attention to a token."""

    summary = "gradient of every block's own logit by that block's attention, mean over blocks"
    source = "arXiv 2404.03214, section 3"
    units = "logit per attention"
    supported_options = frozenset({"layers"})

    def taps(self, layout: AttentionLayout, options: Options) -> Sequence[Tap]:
        """The attention by which the pooled token reads, and the output tokens of its block."""
        taps, blocks = [*head_taps(layout)], self.blocks(layout, options)
        for block in blocks:
            taps.append(Tap(read_role(layout), block, "read", attention_tensors))
            if not _pooled_once(layout):
                taps.append(Tap("block", block, "left", shown))
        return taps

    def weights(self, layout: AttentionLayout, options: Options) -> Sequence[str]:
        """The head's weight, which is applied to every block's tokens."""
        return [] if _pooled_once(layout) else ["head.weight"]

    def blocks(self, layout: AttentionLayout, options: Options) -> tuple[int, ...]:
        """All blocks unless the user names some; a pooler's query has one."""
        return read_blocks(layout, options, range(layout.depth))

    def attribute(self, method_inputs: MethodInputs) -> MethodOutput:
        """[B, T', h, w]."""
        layout = method_inputs.layout
        blocks = self.blocks(layout, method_inputs.options)
        rows = torch.stack([_row(method_inputs, block) for block in blocks]).mean(dim=0)
        row, _ = split_rows(rows, method_inputs)  # [B, S, n]
        return MethodOutput(to_grid(row, layout), more_passes=2.0)


def _row(method_inputs: MethodInputs, block: int) -> Tensor:
    """Mean over heads and queries of relu(ds_l / dA_l), [B*S, prefix + n]."""
    layout = method_inputs.layout
    tensors: AttentionTensors = method_inputs.captured["read", block]  # type: ignore[assignment]
    assert tensors.out is not None  # checked by its reader
    logits = None
    if not _pooled_once(layout):
        logits = logits_of_tokens(method_inputs.captured["left", block], method_inputs)
    (gradient,) = torch.autograd.grad(target_logit(method_inputs, logits), [tensors.out])
    with torch.no_grad():
        return slope_row(tensors, gradient, *read_queries(layout))


def _pooled_once(layout: AttentionLayout) -> bool:
    """Whether a pooler reads, which is expensive and therefore used on the last block only."""
    return read_role(layout) == "pooler"
