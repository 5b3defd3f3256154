"""STAA for one class: where and when attention looks, at the places that count for the class.

    J_c[t, p] = A[t, p] * w_c[p],   w_c[p] = sum_t L_c+[t, p] / mean_q sum_t L_c+[t, q]

A is the attention path: with divided attention that of `staa`, which contrasts a position's times,
else the `rollout` through the last blocks. L_c+ is each token's contribution to the class's logit
(`staa-logit`, summed over the last blocks) where it is positive. All come from one forward pass.

Attention alone is class-blind. Contributions alone mislead about time: when a logit is read,
attention has carried what happened to tokens of other frames, and in a model that was trained with
labels only, those of frames at rest often contribute more than those of the event. So contributions
are summed over time and only weight places; the path tells when. Where they are equal, or none is
positive, the path is left as it is. The rule was chosen on models that were trained with labels
only, each left out once (docs/methods.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from staa_cli.methods.attention.rollout import Rollout
from staa_cli.methods.attention.staa import Staa, combination
from staa_cli.methods.attention.staa_logit import StaaLogit
from staa_cli.methods.base import Method, MethodInputs, MethodOutput, Options
from staa_cli.methods.readout import (
    attends_over_time,
    attention_layers,
    frame_taps,
    head_taps,
    reads_mean,
)
from staa_cli.models.taps import (
    AttentionTensors,
    Tap,
    keys,
    mean_weights,
    queries,
    several_rows,
    values,
    weighted_values,
)
from staa_cli.schema import AttentionLayout

BLOCKS = 4
"""The last ones; each stores as much as one activation of the model."""


class RolloutFromMean(Rollout):
    """The rollout from a mean of tokens; beside it, what attention writes from each to that mean.

    Both weigh the rows of the same attention matrix, which is computed only once.
    """

    def __init__(self) -> None:
        self.written: dict[tuple[str, int], Tensor] = {}
        """What `StaaLogit` reads, after `attribute`."""

    def taps(self, layout: AttentionLayout, options: Options) -> Sequence[Tap]:
        """Queries, keys, and values of every layer."""
        return [
            *frame_taps(layout),
            *(
                Tap(role, block, read.__name__, read)
                for role, block in attention_layers(layout, self.blocks(layout, options))
                for read in (queries, keys, values)
            ),
        ]

    def step(self, method_inputs: MethodInputs, rows: Tensor, role: str, block: int) -> Tensor:
        """Rows [B, S, N] of a layer's outputs to rows of its inputs."""
        q, k, v = (method_inputs.captured[read.__name__, block] for read in (queries, keys, values))
        mean = mean_weights(q, method_inputs.layout.prefix_tokens)  # [B*S, N]
        read = several_rows(torch.stack([rows.flatten(0, 1), mean], dim=1)[:, None])
        both = read(AttentionTensors(q, k, v), method_inputs.layer(role, block))
        pushed, of_mean = both.unbind(dim=2)  # each [B*S, heads, N]
        self.written["values", block] = weighted_values(of_mean, v)
        return self.identity * rows + (1 - self.identity) * pushed.mean(dim=1).view_as(rows)


_PATH, _ROLLOUT, _PARTS = Staa(), Rollout(), StaaLogit()


class StaaClass(Method):
    """The attention path, each place weighted by its contribution to the class's logit."""

    summary = "where and when attention looks, places weighted by their part in the class"
    source = "arXiv 2411.00630 and 2005.00928 for the path; the product is staa's own"
    units = "weighted attention"
    class_specific = True
    any_class = True
    supported_options = frozenset({"layers", "combine"})

    def taps(self, layout: AttentionLayout, options: Options) -> Sequence[Tap]:
        """The taps of both factors, without duplicates."""
        path = _path(layout, options)
        shared = isinstance(path, RolloutFromMean)
        parts = head_taps(layout) if shared else _PARTS.taps(layout, _last(layout, options))
        return list(dict.fromkeys([*path.taps(layout, _of_path(layout, options)), *parts]))

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
        path, captured = _path(layout, options), method_inputs.captured
        found = path.attribute(replace(method_inputs, options=_of_path(layout, options)))
        if isinstance(path, RolloutFromMean):
            captured = {**captured, **path.written}
        contributions = _PARTS.attribute(
            replace(method_inputs, captured=captured, options=_last(layout, options))
        )
        return replace(found, parts=contributions.parts, rows=contributions.rows)

    def weigh(self, parts: Tensor) -> Tensor:
        """Each place's evidence for the class, relative to that of the clip's mean place.

        One everywhere in a clip without evidence.
        """
        evidence = parts.clamp_min(0).sum(dim=1, keepdim=True)  # [B, 1, h, w]
        mean = evidence.mean(dim=(2, 3), keepdim=True)
        return torch.where(mean > 0, evidence / mean, 1.0)


def _path(layout: AttentionLayout, options: Options) -> Method:
    """The method whose map is weighted; `staa` if the user names a combination of blocks."""
    if attends_over_time(layout) or options.combine != "default":
        return _PATH
    return RolloutFromMean() if reads_mean(layout) else _ROLLOUT


def _last(layout: AttentionLayout, options: Options) -> Options:
    """The options, with the last blocks if the user names none."""
    if options.layers != "default":
        return options
    return replace(options, layers=tuple(range(max(layout.depth - BLOCKS, 0), layout.depth)))


def _of_path(layout: AttentionLayout, options: Options) -> Options:
    """The options unchanged for ``contrast``, which has its own default, else the last blocks."""
    return options if combination(layout, options) == "contrast" else _last(layout, options)
