"""One batch through the model, with what a method needs read on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from staa_cli.methods.base import Method, MethodInputs, MethodOutput, Options
from staa_cli.models.heads import scores_of
from staa_cli.models.taps import taps
from staa_cli.schema import AttentionLayout, Float32, ModelInput, Output
from staa_cli.statistics import space_variation

Target = int | Sequence[int] | Callable[[Float32], Sequence[int]] | None
"""Class to explain: one for all clips, one a clip, chosen by the scores [B, classes], or each
clip's own of the highest score."""


@dataclass(frozen=True, slots=True, eq=False)
class Explained:
    """What one pass over a batch gave."""

    scores: Float32
    """[B, classes] probabilities, or raw values."""
    targets: tuple[int, ...]
    """[B] class that each clip was explained for."""
    values: Float32
    """[B, T', h, w] raw attribution."""
    cls_self_mass: tuple[float | None, ...]
    """[B]."""
    space_variation: tuple[float | None, ...]
    """[B] of attention over space, where the values are more than that."""
    passes_per_clip: float
    """What each clip has cost, in forward passes, as counted; a backward pass counts as two."""
    reading: MethodOutput | None = None
    """What serves every class, where it was to be kept and there is such a thing."""


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
) -> Explained:
    """Compute class scores and attributions of normalized clips.

    One forward pass, which the method reads; some methods differentiate it or ask for more.

    Args:
        model: float [B, T, 3, H, W] to logits [B, classes].
        layout: how it attends; clips may be of another length than its grid.
        inputs: [B, T, 3, H, W], on the model's device and in its precision.
        method: how to attribute.
        options: of the method.
        target: class to explain.
        clip_indices: [B] numbers of the clips in their video.
        given: what the model expects to be fed; methods that remove by black need it.
        on_perturbed: told how many more perturbed copies a method has asked about.
        output: what the model's logits mean.
        keep: also what a map of any other class needs, where one pass serves them all.

    Raises:
        UsageError: the method does not fit the model.
    """
    layout = _fitted(layout, inputs)
    method.check(model, layout, options)
    with torch.inference_mode(not method.gradients):
        if method.gradients:
            inputs = inputs.detach().requires_grad_()
        with taps(model, method.taps(layout, options)) as captured:
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
        # A baseline asks the model nothing; that it was asked here is for the prediction alone.
        cost = 1.0 + reading.more_passes if method.passes_per_clip else 0.0
        return Explained(
            scores=scores,
            targets=tuple(targets.tolist()),
            values=values.detach().float().cpu().numpy(),
            cls_self_mass=tuple(masses.tolist()) if masses is not None else (None,) * len(logits),
            space_variation=_variations(reading.looked, len(logits)),
            passes_per_clip=cost,
            reading=reading if keep and reading.serves_all else None,
        )


def _variations(looked: Tensor | None, clips: int) -> tuple[float | None, ...]:
    if looked is None:
        return (None,) * clips
    return tuple(map(space_variation, looked.detach().float().cpu().numpy()))


def _targets(target: Target, logits: Tensor, scores: Float32) -> Tensor:
    """[B] class to explain of each clip."""
    if target is None:
        return logits.argmax(dim=1)
    chosen = target(scores) if callable(target) else target
    return torch.as_tensor(chosen, device=logits.device).expand(len(logits))


def collect(parts: Iterable[tuple[Sequence[int], Explained]], clips: int) -> Explained:
    """Batches, each with the numbers of its clips, as one; every number below `clips` comes once.

    What is kept of a clip goes into one block for all of them: small arrays that stay, strewn
    among the large ones that every pass frees, keep that memory from being used again, and the
    process grows with the length of the video by twenty times what it keeps.
    """
    scores = values = np.empty((0, 0), np.float32)
    targets = [0] * clips
    masses: list[float | None] = [None] * clips
    variations: list[float | None] = [None] * clips
    passes = 0.0
    for numbers, part in parts:
        if not len(values):
            scores = np.empty((clips, *part.scores.shape[1:]), np.float32)
            values = np.empty((clips, *part.values.shape[1:]), np.float32)
        scores[list(numbers)], values[list(numbers)] = part.scores, part.values
        of_clips = zip(part.targets, part.cls_self_mass, part.space_variation, strict=True)
        for number, (target, mass, variation) in zip(numbers, of_clips, strict=True):
            targets[number], masses[number], variations[number] = target, mass, variation
        passes += part.passes_per_clip * len(numbers)
    gathered = (tuple(targets), values, tuple(masses), tuple(variations))
    return Explained(scores, *gathered, passes / clips)


def _fitted(layout: AttentionLayout, inputs: Tensor) -> AttentionLayout:
    """The layout with the token grid that clips [B, T, 3, H, W] of this length give."""
    return replace(layout, grid=(inputs.shape[1] // layout.tubelet, *layout.grid[1:]))


@torch.inference_mode()
def predict_batch(model: nn.Module, inputs: Tensor, output: Output = "softmax") -> Float32:
    """Normalized clips [B, T, 3, H, W] to scores [B, classes]; nothing is read."""
    return scores_of(model(inputs), output).cpu().numpy()
