"""One batch through the model, with what a method needs read on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from staa_cli.methods.base import Evidence, Method, Options
from staa_cli.models.taps import taps
from staa_cli.schema import AttentionLayout, Float32, ModelInput

Target = int | Sequence[int] | Callable[[Float32], Sequence[int]] | None
"""Class to explain: one for all clips, one a clip, chosen by the probabilities [B, classes], or
each clip's own most probable one."""


@dataclass(frozen=True, slots=True, eq=False)
class Explained:
    """What one forward pass of a batch gave."""

    probabilities: Float32
    """[B, classes]."""
    targets: tuple[int, ...]
    """[B] class that each clip was explained for."""
    values: Float32
    """[B, T', h, w] raw attribution."""
    cls_self_mass: tuple[float | None, ...]
    """[B]."""
    forward_equivalents: float
    """What each clip has cost, in forward passes, as counted."""


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
    on_asked: Callable[[int], None] = lambda count: None,
) -> Explained:
    """Normalised clips in, probabilities and attributions out.

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
        on_asked: told how many more altered copies a method has asked about.

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
        probabilities = logits.detach().float().softmax(dim=1).cpu().numpy()
        targets = _targets(target, logits, probabilities)
        evidence = Evidence(
            layout,
            options,
            captured,
            inputs,
            logits,
            targets,
            model,
            clip_indices,
            given,
            on_asked,
        )
        reading = method.attribute(evidence)
        masses = reading.cls_self_mass
        # A baseline asks the model nothing; that it was asked here is for the prediction alone.
        cost = 1.0 + reading.more_forwards if method.forward_equivalents else 0.0
        return Explained(
            probabilities=probabilities,
            targets=tuple(targets.tolist()),
            values=reading.values.detach().float().cpu().numpy(),
            cls_self_mass=tuple(masses.tolist()) if masses is not None else (None,) * len(logits),
            forward_equivalents=cost,
        )


def _targets(target: Target, logits: Tensor, probabilities: Float32) -> Tensor:
    """[B] class to explain of each clip."""
    if target is None:
        return logits.argmax(dim=1)
    chosen = target(probabilities) if callable(target) else target
    return torch.as_tensor(chosen, device=logits.device).expand(len(logits))


def collect(parts: Iterable[tuple[Sequence[int], Explained]], clips: int) -> Explained:
    """Batches, each with the numbers of its clips, as one; every number below `clips` comes once.

    What is kept of a clip goes into one block for all of them: small arrays that stay, strewn
    among the large ones that every pass frees, keep that memory from being used again, and the
    process grows with the length of the video by twenty times what it keeps.
    """
    probabilities = values = np.empty((0, 0), np.float32)
    targets = [0] * clips
    masses: list[float | None] = [None] * clips
    cost = 0.0
    for numbers, part in parts:
        if not len(values):
            probabilities = np.empty((clips, *part.probabilities.shape[1:]), np.float32)
            values = np.empty((clips, *part.values.shape[1:]), np.float32)
        probabilities[list(numbers)], values[list(numbers)] = part.probabilities, part.values
        for number, target, mass in zip(numbers, part.targets, part.cls_self_mass, strict=True):
            targets[number], masses[number] = target, mass
        cost += part.forward_equivalents * len(numbers)
    return Explained(probabilities, tuple(targets), values, tuple(masses), cost / clips)


def _fitted(layout: AttentionLayout, inputs: Tensor) -> AttentionLayout:
    """The layout with the token grid that clips [B, T, 3, H, W] of this length give."""
    return replace(layout, grid=(inputs.shape[1] // layout.tubelet, *layout.grid[1:]))


@torch.inference_mode()
def predict_batch(model: nn.Module, inputs: Tensor) -> Float32:
    """Normalised clips [B, T, 3, H, W] to probabilities [B, classes]; nothing is read."""
    return model(inputs).float().softmax(dim=1).cpu().numpy()  # type: ignore[no-any-return]
