"""STAA for one class: where attention looks, times what it writes towards the class.

    J_c[n] = A[n] * log(1 + exp(L_c[n] / sigma))

A is the attention path, L_c each token's part of the class's logit (`staa-logit`), where attention
writes it added up over the last blocks, sigma their standard deviation over the clip. All come out
of one forward pass. Attention alone does not know the class, and parts of a logit, which add up
what every frame says, hardly know the time; a token that both speak for is what the class was read
from. The plain product loses where a part of the actor happens to speak against the class, so what
is written only weighs what is looked at: from about nothing, where it speaks against, over 0.7,
where it says nothing, to its own size.

The path is that of `staa`: contrasted as there where time is attended apart, else the mean over the
last blocks. Where the head reads the mean of tokens that all attend to each other, it is the
`rollout` through the last blocks: what such a token says it has from others, and the rows of one
block alone do not tell from whom those had it. All chosen by faithfulness and localization on
development clips.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from staa_cli.methods.attention.rollout import Rollout
from staa_cli.methods.attention.staa import Staa, combination
from staa_cli.methods.attention.staa_logit import StaaLogit
from staa_cli.methods.base import Method, MethodInputs, MethodOutput, Options
from staa_cli.methods.readout import reads_mean, space_role
from staa_cli.models.taps import Tap
from staa_cli.schema import AttentionLayout

BLOCKS = 4
"""From the top; what is kept of each is as large as one activation of the model."""

_PATH, _ROLLOUT, _PARTS = Staa(), Rollout(), StaaLogit()


class StaaClass(Method):
    """The attention path, each token weighted by its part of the class's logit."""

    summary = "where attention looks, weighted by what it contributes to the class"
    source = "arXiv 2411.00630 for the path; the product is staa's own"
    units = "weighted attention"
    class_specific = True
    any_class = True
    supported_options = frozenset({"layers", "combine"})

    def taps(self, layout: AttentionLayout, options: Options) -> Sequence[Tap]:
        """Those of both factors; of what both read, one."""
        path = _path(layout, options).taps(layout, _of_path(layout, options))
        return list(dict.fromkeys([*path, *_PARTS.taps(layout, _last(layout, options))]))

    def weights(self, layout: AttentionLayout, options: Options) -> Sequence[str]:
        """Those by which tokens speak of a class."""
        return _PARTS.weights(layout, _last(layout, options))

    def blocks(self, layout: AttentionLayout, options: Options) -> tuple[int, ...]:
        """The last four, and those that the path contrasts, unless the user names some."""
        path = _path(layout, options).blocks(layout, _of_path(layout, options))
        return tuple(sorted({*path, *_PARTS.blocks(layout, _last(layout, options))}))

    def attribute(self, method_inputs: MethodInputs) -> MethodOutput:
        """Both factors: the path, and parts of every class's logit."""
        layout, options = method_inputs.layout, method_inputs.options
        chosen = replace(method_inputs, options=_of_path(layout, options))
        path = _path(layout, options).attribute(chosen)
        contributions = _PARTS.attribute(replace(method_inputs, options=_last(layout, options)))
        looked = path.values if path.looked is None else path.looked
        return replace(path, looked=looked, parts=contributions.parts, rows=contributions.rows)

    def weigh(self, parts: Tensor) -> Tensor:
        """Parts as a weight: each clip's softplus of them, in their standard deviations."""
        sigma = parts.std(dim=(1, 2, 3), keepdim=True).clamp_min(torch.finfo(parts.dtype).tiny)
        return F.softplus(parts / sigma)


def _path(layout: AttentionLayout, options: Options) -> Method:
    """The method whose map is weighted; where blocks are to be combined in a named way, `staa`."""
    rolled = reads_mean(layout) and space_role(layout) == "joint" and options.combine == "default"
    return _ROLLOUT if rolled else _PATH


def _last(layout: AttentionLayout, options: Options) -> Options:
    """As given, with the last blocks named where none are."""
    if options.layers != "default":
        return options
    return replace(options, layers=tuple(range(max(layout.depth - BLOCKS, 0), layout.depth)))


def _of_path(layout: AttentionLayout, options: Options) -> Options:
    """As given where blocks are contrasted, which has a choice of its own, else the last blocks."""
    return options if combination(layout, options) == "contrast" else _last(layout, options)
