"""Asking a model about perturbed copies of a clip: what is removed, and what stands in its place.

Features are tokens, or groups of them: cells of the token grid over some frames. Copies are
made on the model's device, some at a time, so that memory does not grow with their number.
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
from staa_cli.models.heads import scores_of
from staa_cli.schema import ModelInput, Output

REPLACEMENTS = ("blur", "mean", "black", "noise")
BLUR = 1 / 16
"""Standard deviation of the blur, as a part of the picture's shorter side."""
TOKENS_A_PASS = 1 << 13
"""Tokens that copies in one pass may have together on a CPU; more of them are slower there, since
new memory for every layer's output costs as much as the arithmetic."""
ON_GPU = 8
"""Times as many on another device, which a few copies would not fill."""


def replacement_for(
    clips: Tensor,
    replacement: str,
    given: ModelInput | None = None,
    seeds: Sequence[int] = (),
) -> Tensor:
    """What replaces removed parts of normalized clips [B, T, 3, H, W]; same shape and units.

    ``blur`` is the clip's mean over time, blurred: no motion and no detail is left. ``mean`` is
    each clip's mean color, ``black`` is black. ``noise`` is Gaussian, every pixel for itself, with
    the mean and the standard deviation of each of the clip's channels.

    Args:
        clips: [B, T, 3, H, W].
        replacement: its name.
        given: what the model is fed; `black` needs it.
        seeds: of what is drawn, one a clip; `noise` needs them.

    Raises:
        UsageError: there is no such replacement, or black cannot be known.
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
        drawn = [
            torch.randn(clip.shape, generator=torch.Generator().manual_seed(seed))
            for clip, seed in zip(clips, seeds, strict=True)
        ]
        mean, std = (each(clips, dim=(1, 3, 4), keepdim=True) for each in (torch.mean, torch.std))
        return mean + std * torch.stack(drawn).to(clips)
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
        kernel: side of the window in pixels; odd, and its half below the shorter side.
        sigma: standard deviation in pixels.
    """
    half, channels = kernel // 2, pictures.shape[1]
    away = torch.linspace(-half, half, kernel, dtype=pictures.dtype, device=pictures.device)
    weights = torch.exp(-0.5 * (away / sigma) ** 2)
    weights = weights / weights.sum()
    window = torch.outer(weights, weights).expand(channels, 1, kernel, kernel)
    padded = F.pad(pictures, [half] * 4, mode="reflect")
    return F.conv2d(padded, window, groups=channels)


def draw_seed(seed: int, number: int) -> int:
    """The seed of what is drawn at random about one clip.

    Another for each clip, or intervals over clips would not see what the draw has done.
    """
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])


def draw_seeds(method_inputs: MethodInputs) -> list[int]:
    """`draw_seed` of every clip of a batch."""
    numbers = method_inputs.clip_indices or range(len(method_inputs.inputs))
    return [draw_seed(method_inputs.options.seed, number) for number in numbers]


def perturbations_per_pass(grid: tuple[int, int, int], device: torch.device) -> int:
    """How many copies of a clip of (T', h, w) tokens go into one pass."""
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
    """Which feature each token belongs to, int64 [T', h, w], with at most so many a side."""
    numbers = torch.zeros(grid, dtype=torch.int64)
    for axis, (length, limit) in enumerate(zip(grid, most, strict=True)):
        cell = -(-length // limit)
        place = torch.arange(length) // cell
        shape = [1, 1, 1]
        shape[axis] = length
        numbers = numbers * int(place[-1] + 1) + place.reshape(shape)
    return numbers


def feature_count(numbers: Tensor) -> int:
    """How many features `features` has found."""
    return int(numbers.max()) + 1


@dataclass
class PerturbedClip:
    """One clip of a batch, to be asked about in perturbed copies; counts how often it was.

    Args:
        model: [M, T, 3, H, W] to logits [M, classes].
        clip: [T, 3, H, W].
        replacement: what stands where something is removed, [T, 3, H, W].
        grid: (T', h, w).
        target: the class whose score is asked for.
        seed: of what is drawn at random about the clip.
        on_perturbed: told how many more copies have been asked about.
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
    """PerturbedClip that fit into memory; fewer than it began with where they did not."""
    known: dict[str, Any] = field(default_factory=dict)
    """What has been found out about the clip and need not be asked again."""

    @classmethod
    def of(cls, method_inputs: MethodInputs, index: int) -> PerturbedClip:
        """Those of one clip of a batch."""
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
    def a_pass(self) -> int:
        """PerturbedClip in one pass."""
        return perturbations_per_pass(self.grid, self.clip.device)

    def under(self, replacement: str) -> PerturbedClip:
        """The same clip with a replacement of that name, but for `black`; itself where it has it.

        Raises:
            UsageError: there is no such replacement.
        """
        key = f"under {replacement}"
        if key not in self.known:
            there = replacement_for(self.clip[None], replacement, seeds=[self.seed])[0]
            same = torch.equal(there, self.replacement)
            self.known[key] = self if same else replace(self, replacement=there, known={})
        return self.known[key]  # type: ignore[no-any-return]

    def ask(self, clips: Tensor) -> Tensor:
        """Score of the class in copies [M, T, 3, H, W]: [M].

        In one pass; where that does not fit into memory, in passes of half as many.
        """
        return self._ask(len(clips), lambda part: clips[part])

    def keep(self, kept: Tensor) -> Tensor:
        """Score of the class where 1 of tokens [M, T', h, w] is kept and 0 removed: [M]."""
        kept = kept.to(self.clip.device, self.clip.dtype)

        def altered(part: slice) -> Tensor:
            return torch.lerp(self.replacement, self.clip, over_pixels(kept[part], self.clip))

        return self._ask(len(kept), altered, self.a_pass)

    def ends(self) -> tuple[Tensor, Tensor]:
        """Scores [1] of the class in the whole clip and where all is removed; asked once."""
        if "ends" not in self.known:
            kept = torch.ones(2, *self.grid)
            kept[1] = 0
            self.known["ends"] = self.keep(kept)
        found: Tensor = self.known["ends"]
        return found[:1], found[1:]

    @torch.inference_mode()
    def _ask(self, count: int, make: Callable[[slice], Tensor], most: int = 1 << 30) -> Tensor:
        """Scores [M] of copies that are made as they are asked about: they need memory too."""
        found: list[Tensor] = []
        done = 0
        while done < count:
            part = slice(done, min(count, done + min(most, self.at_once)))
            size = part.stop - part.start
            try:
                logits: Tensor = self.model(make(part))
            except (RuntimeError, MemoryError) as error:
                if size == 1 or not ran_out_of_memory(error):
                    raise
                self.at_once = size // 2
                continue
            found.append(scores_of(logits, self.output)[:, self.target])
            done = part.stop
            self.asked += size
            self.on_perturbed(size)
        return torch.cat(found) if found else self.clip.new_empty(0)


class PerturbationMethod(Method):
    """A method that asks about perturbed copies, of one clip after the other."""

    units = "probability"
    class_specific = True

    def clip_values(self, perturbed: PerturbedClip, method_inputs: MethodInputs) -> Tensor:
        """One clip's attribution, [T', h, w]."""
        raise NotImplementedError

    def attribute(self, method_inputs: MethodInputs) -> MethodOutput:
        """[B, T', h, w], with the passes that it took as they were counted."""
        each = [
            PerturbedClip.of(method_inputs, index) for index in range(len(method_inputs.inputs))
        ]
        values = torch.stack([self.clip_values(perturbed, method_inputs) for perturbed in each])
        return MethodOutput(
            values, more_passes=sum(perturbed.asked for perturbed in each) / len(each)
        )
