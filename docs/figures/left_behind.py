"""Is the area that an object has just left evidence? Prints a Markdown table.

    python docs/figures/left_behind.py [--clips N] [--seed N]

An actor that hops or shakes leaves its resting position. The table has the attribution on the actor
and on the area that it left, and the probability of the class when that area is blurred, or when a
copy of the actor is shown there or, as a control, elsewhere. The clips are held out; parentheses
contain 95 % bootstrap intervals over them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
import torch
import typer

from staa_cli import explain_clip, load_model
from staa_cli.evaluation.localization import coverage
from staa_cli.formatting import with_interval
from staa_cli.methods.perturbation.base import over_pixels, replacement_for
from staa_cli.models.load import LoadedModel
from staa_cli.schema import Bool, UInt8
from staa_cli.statistics import bootstrap
from staa_cli.synthetic.events import (
    FRAMES,
    INTERVAL_S,
    LABELS,
    SIZE_PX,
    Scene,
    clip_seed,
    make_scene,
    render,
)

MODELS = ("tiny-events", "tiny-events-joint")
LEAVING = ("hop", "shake")
"""Events that move the actor away from its resting position."""
TRIES = 400


@dataclass(frozen=True, slots=True, eq=False)
class Leaving:
    """A clip in which the actor moves away, and the same clip without the event."""

    frames: UInt8
    """[T, H, W, 3]."""
    mask: Bool
    """[T, H, W] position of the actor."""
    rest: UInt8
    """[T, H, W, 3] without the event."""
    rest_mask: Bool
    """[T, H, W] position of the actor without the event."""
    event: Bool
    """[T] frames of the event."""

    @property
    def left(self) -> Bool:
        """[T, H, W] area that the actor has left."""
        return self.rest_mask & ~self.mask & self.event[:, None, None]

    def with_copy(self, shift: tuple[int, int] = (0, 0)) -> UInt8:
        """The frames with a shifted copy (down, right) of the resting actor during the event."""
        frames = self.frames.copy()
        for n in np.flatnonzero(self.event):
            rows, columns = np.nonzero(self.rest_mask[n])
            free = ~self.mask[n][rows + shift[0], columns + shift[1]]
            rows, columns = rows[free], columns[free]
            frames[n][rows + shift[0], columns + shift[1]] = self.rest[n][rows, columns]
        return frames

    def shift_elsewhere(self, rng: np.random.Generator) -> tuple[int, int] | None:
        """A shift of the resting actor within the picture that does not overlap its motion."""
        swept = (self.mask | self.rest_mask).any(axis=0)
        rows, columns = np.nonzero(self.rest_mask.any(axis=0))
        if not len(rows):
            return None
        height, width = swept.shape
        for _ in range(TRIES):
            down = int(rng.integers(-rows.min(), height - rows.max()))
            right = int(rng.integers(-columns.min(), width - columns.max()))
            if not swept[rows + down, columns + right].any():
                return down, right
        return None


def leaving(scene: Scene, times_s: np.ndarray, scale_px: float) -> Leaving:
    """Both clips of a scene at times [T], with `scale_px` pixels per unit."""
    later = scene.duration_s + 1
    rest, rest_mask = render(replace(scene, event=(later, later + 1)), times_s, scale_px)
    frames, mask = render(scene, times_s, scale_px)
    event = (times_s >= scene.event[0]) & (times_s <= scene.event[1])
    return Leaving(frames, mask, rest, rest_mask, event)


def main(
    clips: Annotated[int, typer.Option(help="Held-out clips of each class.")] = 64,
    seed: Annotated[int, typer.Option(help="Seed of the clips.")] = 6,
) -> None:
    """Print the table."""
    print(f"{clips} held-out clips of each (seed {seed}), those classified correctly.\n")
    print(
        "| model, class | clips | attribution on the actor | on the ground it left "
        "| probability | that ground blurred | the actor shown there | shown elsewhere |"
    )
    print(f"{'|---' * 8}|")
    for name in MODELS:
        model = load_model(name)
        for label in LEAVING:
            rows = list(_measured(model, LABELS.index(label), clips, seed))
            means = [bootstrap(column) for column in zip(*rows, strict=True)]
            cells = [with_interval(m.mean, m.low, m.high, "softmax") for m in means]
            print(f"| `{name}`, {label} | {len(rows)} | {' | '.join(cells)} |")


def _measured(model: LoadedModel, label: int, clips: int, seed: int) -> Iterator[tuple[float, ...]]:
    """For each clip, two shares of the event's attribution, and four probabilities."""
    for index in range(clips):
        number = clip_seed("test", seed, index * len(LABELS) + label)
        rng = np.random.default_rng([number, 0x1EF7])
        times_s = rng.uniform(0.0, INTERVAL_S) + INTERVAL_S * np.arange(FRAMES)
        clip = leaving(make_scene(number, label=label), times_s, SIZE_PX)
        shift = clip.shift_elsewhere(rng)
        inputs = model.preprocess(clip.frames)
        explanation = explain_clip(model, inputs, target=label)
        scores = explanation.prediction.scores
        if shift is None or not clip.left.any() or scores.argmax() != label:
            continue
        values = explanation.attribution.values
        actor = (coverage(clip.mask, values.shape) > 0) & clip.event[:, None, None]
        left = (coverage(clip.left, values.shape) > 0) & ~actor
        total = values[clip.event].sum()
        covered = over_pixels(torch.from_numpy(left)[None].float(), inputs[0]) > 0
        blurred = torch.where(covered, replacement_for(inputs, "blur"), inputs)
        variants = (blurred, clip.with_copy(), clip.with_copy(shift))
        changed = [explain_clip(model, variant).prediction.scores[label] for variant in variants]
        yield values[actor].sum() / total, values[left].sum() / total, scores[label], *changed


if __name__ == "__main__":
    typer.run(main)
