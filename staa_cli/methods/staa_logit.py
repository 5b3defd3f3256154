"""STAA for one class, signed: each token's part of the logit, in one forward pass.

Direct logit attribution. Where one token reads the others, it receives alpha_h[n] * W_o^h v_h[n]
from token n in the last attention layer; through the final norm at the scale observed in this very
pass, and the head's row of class c, that is

    J_c[n] = sum_h alpha_h[n] * <w_c_eff, W_o^h v_h[n]>,   w_c_eff = centred(gamma * w_c) / sigma

The last MLP comes after this layer and is not seen. Of several layers the parts are added up; what
a later one reads again of what an earlier one wrote is not followed. A pooler's query has neither
W_o nor a norm after it: w_c_eff is w_c. Where the head reads the mean of all tokens x[n], each has
its own part,

    J_c[n] = <w_c_eff, x[n]> / N,

and all parts and the biases are the logit: class activation mapping (Zhou et al. 2016, arXiv
1512.04150) through a norm. An image model that pools by the mean norms each token by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from staa_cli.methods.base import (
    Evidence,
    Method,
    Options,
    Reading,
    read_blocks,
    read_role,
    register,
    to_grid,
)
from staa_cli.methods.staa_value import output_projection, output_weights
from staa_cli.models.taps import Tap, cls_values, shown
from staa_cli.schema import AttentionLayout


@register("staa-logit")
class StaaLogit(Method):
    """Logit contributions of the tokens to what the head reads."""

    summary = "each token's part of the class's logit, through the last attention (not its MLP)"
    source = "direct logit attribution; arXiv 2411.00630 for the path"
    units = "logit"
    class_specific = True
    signed = True
    heeds = frozenset({"layers"})

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

    def attribute(self, evidence: Evidence) -> Reading:
        """Logit contributions [B, T', h, w]."""
        layout, batch = evidence.layout, len(evidence.inputs)
        direction = class_direction(evidence)  # [B, D]; of frames [B*T, D], or [B*T, P, D]
        if layout.kind == "frame" and layout.pooling == "mean":
            tokens = evidence.captured["read_out", 0].float()[:, layout.prefix_tokens :]
            parts = (tokens * direction).sum(dim=2) / tokens.shape[1]  # [B*T, P]
            return Reading(parts.reshape(batch, *layout.grid) / layout.grid[0])
        if layout.pooling == "mean":
            tokens = evidence.captured["tokens", 0].float()  # [B, N, D]
            return Reading(
                to_grid((tokens @ direction[:, :, None])[..., 0] / tokens.shape[1], layout, batch)
            )
        blocks = self.blocks(layout, evidence.options)
        parts = torch.stack([_parts(evidence, block, direction) for block in blocks]).sum(dim=0)
        if layout.kind == "joint":
            return Reading(to_grid(parts, layout, batch))
        return Reading(parts.reshape(batch, *layout.grid) / layout.grid[0])


def _parts(evidence: Evidence, block: int, direction: Tensor) -> Tensor:
    """What one block's attention writes from each patch along `direction` [B, D] or [B*T, D].

    [B*T or B, N].
    """
    projection = output_projection(evidence, block)
    if projection is not None:
        direction = direction @ projection  # [B or B*T, heads*d]
    values = evidence.captured["values", block]  # [B*T or B, N, heads*d]
    direction = direction.repeat_interleave(len(values) // len(direction), dim=0)
    found: Tensor = (values @ direction[:, :, None])[:, evidence.layout.prefix_tokens :, 0]
    return found


def class_direction(evidence: Evidence) -> Tensor:
    """w_c_eff: the head's row of each clip's target through the final norm as observed.

    [B, D]; [B*T, D] where each frame has its own read-out, and [B*T, P, D] where each patch has.
    """
    model: Any = evidence.model
    layout = evidence.layout
    row: Tensor = model.head.weight[evidence.targets].float()  # [B, D]
    if layout.pooling == "attentive":
        return row
    norm: Any = evidence.layer("read_out", 0)
    token = evidence.captured["read_out", 0].float()  # [B or B*T, N, D], or [B, D] alone
    weights = row.repeat_interleave(len(token) // len(row), dim=0) * norm.weight.float()
    if layout.kind == "frame" and layout.pooling == "mean":
        token, weights = token[:, layout.prefix_tokens :], weights[:, None]
    elif token.ndim == 3:
        token = token[:, 0]
    sigma: Tensor = (token.var(dim=-1, correction=0) + norm.eps).sqrt()
    direction: Tensor = (weights - weights.mean(dim=-1, keepdim=True)) / sigma[..., None]
    return direction
