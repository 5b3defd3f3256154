"""RFEM for one class: as `rfem`, with each head's attention times its gradient.

Ayyar, Benois-Pineau and Zemmari 2025 (arXiv 2510.06070), whose class-specific variant modulates
attention by the gradient of the class's logit: for head h, the row of the product of
(A_h * dy_c/dA_h)^+ + I over all layers is filtered by its own statistics and weighted by its peak.

That negative products are set to zero, as in `grad-attention`, is staa's own interpretation, as are
the differences of `rfem` from the paper. The initial identity of each product is left out: a
token's relevance to itself is uninformative, and if the mean of tokens is read, all would have it.
"""

from __future__ import annotations

from staa_cli.methods.attention.rfem import filtered
from staa_cli.methods.base import MethodInputs, MethodOutput
from staa_cli.methods.gradient.grad_attention import GradAttention, relevance_rows
from staa_cli.methods.readout import attention_layers, to_grid


class RfemClass(GradAttention):
    """Tokens to which heads attend more than usual, for the class."""

    summary = "like rfem, with each head's attention times its gradient"
    source = "arXiv 2510.06070, for the read-out's row and positive products"

    def attribute(self, method_inputs: MethodInputs) -> MethodOutput:
        """[B, T', h, w], with one level for each set of heads that agree."""
        layout = method_inputs.layout
        layers = attention_layers(layout, self.blocks(layout, method_inputs.options))
        rows = relevance_rows(method_inputs, layers, lambda product: product)
        return MethodOutput(to_grid(filtered(rows, layout), layout), more_passes=2.0)
