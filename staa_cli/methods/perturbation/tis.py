"""TIS: tokens left out of the sequence, by masks from the model's own activations.

Transformer Input Sampling, Englebert et al. 2023 (ICCV workshops). Removed tokens are not replaced:
the model continues with fewer tokens, which is familiar to a model trained by masking. The channels
of all blocks' tokens are clustered, each by its values over the tokens; a mask keeps the half of
the tokens where a cluster's mean is largest. A token's value is the mean score of the copies that
kept it,

    sum_m score_m * kept_m[n] / sum_m kept_m[n].

Here each mask is scored together with its complement, so that all tokens are kept equally often.
Tokens before the patches always stay, and so does token 0 if the head reads it. The clusters come
from k-means, seeded by the clip.

Tokens can be left out only with joint attention; attention over time or over space alone needs the
full grid.
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
from staa_cli.methods.perturbation.base import (
    PerturbationMethod,
    PerturbedClip,
    perturbations_per_pass,
)
from staa_cli.methods.perturbation.passes import passes_at_once
from staa_cli.methods.readout import to_grid
from staa_cli.models.taps import Tap, shown, taps
from staa_cli.schema import AttentionLayout, Output

SAMPLES = 512
ROUNDS = 20
"""Maximum of k-means iterations."""


class Tis(PerturbationMethod):
    """The mean score with half of the tokens left out."""

    summary = "mean score with half of the tokens left out of the sequence, chosen by clustering"
    source = "Englebert et al. 2023, Transformer Input Sampling; complements are staa's own"
    passes_per_clip = 2.0 + SAMPLES
    supported_options = frozenset({"samples", "seed"})

    def taps(self, layout: AttentionLayout, options: Options) -> Sequence[Tap]:
        """None: each clip is read separately, so that its masks do not depend on its batch."""
        if layout.kind != "joint":
            raise UsageError(
                "tis leaves tokens out, which only joint attention over space and time allows",
                "use rise, which replaces them, or joint attention, as tiny-events-joint has it",
            )
        return ()

    def check(self, model: nn.Module, layout: AttentionLayout, options: Options) -> None:
        """Check that the model has blocks whose tokens can be read and left out.

        Raises:
            UsageError: it does not.
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
        """One pass for the masks, and two per mask.

        Raises:
            UsageError: there are too few samples for a mask.
        """
        if (samples := options.samples or SAMPLES) < 2:
            raise UsageError(f"{self.name} needs two samples at least", "use --samples 2 or more")
        return 1 + 2 * (samples // 2)

    def is_signed(self, output: Output) -> bool:
        """Raw values are relative to their mean."""
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
    block_taps = [Tap("block", block, "left", shown) for block in range(layout.depth)]
    with taps(perturbed.model, block_taps) as captured:
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
    if count > len(means):  # more masks than channels: the others are random
        random = torch.rand(count - len(means), size, generator=generator)
        means = torch.cat([means, random.to(means)])
    kept = torch.zeros(count, size, dtype=torch.bool, device=means.device)
    kept.scatter_(1, means.topk(size // 2).indices, True)
    both = torch.stack([kept, ~kept], dim=1).flatten(0, 1)
    if layout.pooling == "token":
        both[:, 0] = True
    return both


def k_means(points: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """The means [count, d] of clusters of points [M, d], by Lloyd's algorithm.

    Starts at points drawn without replacement; an empty cluster keeps its mean.
    """
    first = torch.randperm(len(points), generator=generator)[:count].to(points.device)
    means, nearest = points[first].clone(), None
    for _ in range(ROUNDS):
        assigned = torch.cdist(points, means).argmin(dim=1)
        if nearest is not None and torch.equal(assigned, nearest):
            break
        nearest = assigned
        sizes = nearest.bincount(minlength=count)
        sums = torch.zeros_like(means).index_add_(0, nearest, points)
        means = torch.where(sizes[:, None] > 0, sums / sizes.clamp_min(1)[:, None], means)
    return means


def _ask(perturbed: PerturbedClip, kept: Tensor, prefix: int) -> Tensor:
    """Scores [M] of copies with the kept patches, bool [M, n], in batches."""
    model, clip = perturbed.model, perturbed.clip[None]
    thinned = replace(perturbed, model=lambda part: _without(model, part, prefix)(clip))  # type: ignore[arg-type]
    sizes, device = kept.sum(dim=1), kept.device
    scores = torch.zeros(len(kept), device=device)
    # Half of the tokens are left out, and torch divides a pass among its threads.
    at_once = 2 * perturbations_per_pass(perturbed.grid, device) * passes_at_once(model, device)
    for size in set(sizes.tolist()):  # all copies of one pass need equally many tokens
        same_size = (sizes == size).nonzero()[:, 0]
        for batch in same_size.split(at_once):
            scores[batch] = thinned.ask(kept[batch]).float()
    perturbed.asked = thinned.asked
    return scores


class _Thinned(nn.Module):
    """A block that processes copies of one clip, each with a subset of its tokens.

    Args:
        block: it may also take a rotary table of all tokens [N, d].
        indices: of each copy's tokens, [M, K].
        first: whether its input is all tokens of the clip, [1, N, D].
    """

    def __init__(self, block: nn.Module, indices: Tensor, first: bool) -> None:
        super().__init__()
        self.block, self.indices, self.first = block, indices, first

    def forward(self, x: Tensor, *more: Any) -> Tensor:
        """Tokens [1, N, D] or [M, K, D] to [M, K, D]."""
        x = x[0, self.indices] if self.first else x
        return self.block(x, *map(self._of_copies, more))  # type: ignore[no-any-return]

    def _of_copies(self, argument: Any) -> Any:
        """The rows of a rotary table for each copy's tokens, [M, 1, K, d] for all heads."""
        if not isinstance(argument, tuple):
            return argument
        return tuple(table[self.indices][:, None] for table in argument)


def _without(model: Any, kept: Tensor, prefix: int) -> Any:
    """The same model, but from one clip [1, T, 3, H, W] to logits of copies [M, classes].

    Args:
        model: is not changed; its copy has another list of blocks.
        kept: bool [M, n] of the patches, equally many in each copy.
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
