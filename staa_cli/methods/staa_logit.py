"""STAA for one class, signed: what the last attention layer writes, as a part of the logit.

Direct logit attribution. The class token receives alpha_h[n] * W_o^h v_h[n] from token n; through
the final norm at the scale observed in this very pass, and the head's row of class c, that is

    J_c[n] = sum_h alpha_h[n] * <w_c_eff, W_o^h v_h[n]>,   w_c_eff = centred(gamma * w_c) / sigma

The last MLP comes after this layer and is not seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn

from staa_cli.errors import UsageError
from staa_cli.methods.base import (
    Evidence,
    Method,
    Options,
    Reading,
    register,
    require_class_token,
    space_role,
    to_grid,
)
from staa_cli.methods.staa_value import class_token_projection
from staa_cli.models.taps import Tap, cls_values, shown
from staa_cli.schema import AttentionLayout


@register("staa-logit")
class StaaLogit(Method):
    """Logit contributions of the tokens through the last attention layer."""

    summary = "each token's part of the class's logit, through the last attention (not its MLP)"
    source = "direct logit attribution; arXiv 2411.00630 for the path"
    units = "logit"
    class_specific = True
    signed = True

    def taps(self, layout: AttentionLayout, options: Options) -> Sequence[Tap]:
        """What the class token takes in the last block, and the final norm's input."""
        require_class_token(layout, "staa-logit")
        if layout.kind == "space":
            raise UsageError(
                "staa-logit needs one class token for a whole clip; this model has one a frame",
                "use --method staa",
            )
        (block,) = self.blocks(layout, options)
        return [
            Tap(space_role(layout), block, "values", cls_values),
            Tap("read_out", 0, "read_out", shown),
        ]

    def blocks(self, layout: AttentionLayout, options: Options) -> tuple[int, ...]:
        """The last block, always: what earlier ones write is read again by later ones."""
        return (layout.depth - 1,)

    def attribute(self, evidence: Evidence) -> Reading:
        """Logit contributions [B, T', h, w]."""
        layout, batch = evidence.layout, len(evidence.inputs)
        (block,) = self.blocks(layout, evidence.options)
        values = evidence.captured["values", block]  # [B*T or B, N, heads*d]
        values = values.reshape(batch, -1, *values.shape[1:])  # [B, T or 1, N, heads*d]
        projection = class_token_projection(evidence.model, layout, block)
        direction = class_direction(evidence) @ projection  # [B, heads*d]
        parts = (values @ direction[:, None, :, None])[..., 0]  # [B, T or 1, N]
        if layout.kind == "joint":
            return Reading(to_grid(parts[:, 0, layout.prefix_tokens :], layout, batch))
        return Reading(parts[..., 1:].reshape(batch, *layout.grid) / layout.grid[0])


def class_direction(evidence: Evidence) -> Tensor:
    """w_c_eff [B, D]: the head's row of each clip's target through the final norm as observed."""
    norm, head = cast(nn.LayerNorm, evidence.model.norm), cast(nn.Linear, evidence.model.head)
    weights = head.weight[evidence.targets].float() * norm.weight.float()  # [B, D]
    token = evidence.captured["read_out", 0][:, 0].float()  # [B, D]
    sigma = (token.var(dim=-1, correction=0) + norm.eps).sqrt()
    return (weights - weights.mean(dim=-1, keepdim=True)) / sigma[:, None]
