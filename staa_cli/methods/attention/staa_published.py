"""The variant that was published with the paper, for comparison only.

It reads the last block's spatial attention: the class token's row in each frame is that frame's
map, and a frame's "temporal" score is the mean of its row. Every row, including the class token's
own share, sums to one, so that score is (1 - a_cls) / P: nearly the same for every frame.
"""

from __future__ import annotations

from collections.abc import Sequence

from staa_cli.errors import UsageError
from staa_cli.methods.base import Method, MethodInputs, MethodOutput, Options
from staa_cli.methods.readout import split_rows, to_grid
from staa_cli.models.taps import Tap, cls_row
from staa_cli.schema import AttentionLayout


class StaaPublished(Method):
    """Spatial attention of the last block."""

    summary = "reference only: last block's spatial rows, as published (time is all but flat)"
    source = "code published with arXiv 2411.00630, by its description"
    units = "share of attention within a frame"

    def taps(self, layout: AttentionLayout, options: Options) -> Sequence[Tap]:
        """The class token's spatial row of the last block."""
        if layout.kind == "joint" or layout.pooling != "cls":
            raise UsageError(
                "staa-published needs a class token in each frame; this model has none",
                "use staa",
            )
        (block,) = self.blocks(layout, options)
        return [Tap("spatial", block, "space", cls_row)]

    def blocks(self, layout: AttentionLayout, options: Options) -> tuple[int, ...]:
        """The last block, always."""
        return (layout.depth - 1,)

    def attribute(self, method_inputs: MethodInputs) -> MethodOutput:
        """S [B, T, h, w], unchanged."""
        (block,) = self.blocks(method_inputs.layout, method_inputs.options)
        rows, mass = split_rows(method_inputs.captured["space", block], method_inputs)
        values = to_grid(rows, method_inputs.layout)
        return MethodOutput(values, mass, values)
