"""STAA for one class, signed: each token's part of the logit, in one forward pass.

Direct logit attribution. Where one token reads the others, it receives alpha_h[n] * W_o^h v_h[n]
from token n in the last attention layer; through the final norm at the scale observed in this very
pass, and the head's row of class c, that is

    J_c[n] = sum_h alpha_h[n] * <w_c_eff, W_o^h v_h[n]>,   w_c_eff = centered(gamma * w_c) / sigma

The last MLP comes after this layer and is not seen. Of several layers the parts are added up; what
a later one reads again of what an earlier one wrote is not followed. A pooler's query has neither
W_o nor a norm after it: w_c_eff is w_c. Where the head reads the mean of all tokens x[n], each has
its own part,

    J_c[n] = <w_c_eff, x[n]> / N,

and all parts and the biases are the logit: class activation mapping (Zhou et al. 2016, arXiv
1512.04150) through a norm. An image model that pools by the mean norms each token by itself.

All is linear in the class's row, so one pass serves every class: what is kept of it is each token's
part of all logits, or what the token writes, where that is less.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from staa_cli.methods.base import Method, MethodInputs, MethodOutput, Options
from staa_cli.methods.readout import (
    head_taps,
    mean_tokens,
    normed_tokens,
    output_projection,
    output_weights,
    read_blocks,
    read_role,
    reads_mean,
    to_grid,
    value_reader,
)
from staa_cli.models.taps import Tap
from staa_cli.schema import AttentionLayout


class StaaLogit(Method):
    """Logit contributions of the tokens to what the head reads."""

    summary = (
        "each token's contribution to the class logit through the last attention (without its MLP)"
    )
    source = "direct logit attribution; arXiv 2411.00630 for the path"
    units = "logit"
    class_specific = True
    any_class = True
    signed = True
    supported_options = frozenset({"layers"})

    def taps(self, layout: AttentionLayout, options: Options) -> Sequence[Tap]:
        """What the head's token takes in the last block, or is the mean of; the norm's input."""
        values = [
            Tap(read_role(layout), block, "values", value_reader(layout))
            for block in self.blocks(layout, options)
        ]
        return [*values, *head_taps(layout)]

    def weights(self, layout: AttentionLayout, options: Options) -> Sequence[str]:
        """The head's, and where it reads one token, those that write it."""
        return ["head.weight", *output_weights(layout, self.blocks(layout, options))]

    def blocks(self, layout: AttentionLayout, options: Options) -> tuple[int, ...]:
        """The last block unless the user names some; none where all make the mean of tokens."""
        return () if reads_mean(layout) else read_blocks(layout, options)

    def attribute(self, method_inputs: MethodInputs) -> MethodOutput:
        """Logit contributions to every class."""
        layout, batch = method_inputs.layout, len(method_inputs.inputs)
        rows, sigma = _head(method_inputs)  # [classes, D], [B or B*S, 1 or n]
        few = len(rows) <= rows.shape[1]
        parts = self._written(method_inputs, rows if few else None)  # [B*S, classes or D, n]
        if sigma is not None:
            parts = parts / sigma.repeat_interleave(len(parts) // len(sigma), dim=0)[:, None]
        parts = parts.reshape(batch, -1, *parts.shape[1:]).transpose(1, 2)
        # [B, classes or D, S, n], of which the head reads the mean over sequences.
        parts = to_grid(parts, layout) / parts.shape[2]  # [B, classes or D, T', h, w]
        same = parts.new_ones(batch, *layout.grid)
        return MethodOutput(same, parts=parts, rows=None if few else rows)

    def _written(self, method_inputs: MethodInputs, rows: Tensor | None) -> Tensor:
        """What each patch adds to what the head reads: [B*S, D, n], or along `rows` of D."""
        layout = method_inputs.layout
        if reads_mean(layout):
            tokens = mean_tokens(method_inputs)  # [B*S, n, D]
            return _along(tokens, rows) / tokens.shape[1]
        written = None
        for block in self.blocks(layout, method_inputs.options):
            matrix = output_projection(method_inputs, block)  # [D, heads * d]
            if rows is not None:
                matrix = rows if matrix is None else rows @ matrix
            part = _along(method_inputs.captured["values", block], matrix)
            written = part if written is None else written + part
        assert written is not None  # there is a block at least
        return written[..., layout.prefix_tokens :]


def _along(tokens: Tensor, matrix: Tensor | None) -> Tensor:
    """Tokens [..., N, d] along each row of a matrix [K, d]: [..., K, N]; of none, as they are."""
    return (tokens if matrix is None else F.linear(tokens, matrix)).transpose(-2, -1)


def _head(method_inputs: MethodInputs) -> tuple[Tensor, Tensor | None]:
    """w_c_eff of every class [classes, D] but for sigma, and sigma as observed in this very pass.

    Sigma is [B or B*T, 1], or [B*T, n] where each token is normed by itself; None without a norm.
    """
    model: Any = method_inputs.model
    rows: Tensor = model.head.weight.float()
    tokens = normed_tokens(method_inputs)  # [B or B*T, 1 or n, D]
    if tokens is None:
        return rows, None
    norm: Any = method_inputs.layer("read_out", 0)
    rows = rows * norm.weight.float()
    sigma = (tokens.var(dim=-1, correction=0) + norm.eps).sqrt()
    return rows - rows.mean(dim=-1, keepdim=True), sigma
