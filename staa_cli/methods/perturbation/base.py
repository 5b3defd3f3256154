"""Scoring perturbed copies of a clip with the model: removal of features, and replacements.

Features are tokens or groups of tokens: cells of the token grid over some frames. Copies are made
on the model's device in batches, so that memory does not grow with their number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from staa_cli.errors import UsageError
from staa_cli.memory import ran_out_of_memory
from staa_cli.methods.base import Method, MethodInputs, MethodOutput
from staa_cli.methods.perturbation.passes import passes_at_once, side_by_side
from staa_cli.models.heads import scores_of
from staa_cli.schema import ModelInput, Output

REPLACEMENTS = ("blur", "mean", "black", "noise")
BLUR = 1 / 16
"""Standard deviation of the blur, as a share of the picture's shorter side."""
TOKENS_A_PASS = 1 << 12
"""Maximum of tokens in one pass on a CPU; more are slower there, since new memory for every layer's
output costs as much as the arithmetic."""
TURNS = 8
"""Passes of each thread for one question."""
ON_GPU = 16
"""Factor for other devices, which a few copies would not fill."""


def replacement_for(
    clips: Tensor,
    replacement: str,
    given: ModelInput | None = None,
    seeds: Sequence[int] = (),
) -> Tensor:
    """The replacement of removed parts of normalized clips [B, T, 3, H, W]; same shape and units.

    ``blur`` is the clip's mean over time, blurred: no motion and no detail is left. ``mean`` is
    each clip's mean color, ``black`` is black. ``noise`` is Gaussian, independent for every pixel,
    with the mean and the standard deviation of each of the clip's channels.

    Args:
        clips: [B, T, 3, H, W].
        replacement: its name.
        given: the model's input format; `black` needs it.
        seeds: one per clip; `noise` needs them.

    Raises:
        UsageError: there is no such replacement, or black is unknown.
    """
    if replacement == "mean":
        return clips.mean(dim=(1, 3, 4), keepdim=True).expand_as(clips)
    if replacement == "black":
        if given is None:
            raise UsageError("black is defined only for models with a known input normalization")
        black = [
            (given.offset - mean) / std for mean, std in zip(given.mean, given.std, strict=True)
        ]
        return clips.new_tensor(black)[:, None, None].expand_as(clips)
    if replacement == "noise":
        noise = [
            torch.randn(clip.shape, generator=torch.Generator().manual_seed(seed))
            for clip, seed in zip(clips, seeds, strict=True)
        ]
        mean, std = (f(clips, dim=(1, 3, 4), keepdim=True) for f in (torch.mean, torch.std))
        return mean + std * torch.stack(noise).to(clips)
    if replacement != "blur":
        raise UsageError(
            f"unknown replacement {replacement!r}", f"available: {', '.join(REPLACEMENTS)}"
        )
    sigma = BLUR * min(clips.shape[-2:])
    still = clips.mean(dim=1)  # [B, 3, H, W]
    kernel = 2 * min(round(3 * sigma), min(clips.shape[-2:]) - 1) + 1
    return gaussian_blur(still, kernel, sigma)[:, None].expand_as(clips)


def gaussian_blur(pictures: Tensor, kernel: int, sigma: float) -> Tensor:
    """Pictures [B, C, H, W] blurred, mirrored at their borders, as torchvision does it.

    Args:
        pictures: float.
        kernel: side of the window in pixels; odd, and half of it is below the shorter side.
        sigma: standard deviation in pixels.
    """
    half, channels = kernel // 2, pictures.shape[1]
    offsets = torch.linspace(-half, half, kernel, dtype=pictures.dtype, device=pictures.device)
    weights = torch.exp(-0.5 * (offsets / sigma) ** 2)
    weights = weights / weights.sum()
    window = torch.outer(weights, weights).expand(channels, 1, kernel, kernel)
    padded = F.pad(pictures, [half] * 4, mode="reflect")
    return F.conv2d(padded, window, groups=channels)


def draw_seed(seed: int, number: int) -> int:
    """The seed of the random draws for one clip.

    It differs between clips, so that intervals over clips include the variation of the draws.
    """
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])


def draw_seeds(method_inputs: MethodInputs) -> list[int]:
    """`draw_seed` for every clip of a batch."""
    numbers = method_inputs.clip_indices or range(len(method_inputs.inputs))
    return [draw_seed(method_inputs.options.seed, number) for number in numbers]


def perturbations_per_pass(grid: tuple[int, int, int], device: torch.device) -> int:
    """Number of copies of a clip of (T', h, w) tokens in one pass."""
    tokens = TOKENS_A_PASS if device.type == "cpu" else TOKENS_A_PASS * ON_GPU
    return max(1, tokens // torch.Size(grid).numel())


def over_pixels(values: Tensor, clip: Tensor) -> Tensor:
    """Values of tokens [M, T', h, w] to those of pixels [M, T, 1, H, W] of a clip [T, 3, H, W]."""
    frames, _, height, width = clip.shape
    return F.interpolate(values[:, None], (frames, height, width), mode="nearest").transpose(1, 2)


def over_tokens(pixels: Tensor, grid: tuple[int, int, int]) -> Tensor:
    """Values of pixels [B, T, H, W] to their sums over tokens [B, T', h, w]."""
    size = [length // cells for length, cells in zip(pixels.shape[1:], grid, strict=True)]
    mean = F.avg_pool3d(pixels[:, None].float(), size, size)[:, 0]
    return mean * (size[0] * size[1] * size[2])


def feature_mask(grid: tuple[int, int, int], most: tuple[int, int, int]) -> Tensor:
    """The feature number of each token, int64 [T', h, w], with at most `most` along each side."""
    numbers = torch.zeros(grid, dtype=torch.int64)
    for axis, (length, limit) in enumerate(zip(grid, most, strict=True)):
        cell = -(-length // limit)
        position = torch.arange(length) // cell
        shape = [1, 1, 1]
        shape[axis] = length
        numbers = numbers * int(position[-1] + 1) + position.reshape(shape)
    return numbers


def feature_count(numbers: Tensor) -> int:
    """Number of features in a `feature_mask`."""
    return int(numbers.max()) + 1


@dataclass
class PerturbedClip:
    """One clip of a batch, whose perturbed copies are scored and counted.

    Args:
        model: [M, T, 3, H, W] to logits [M, classes].
        clip: [T, 3, H, W].
        replacement: of removed parts, [T, 3, H, W].
        grid: (T', h, w).
        target: the class whose score is returned.
        seed: of the random draws for the clip.
        on_perturbed: called with the number of copies that were passed since the last call.
        output: what the model's logits mean, so that scores are probabilities or raw values.
    """

    model: nn.Module
    clip: Tensor
    replacement: Tensor
    grid: tuple[int, int, int]
    target: int
    seed: int = 0
    on_perturbed: Callable[[int], None] = lambda count: None
    output: Output = "softmax"
    asked: int = 0
    at_once: int = 1 << 30
    """Maximum of copies per pass; lowered when a pass runs out of memory."""
    known: dict[str, Any] = field(default_factory=dict)
    """Cached results for the clip."""

    @classmethod
    def of(cls, method_inputs: MethodInputs, index: int) -> PerturbedClip:
        """The clip with this index in a batch."""
        clips = method_inputs.inputs[index : index + 1].detach()
        seed = draw_seeds(method_inputs)[index]
        return cls(
            model=method_inputs.model,
            clip=clips[0],
            replacement=replacement_for(
                clips, method_inputs.options.replacement, method_inputs.given, [seed]
            )[0],
            grid=method_inputs.layout.grid,
            target=int(method_inputs.targets[index]),
            seed=seed,
            on_perturbed=method_inputs.on_perturbed,
            output=method_inputs.output,
        )

    @property
    def together(self) -> int:
        """Number of copies to ask about together: those of several passes that run side by side.

        Passes of one question share their threads, which have to warm up.
        """
        device = self.clip.device
        passes = passes_at_once(self.model, device)
        return perturbations_per_pass(self.grid, device) * (passes * TURNS if passes > 1 else 1)

    def under(self, replacement: str) -> PerturbedClip:
        """The same clip with another replacement, except `black`; itself if they are equal.

        Raises:
            UsageError: there is no such replacement.
        """
        key = f"under {replacement}"
        if key not in self.known:
            pixels = replacement_for(self.clip[None], replacement, seeds=[self.seed])[0]
            same = torch.equal(pixels, self.replacement)
            self.known[key] = self if same else replace(self, replacement=pixels, known={})
        return self.known[key]  # type: ignore[no-any-return]

    def ask(self, clips: Tensor) -> Tensor:
        """Score of the class in copies [M, T, 3, H, W]: [M].

        In one pass or, if it does not fit into memory, in passes of half the size.
        """
        return self._ask(len(clips), lambda part: clips[part], len(clips))

    def keep(self, kept: Tensor) -> Tensor:
        """Score of the class with tokens [M, T', h, w] kept (1) or removed (0): [M].

        On a CPU, several passes run side by side.
        """
        kept = kept.to(self.clip.device, self.clip.dtype)

        def altered(part: slice) -> Tensor:
            return torch.lerp(self.replacement, self.clip, over_pixels(kept[part], self.clip))

        device = self.clip.device
        most = perturbations_per_pass(self.grid, device)
        return self._ask(len(kept), altered, most, passes_at_once(self.model, device))

    def ends(self) -> tuple[Tensor, Tensor]:
        """Scores [1] of the class in the whole clip and with all tokens removed; cached."""
        if "ends" not in self.known:
            kept = torch.ones(2, *self.grid)
            kept[1] = 0
            self.known["ends"] = self.keep(kept)
        scores: Tensor = self.known["ends"]
        return scores[:1], scores[1:]

    def _ask(
        self, count: int, make: Callable[[slice], Tensor], most: int, passes: int = 1
    ) -> Tensor:
        """Scores [M] of copies, at most so many per pass, which are made there to save memory."""

        @torch.inference_mode()
        def a_pass(part: slice) -> Tensor:
            return scores_of(self.model(make(part)), self.output)[:, self.target]

        scores: list[Tensor] = []
        done = 0
        while done < count:
            size = min(most, self.at_once, count - done)
            parts = [slice(n, min(count, n + size)) for n in range(done, count, size)]
            try:
                for part, found in zip(parts, side_by_side(a_pass, parts, passes), strict=True):
                    scores.append(found)
                    done = part.stop
                    self.asked += len(found)
                    self.on_perturbed(len(found))
            except (RuntimeError, MemoryError) as error:
                if size == 1 or not ran_out_of_memory(error):
                    raise
                self.at_once = size // 2
        return torch.cat(scores) if scores else self.clip.new_empty(0)


class PerturbationMethod(Method):
    """A method that scores perturbed copies, one clip after the other."""

    units = "probability"
    class_specific = True

    def clip_values(self, perturbed: PerturbedClip, method_inputs: MethodInputs) -> Tensor:
        """One clip's attribution, [T', h, w]."""
        raise NotImplementedError

    def attribute(self, method_inputs: MethodInputs) -> MethodOutput:
        """[B, T', h, w], with the counted passes."""
        clips = [
            PerturbedClip.of(method_inputs, index) for index in range(len(method_inputs.inputs))
        ]
        values = torch.stack([self.clip_values(perturbed, method_inputs) for perturbed in clips])
        passes = sum(perturbed.asked for perturbed in clips) / len(clips)
        return MethodOutput(values, more_passes=passes)
