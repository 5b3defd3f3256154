"""One forward pass of a batch, with the tensors that a method needs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from staa_cli.methods.base import Method, MethodInputs, MethodOutput, Options
from staa_cli.models.heads import scores_of
from staa_cli.models.taps import taps
from staa_cli.schema import AttentionLayout, Float32, ModelInput, Output
from staa_cli.statistics import space_variation, variation

Target = int | Sequence[int] | Callable[[Float32], Sequence[int]] | None
"""Class to explain: one for all clips, one per clip, a function of the scores [B, classes], or None
for each clip's most probable class."""


@dataclass(frozen=True, slots=True, eq=False)
class Explained:
    """The result of one pass over a batch."""

    scores: Float32
    """[B, classes] probabilities, or raw values."""
    targets: tuple[int, ...]
    """[B] explained class of each clip."""
    values: Float32
    """[B, T', h, w] raw attribution."""
    cls_self_mass: tuple[float | None, ...]
    """[B]."""
    space_variation: tuple[float | None, ...]
    """[B] of attention, within frames; None for methods that do not read it."""
    attention_variation: tuple[float | None, ...]
    """[B] of attention, over all tokens; None for methods that do not read it."""
    passes_per_clip: float
    """Counted cost of each clip in forward passes; a backward pass counts as two."""
    reading: MethodOutput | None = None
    """The output that serves every class, if there is one and `keep` was set."""

    def of(self, clips: slice) -> Explained:
        """The result for a part of the batch."""
        return Explained(
            self.scores[clips],
            self.targets[clips],
            self.values[clips],
            self.cls_self_mass[clips],
            self.space_variation[clips],
            self.attention_variation[clips],
            self.passes_per_clip,
            None if self.reading is None else self.reading.of(clips),
        )


def explain_batch(
    model: nn.Module,
    layout: AttentionLayout,
    inputs: Tensor,
    method: Method,
    options: Options,
    *,
    target: Target = None,
    clip_indices: Sequence[int] = (),
    given: ModelInput | None = None,
    on_perturbed: Callable[[int], None] = lambda count: None,
    output: Output = "softmax",
    keep: bool = False,
    first_pass: AbstractContextManager[None] | None = None,
) -> Explained:
    """Compute class scores and attributions of normalized clips.

    One forward pass, from which the method reads; some methods differentiate it or add more.

    Args:
        model: float [B, T, 3, H, W] to logits [B, classes].
        layout: how it attends; the clips' length may differ from its grid.
        inputs: [B, T, 3, H, W], on the model's device and in its precision.
        method: how to attribute.
        options: of the method.
        target: class to explain.
        clip_indices: [B] numbers of the clips in their video.
        given: the model's input format; methods that replace by black need it.
        on_perturbed: called with the number of perturbed copies passed since the last call.
        output: what the model's logits mean.
        keep: also return the output for maps of other classes, if one pass serves all.
        first_pass: active during the pass of the unaltered clips only.

    Raises:
        UsageError: the method does not fit the model.
    """
    layout = _fitted(layout, inputs)
    method.check(model, layout, options)
    with torch.inference_mode(not method.gradients):
        if method.gradients:
            inputs = inputs.detach().requires_grad_()
        with first_pass or nullcontext(), taps(model, method.taps(layout, options)) as captured:
            logits: Tensor = model(inputs)
        scores = scores_of(logits.detach(), output).cpu().numpy()
        targets = _targets(target, logits, scores)
        method_inputs = MethodInputs(
            layout,
            options,
            captured,
            inputs,
            logits,
            targets,
            model,
            clip_indices,
            given,
            on_perturbed,
            output,
        )
        reading = method.attribute(method_inputs)
        values = method.for_class(reading, targets)
        masses = reading.cls_self_mass
        # A baseline does not use the model; this pass is for the prediction only.
        cost = 1.0 + reading.more_passes if method.passes_per_clip else 0.0
        return Explained(
            scores=scores,
            targets=tuple(targets.tolist()),
            values=values.detach().float().cpu().numpy(),
            cls_self_mass=tuple(masses.tolist()) if masses is not None else (None,) * len(logits),
            space_variation=_variations(space_variation, reading.looked, len(logits)),
            attention_variation=_variations(variation, reading.looked, len(logits)),
            passes_per_clip=cost,
            reading=reading if keep and reading.serves_all else None,
        )


def _variations(
    measure: Callable[[Float32], float], looked: Tensor | None, clips: int
) -> tuple[float | None, ...]:
    if looked is None:
        return (None,) * clips
    return tuple(map(measure, looked.detach().float().cpu().numpy()))


def _targets(target: Target, logits: Tensor, scores: Float32) -> Tensor:
    """[B] class to explain for each clip."""
    if target is None:
        return logits.argmax(dim=1)
    chosen = target(scores) if callable(target) else target
    return torch.as_tensor(chosen, device=logits.device).expand(len(logits))


def collect(parts: Iterable[tuple[Sequence[int], Explained]], clips: int) -> Explained:
    """Merge batches, each with its clip numbers; every number below `clips` occurs once.

    Results go into one array for all clips: small arrays scattered among the large ones that every
    pass frees would fragment memory, and the process would grow with the length of the video by
    twenty times the size of the results.
    """
    scores = values = np.empty((0, 0), np.float32)
    targets = [0] * clips
    masses: list[float | None] = [None] * clips
    variations: list[tuple[float | None, float | None]] = [(None, None)] * clips
    passes = 0.0
    for numbers, part in parts:
        if not len(values):
            scores = np.empty((clips, *part.scores.shape[1:]), np.float32)
            values = np.empty((clips, *part.values.shape[1:]), np.float32)
        scores[list(numbers)], values[list(numbers)] = part.scores, part.values
        both = zip(part.space_variation, part.attention_variation, strict=True)
        of_clips = zip(part.targets, part.cls_self_mass, both, strict=True)
        for number, (target, mass, of_clip) in zip(numbers, of_clips, strict=True):
            targets[number], masses[number], variations[number] = target, mass, of_clip
        passes += part.passes_per_clip * len(numbers)
    in_space, over_all = zip(*variations, strict=True)
    gathered = (tuple(targets), values, tuple(masses), in_space, over_all)
    return Explained(scores, *gathered, passes / clips)


def _fitted(layout: AttentionLayout, inputs: Tensor) -> AttentionLayout:
    """The layout with the token grid of clips [B, T, 3, H, W] of this length."""
    return replace(layout, grid=(inputs.shape[1] // layout.tubelet, *layout.grid[1:]))


@torch.inference_mode()
def predict_batch(model: nn.Module, inputs: Tensor, output: Output = "softmax") -> Float32:
    """Normalized clips [B, T, 3, H, W] to scores [B, classes]; nothing is recorded."""
    return scores_of(model(inputs), output).cpu().numpy()
