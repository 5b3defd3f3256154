"""TIS: tokens left out of the sequence, by masks that the model's own activations suggest.

Transformer Input Sampling, Englebert et al. 2023 (ICCV workshops). Nothing is put in the place of
what is removed: the model goes on with fewer tokens, as one that was trained by masking has always
seen it. The channels of all blocks' tokens are clustered, each by its values over the tokens; the
half of the tokens where a cluster's mean is largest is kept. A token's value is the mean score of
the copies that kept it,

    sum_m score_m * kept_m[n] / sum_m kept_m[n].

Here each mask is asked about with its complement, the other half, so that every token is kept as
often as every other, and in one copy at least. Tokens before the patches always stay, and so does
token 0 where the head reads it. The clusters come from k-means with its seed drawn from the clip's.

Only where all tokens attend to each other at once can some be left out; attention over time or over
space alone needs its tokens in rows and columns.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from staa_cli.errors import UsageError
from staa_cli.methods.base import MethodInputs, Options
from staa_cli.methods.perturbation.base import PerturbationMethod, PerturbedClip
from staa_cli.methods.readout import to_grid
from staa_cli.models.taps import Tap, shown, taps
from staa_cli.schema import AttentionLayout, Output

SAMPLES = 512
ROUNDS = 20
"""Of k-means, at most."""


class Tis(PerturbationMethod):
    """The mean score of what is left when half of the tokens are gone."""

    summary = "mean score with half of the tokens gone from the sequence, halves by clustering"
    source = "Englebert et al. 2023, Transformer Input Sampling; complements are staa's own"
    passes_per_clip = 2.0 + SAMPLES
    supported_options = frozenset({"samples", "seed"})

    def taps(self, layout: AttentionLayout, options: Options) -> Sequence[Tap]:
        """Nothing: each clip is read by itself, so that clips beside it do not change its masks."""
        if layout.kind != "joint":
            raise UsageError(
                "tis leaves tokens out, which only joint attention over space and time allows",
                "use rise, which replaces them, or joint attention, as tiny-events-joint has it",
            )
        return ()

    def check(self, model: nn.Module, layout: AttentionLayout, options: Options) -> None:
        """Make sure that there are blocks whose tokens can be read, and left out.

        Raises:
            UsageError: there are not.
        """
        super().check(model, layout, options)
        layers: Any = model.attention_layers()  # type: ignore[operator]
        blocks = list(getattr(model, "blocks", []))
        if blocks != [layers.get(("block", block)) for block in range(layout.depth)]:
            raise UsageError(
                f"{self.name} needs the model's blocks, which this model does not expose",
                'a list "blocks" has them, and attention_layers() as ("block", 0) and so on',
            )

    def perturbations(self, layout: AttentionLayout, options: Options) -> int:
        """One that the masks come from, and two a mask.

        Raises:
            UsageError: that makes no mask.
        """
        if (samples := options.samples or SAMPLES) < 2:
            raise UsageError(f"{self.name} needs two samples at least", "use --samples 2 or more")
        return 1 + 2 * (samples // 2)

    def is_signed(self, output: Output) -> bool:
        """Raw values lie above their mean, or below."""
        return output == "identity"

    def clip_values(self, perturbed: PerturbedClip, method_inputs: MethodInputs) -> Tensor:
        """[T', h, w]."""
        layout, generator = method_inputs.layout, torch.Generator().manual_seed(perturbed.seed)
        masks = self.perturbations(layout, method_inputs.options) // 2
        kept = _halves(_activations(perturbed, layout), masks, generator, layout)  # [2 * masks, N]
        scores = _ask(perturbed, kept, layout.prefix_tokens)
        if perturbed.output == "identity":
            scores = scores - scores.mean()
        patches = kept.to(scores)
        values = scores @ patches / patches.sum(dim=0)
        return to_grid(values[None], layout)


@torch.inference_mode()
def _activations(perturbed: PerturbedClip, layout: AttentionLayout) -> Tensor:
    """Channels of all blocks, each with its values over the patches: [depth * D, n]."""
    wanted = [Tap("block", block, "left", shown) for block in range(layout.depth)]
    with taps(perturbed.model, wanted) as captured:
        perturbed.model(perturbed.clip[None])
    perturbed.asked += 1
    perturbed.on_perturbed(1)
    tokens = [captured["left", block][0, layout.prefix_tokens :] for block in range(layout.depth)]
    return torch.cat(tokens, dim=-1).float().T


def _halves(
    channels: Tensor, count: int, generator: torch.Generator, layout: AttentionLayout
) -> Tensor:
    """Masks of patches, each followed by its complement: bool [2 * count, n]."""
    means = k_means(channels, min(count, len(channels)), generator)
    size = channels.shape[1]
    if count > len(means):  # more masks than channels: the others are drawn
        drawn = torch.rand(count - len(means), size, generator=generator)
        means = torch.cat([means, drawn.to(means)])
    kept = torch.zeros(count, size, dtype=torch.bool, device=means.device)
    kept.scatter_(1, means.topk(size // 2).indices, True)
    both = torch.stack([kept, ~kept], dim=1).flatten(0, 1)
    if layout.pooling == "token":
        both[:, 0] = True
    return both


def k_means(points: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """The means [count, d] of clusters of points [M, d], by Lloyd's rounds.

    Begins at points that are drawn without replacement; a cluster that loses all keeps its mean.
    """
    first = torch.randperm(len(points), generator=generator)[:count].to(points.device)
    means, nearest = points[first].clone(), None
    for _ in range(ROUNDS):
        found = torch.cdist(points, means).argmin(dim=1)
        if nearest is not None and torch.equal(found, nearest):
            break
        nearest = found
        sizes = nearest.bincount(minlength=count)
        sums = torch.zeros_like(means).index_add_(0, nearest, points)
        means = torch.where(sizes[:, None] > 0, sums / sizes.clamp_min(1)[:, None], means)
    return means


def _ask(perturbed: PerturbedClip, kept: Tensor, prefix: int) -> Tensor:
    """Scores [M] of copies with the patches kept, bool [M, n], some at a time."""
    model, clip = perturbed.model, perturbed.clip[None]
    asked = replace(perturbed, model=lambda part: _without(model, part, prefix)(clip))  # type: ignore[arg-type]
    sizes = kept.sum(dim=1)
    scores = torch.zeros(len(kept), device=kept.device)
    for size in set(sizes.tolist()):  # copies of one pass have as many tokens, half of a clip's
        alike = (sizes == size).nonzero()[:, 0]
        for some in alike.split(2 * perturbed.a_pass):
            scores[some] = asked.ask(kept[some]).float()
    perturbed.asked = asked.asked
    return scores


class _Thinned(nn.Module):
    """A block of copies of one clip that each have some of its tokens.

    Args:
        block: it may be given a rotary table of all tokens [N, d] beside them.
        indices: of the tokens that each copy has, [M, K].
        first: whether it is given all tokens of the clip, [1, N, D].
    """

    def __init__(self, block: nn.Module, indices: Tensor, first: bool) -> None:
        super().__init__()
        self.block, self.indices, self.first = block, indices, first

    def forward(self, x: Tensor, *more: Any) -> Tensor:
        """Tokens [1, N, D] or [M, K, D] to [M, K, D]."""
        x = x[0, self.indices] if self.first else x
        return self.block(x, *map(self._of_copies, more))  # type: ignore[no-any-return]

    def _of_copies(self, given: Any) -> Any:
        """The table's rows of each copy's tokens, [M, 1, K, d] for all heads."""
        if not isinstance(given, tuple):
            return given
        return tuple(table[self.indices][:, None] for table in given)


def _without(model: Any, kept: Tensor, prefix: int) -> Any:
    """The same model, of one clip [1, T, 3, H, W] to logits of copies [M, classes].

    Args:
        model: stays as it is; only its list of blocks is another.
        kept: bool [M, n] of the patches, as many in each copy.
        prefix: tokens before the patches, which stay.
    """
    staying = torch.cat([kept.new_ones(len(kept), prefix), kept], dim=1)
    indices = staying.nonzero()[:, 1].reshape(len(kept), -1)  # [M, prefix + kept]
    thinned = copy.copy(model)
    thinned._modules = {**model._modules}
    thinned.blocks = nn.ModuleList(
        _Thinned(block, indices, first=index == 0) for index, block in enumerate(model.blocks)
    )
    return thinned
