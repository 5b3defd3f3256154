"""STAA for one class: where attention looks, weighted by its contribution to the class.

    J_c[n] = A[n] * log(1 + exp(L_c[n] / sigma))

A is the attention path, L_c each token's contribution to the class's logit (`staa-logit`), summed
over the last blocks that write it, and sigma the standard deviation of L_c over the clip. All come
from one forward pass. Attention alone is class-blind, and contributions to a logit, which sums over
frames, hardly localize in time; both are high for the tokens from which the class was read. The
plain product fails if a part of the actor is evidence against the class, so contributions only
weight the path: from about zero for evidence against it, over 0.7 for none, to their own size.

The path is that of `staa`: with ``contrast`` for divided attention, else the mean over the last
blocks. If the head reads the mean of tokens that all attend to each other, it is the `rollout`
through the last blocks: such a token has its content from others, and the rows of one block do not
show where those had it from. All were chosen by faithfulness and localization on development clips.
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
"""The last ones; each stores as much as one activation of the model."""

_PATH, _ROLLOUT, _PARTS = Staa(), Rollout(), StaaLogit()


class StaaClass(Method):
    """The attention path, each token weighted by its contribution to the class's logit."""

    summary = "where attention looks, weighted by what it contributes to the class"
    source = "arXiv 2411.00630 for the path; the product is staa's own"
    units = "weighted attention"
    class_specific = True
    any_class = True
    supported_options = frozenset({"layers", "combine"})

    def taps(self, layout: AttentionLayout, options: Options) -> Sequence[Tap]:
        """The taps of both factors, without duplicates."""
        path = _path(layout, options).taps(layout, _of_path(layout, options))
        return list(dict.fromkeys([*path, *_PARTS.taps(layout, _last(layout, options))]))

    def weights(self, layout: AttentionLayout, options: Options) -> Sequence[str]:
        """The parameters of the logit contributions."""
        return _PARTS.weights(layout, _last(layout, options))

    def blocks(self, layout: AttentionLayout, options: Options) -> tuple[int, ...]:
        """The last four, and those of the path, unless the user names some."""
        path = _path(layout, options).blocks(layout, _of_path(layout, options))
        return tuple(sorted({*path, *_PARTS.blocks(layout, _last(layout, options))}))

    def attribute(self, method_inputs: MethodInputs) -> MethodOutput:
        """Both factors: the path, and contributions to every class's logit."""
        layout, options = method_inputs.layout, method_inputs.options
        path_inputs = replace(method_inputs, options=_of_path(layout, options))
        path = _path(layout, options).attribute(path_inputs)
        contributions = _PARTS.attribute(replace(method_inputs, options=_last(layout, options)))
        return replace(path, parts=contributions.parts, rows=contributions.rows)

    def weigh(self, parts: Tensor) -> Tensor:
        """The softplus of the contributions, divided by their standard deviation in the clip."""
        sigma = parts.std(dim=(1, 2, 3), keepdim=True).clamp_min(torch.finfo(parts.dtype).tiny)
        return F.softplus(parts / sigma)


def _path(layout: AttentionLayout, options: Options) -> Method:
    """The method whose map is weighted; `staa` if the user names a combination of blocks."""
    rolled = reads_mean(layout) and space_role(layout) == "joint" and options.combine == "default"
    return _ROLLOUT if rolled else _PATH


def _last(layout: AttentionLayout, options: Options) -> Options:
    """The options, with the last blocks if the user names none."""
    if options.layers != "default":
        return options
    return replace(options, layers=tuple(range(max(layout.depth - BLOCKS, 0), layout.depth)))


def _of_path(layout: AttentionLayout, options: Options) -> Options:
    """The options unchanged for ``contrast``, which has its own default, else the last blocks."""
    return options if combination(layout, options) == "contrast" else _last(layout, options)
