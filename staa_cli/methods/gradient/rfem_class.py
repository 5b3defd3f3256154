"""RFEM for one class: as `rfem`, with each head's attention times its gradient.

Ayyar, Benois-Pineau and Zemmari 2025 (arXiv 2510.06070), whose class-specific variant lets the
gradient of the class's logit modulate attention and goes on as the other: here head h goes through
all layers as the product of (A_h * dy_c/dA_h)^+ + I, one row pushed down, is filtered by its own
statistics, and weighted by its peak.

That negative products are cut off, as in `grad-attention`, is staa's own reading, and so is all in
which `rfem` differs from the paper. The identity with which each product begins is left out: what a
token is of itself says nothing about it, and where the mean of tokens is read, all would have it.
"""

from __future__ import annotations

from staa_cli.methods.attention.rfem import filtered
from staa_cli.methods.base import MethodInputs, MethodOutput
from staa_cli.methods.gradient.grad_attention import GradAttention, relevance_rows
from staa_cli.methods.readout import attention_layers, to_grid


class RfemClass(GradAttention):
    """What the heads see more of than usual, for the class."""

    summary = "like rfem, with each head's attention times its gradient"
    source = "arXiv 2510.06070, with the read-out's row and positive products"

    def attribute(self, method_inputs: MethodInputs) -> MethodOutput:
        """[B, T', h, w], with as many levels as there are sets of heads that agree."""
        layout = method_inputs.layout
        layers = attention_layers(layout, self.blocks(layout, method_inputs.options))
        rows = relevance_rows(method_inputs, layers, lambda pushed: pushed)
        return MethodOutput(to_grid(filtered(rows, layout), layout), more_passes=2.0)
