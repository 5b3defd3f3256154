"""STAA for one class, signed: each token's contribution to the logit, in one forward pass.

Direct logit attribution. If one token reads the others, it receives alpha_h[n] * W_o^h v_h[n] from
token n in the last attention layer; through the final norm, with its scale in this pass, and the
head's row of class c, that is

    J_c[n] = sum_h alpha_h[n] * <w_c_eff, W_o^h v_h[n]>,   w_c_eff = centered(gamma * w_c) / sigma

The last MLP comes after this layer and is not included. Contributions of several layers are summed;
indirect effects of an earlier layer through a later one are not. A pooler's query has neither W_o
nor a norm after it: w_c_eff is w_c. If the head reads the mean of all tokens x[n], each contributes

    J_c[n] = <w_c_eff, x[n]> / N,

and the contributions and the biases sum to the logit: class activation mapping (Zhou et al. 2016,
arXiv 1512.04150) through a norm. An image model that pools by the mean norms each token separately.

All is linear in the class's row, so one pass serves every class: it stores each token's
contributions to all logits, or the token's output if that is smaller.
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
        """The head's token's weighted values or averaged tokens, and the norm's input."""
        values = [
            Tap(read_role(layout), block, "values", value_reader(layout))
            for block in self.blocks(layout, options)
        ]
        return [*values, *head_taps(layout)]

    def weights(self, layout: AttentionLayout, options: Options) -> Sequence[str]:
        """The head's weight and, if it reads one token, the output projections."""
        return ["head.weight", *output_weights(layout, self.blocks(layout, options))]

    def blocks(self, layout: AttentionLayout, options: Options) -> tuple[int, ...]:
        """The last block unless the user names some; none if the head reads the mean of tokens."""
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
        # [B, classes or D, S, n]; the head reads the mean over sequences.
        parts = to_grid(parts, layout) / parts.shape[2]  # [B, classes or D, T', h, w]
        ones = parts.new_ones(batch, *layout.grid)
        return MethodOutput(ones, parts=parts, rows=None if few else rows)

    def _written(self, method_inputs: MethodInputs, rows: Tensor | None) -> Tensor:
        """Each patch's contribution to the head's input: [B*S, D, n], or projected on `rows`."""
        layout = method_inputs.layout
        if reads_mean(layout):
            tokens = mean_tokens(method_inputs)  # [B*S, n, D]
            return _along(tokens, rows) / tokens.shape[1]
        return written_by_attention(method_inputs, self.blocks(layout, method_inputs.options), rows)


def written_by_attention(
    method_inputs: MethodInputs, blocks: Sequence[int], rows: Tensor | None
) -> Tensor:
    """What attention writes from each patch to the tokens that the head reads, summed over blocks.

    Args:
        method_inputs: captured the weighted values of these blocks.
        blocks: at least one.
        rows: directions [K, D] to project on, if any.

    Returns:
        [B*S, D or K, n].
    """
    written = None
    for block in blocks:
        matrix = output_projection(method_inputs, block)  # [D, heads * d]
        if rows is not None:
            matrix = rows if matrix is None else rows @ matrix
        part = _along(method_inputs.captured["values", block], matrix)
        written = part if written is None else written + part
    assert written is not None
    return written[..., method_inputs.layout.prefix_tokens :]


def _along(tokens: Tensor, matrix: Tensor | None) -> Tensor:
    """Tokens [..., N, d] projected on the rows of a matrix [K, d], if any: [..., K, N]."""
    return (tokens if matrix is None else F.linear(tokens, matrix)).transpose(-2, -1)


def _head(method_inputs: MethodInputs) -> tuple[Tensor, Tensor | None]:
    """w_c_eff of every class [classes, D] without the division by sigma, and sigma in this pass.

    Sigma is [B or B*T, 1], or [B*T, n] if each token is normed separately; None without a norm.
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
