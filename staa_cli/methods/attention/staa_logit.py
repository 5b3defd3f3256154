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

from staa_cli.methods.attention.staa_value import output_projection, output_weights
from staa_cli.methods.base import (
    Method,
    MethodInputs,
    MethodOutput,
    Options,
    read_blocks,
    read_role,
    to_grid,
)
from staa_cli.models.taps import Tap, cls_values, shown
from staa_cli.schema import AttentionLayout


class StaaLogit(Method):
    """Logit contributions of the tokens to what the head reads."""

    summary = "each token's part of the class's logit, through the last attention (not its MLP)"
    source = "direct logit attribution; arXiv 2411.00630 for the path"
    units = "logit"
    class_specific = True
    any_class = True
    signed = True
    supported_options = frozenset({"layers"})

    def taps(self, layout: AttentionLayout, options: Options) -> Sequence[Tap]:
        """What the head's token takes in the last block, or is the mean of; the norm's input."""
        norm = Tap("read_out", 0, "read_out", shown)
        if layout.pooling == "mean":
            # Of an image model each token is normed by itself, before the mean.
            return [norm] if layout.kind == "frame" else [Tap("tokens", 0, "tokens", shown), norm]
        blocks = self.blocks(layout, options)
        values = [Tap(read_role(layout), block, "values", cls_values) for block in blocks]
        return values if layout.pooling == "attentive" else [*values, norm]

    def weights(self, layout: AttentionLayout, options: Options) -> Sequence[str]:
        """The head's, and where it reads one token, those that write it."""
        return ["head.weight", *output_weights(layout, self.blocks(layout, options))]

    def blocks(self, layout: AttentionLayout, options: Options) -> tuple[int, ...]:
        """The last block unless told otherwise; a mean of tokens is made by all, and has none."""
        return () if layout.pooling == "mean" else read_blocks(layout, options)

    def attribute(self, method_inputs: MethodInputs) -> MethodOutput:
        """Logit contributions to every class."""
        layout, batch = method_inputs.layout, len(method_inputs.inputs)
        rows = class_rows(method_inputs)
        few = len(rows) <= rows.shape[1]
        parts = self._written(method_inputs, rows if few else None)  # [B or B*T, classes or D, N]
        if layout.pooling != "attentive":
            sigma = norm_scale(method_inputs)  # [B], [B*T], or [B*T, N]
            sigma = sigma.repeat_interleave(len(parts) // len(sigma), dim=0)
            parts = parts / (sigma[:, None] if sigma.ndim == 2 else sigma[:, None, None])
        if len(parts) > batch:  # frame by frame
            parts = parts.reshape(batch, layout.grid[0], -1, *layout.grid[1:]).transpose(1, 2)
            parts = parts / layout.grid[0]
        else:
            grids = to_grid(parts.flatten(0, 1), layout, batch * parts.shape[1])
            parts = grids.reshape(batch, -1, *layout.grid)
        same = parts.new_ones(batch, *layout.grid)
        return MethodOutput(same, parts=parts, rows=None if few else rows)

    def _written(self, method_inputs: MethodInputs, rows: Tensor | None) -> Tensor:
        """What each patch adds to what the head reads: [B or B*T, D, N], or along `rows` of D."""
        layout = method_inputs.layout
        if layout.pooling == "mean":
            tokens = method_inputs.captured["read_out" if layout.kind == "frame" else "tokens", 0]
            first = layout.prefix_tokens if layout.kind == "frame" else 0
            return _along(tokens[:, first:].float(), rows) / (tokens.shape[1] - first)
        written = None
        for block in self.blocks(layout, method_inputs.options):
            matrix = output_projection(method_inputs, block)
            if rows is not None:
                matrix = rows if matrix is None else rows @ matrix
            one = _along(method_inputs.captured["values", block], matrix)
            written = one if written is None else written + one
        assert written is not None  # there is a block at least
        return written[..., layout.prefix_tokens :]


def _along(tokens: Tensor, matrix: Tensor | None) -> Tensor:
    """Tokens [..., N, d] along each row of a matrix [K, d]: [..., K, N]; of none, as they are."""
    return (tokens if matrix is None else F.linear(tokens, matrix)).transpose(-2, -1)


def class_rows(method_inputs: MethodInputs) -> Tensor:
    """w_c_eff of every class but for the norm's scale: [classes, D]."""
    model: Any = method_inputs.model
    rows: Tensor = model.head.weight.float()
    if method_inputs.layout.pooling == "attentive":
        return rows
    norm: Any = method_inputs.layer("read_out", 0)
    rows = rows * norm.weight.float()
    return rows - rows.mean(dim=-1, keepdim=True)


def norm_scale(method_inputs: MethodInputs) -> Tensor:
    """Sigma of the final norm as observed in this very pass.

    [B]; [B*T] where each frame has its own read-out, and [B*T, P] where each patch has.
    """
    layout = method_inputs.layout
    norm: Any = method_inputs.layer("read_out", 0)
    token = method_inputs.captured["read_out", 0].float()  # [B or B*T, N, D], or [B, D] alone
    if layout.kind == "frame" and layout.pooling == "mean":
        token = token[:, layout.prefix_tokens :]
    elif token.ndim == 3:
        token = token[:, 0]
    sigma: Tensor = (token.var(dim=-1, correction=0) + norm.eps).sqrt()
    return sigma
