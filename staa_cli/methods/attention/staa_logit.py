"""STAA for one class, signed: each token's contribution to the logit, in one forward pass.

Direct logit attribution: the tokens that the head reads receive alpha_h[n] * W_o^h v_h[n] from
token n in an attention layer, with alpha_h the row of the token that is read, or the mean of rows
if the head reads a mean. Through the final norm, with its scale in this pass, and the head's row of
class c, that is

    J_c[n] = sum_h alpha_h[n] * <w_c_eff, W_o^h v_h[n]>,   w_c_eff = centered(gamma * w_c) / sigma

What the MLPs make of it is not included. Contributions of several layers are summed; indirect
effects of an earlier layer through a later one are not. A pooler's query has neither W_o nor a norm
after it: w_c_eff is w_c. If each token is normed separately before the mean, 1 / sigma is their
mean.

Why not the contributions of the averaged tokens themselves, which add up to the logit (class
activation mapping, Zhou et al. 2016, arXiv 1512.04150)? Attention has mixed them: in a model that
was trained with labels only, they score below random maps (`averaged` in docs/methods.md).

All is linear in the class's row, so one pass serves every class: it stores each token's
contributions to all logits, or the token's output if that is smaller.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from staa_cli.methods.base import Method, MethodInputs, MethodOutput, Options
from staa_cli.methods.readout import (
    head_taps,
    normed_tokens,
    output_projection,
    output_weights,
    read_blocks,
    read_role,
    to_grid,
    value_reader,
)
from staa_cli.models.linear import linear
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
        """The weighted values by which the head's tokens read, and the norm's input."""
        values = [
            Tap(read_role(layout), block, "values", value_reader(layout))
            for block in self.blocks(layout, options)
        ]
        return [*values, *head_taps(layout)]

    def weights(self, layout: AttentionLayout, options: Options) -> Sequence[str]:
        """The head's weight and the output projections."""
        return ["head.weight", *output_weights(layout, self.blocks(layout, options))]

    def blocks(self, layout: AttentionLayout, options: Options) -> tuple[int, ...]:
        """The last block unless the user names some; a pooler's query has one."""
        return read_blocks(layout, options)

    def attribute(self, method_inputs: MethodInputs) -> MethodOutput:
        """Logit contributions to every class."""
        layout, batch = method_inputs.layout, len(method_inputs.inputs)
        rows, sigma = _head(method_inputs)  # [classes, D], [B or B*S, 1]
        few = len(rows) <= rows.shape[1]
        parts = self._written(method_inputs, rows if few else None)  # [B*S, classes or D, n]
        if sigma is not None:
            parts = parts / sigma.repeat_interleave(len(parts) // len(sigma), dim=0)[:, None]
        parts = parts.reshape(batch, -1, *parts.shape[1:]).transpose(1, 2)
        # [B, classes or D, S, n]; the head reads the mean over sequences.
        parts = to_grid(parts, layout) / parts.shape[2]  # [B, classes or D, T', h, w]
        ones = parts.new_ones(batch, *layout.grid)
        return MethodOutput(ones, parts=parts, rows=None if few else rows)

    def _written(self, method_inputs: MethodInputs, rows: Tensor | None) -> Tensor:
        """What attention writes from each patch: [B*S, D, n], or projected on `rows` [K, D]."""
        written = None
        for block in self.blocks(method_inputs.layout, method_inputs.options):
            matrix = output_projection(method_inputs, block)  # [D, heads * d]
            if rows is not None:
                matrix = rows if matrix is None else linear(rows, matrix.T)
            part = _along(method_inputs.captured["values", block], matrix)
            written = part if written is None else written + part
        assert written is not None
        return written[..., method_inputs.layout.prefix_tokens :]


def _along(tokens: Tensor, matrix: Tensor | None) -> Tensor:
    """Tokens [..., N, d] projected on the rows of a matrix [K, d], if any: [..., K, N]."""
    return (tokens if matrix is None else linear(tokens, matrix)).transpose(-2, -1)


def _head(method_inputs: MethodInputs) -> tuple[Tensor, Tensor | None]:
    """w_c_eff of every class [classes, D] without the division by sigma, and sigma in this pass.

    Sigma is [B or B*T, 1]; None without a norm.
    """
    model: Any = method_inputs.model
    rows: Tensor = model.head.weight.float()
    tokens = normed_tokens(method_inputs)  # [B or B*T, 1 or n, D]
    if tokens is None:
        return rows, None
    norm: Any = method_inputs.layer("read_out", 0)
    rows = rows * norm.weight.float()
    scale = (tokens.var(dim=-1, correction=0) + norm.eps).rsqrt().mean(dim=-1, keepdim=True)
    return rows - rows.mean(dim=-1, keepdim=True), 1 / scale
