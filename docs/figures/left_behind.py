"""Is the ground that something has just left evidence? Prints a Markdown table.

    python docs/figures/left_behind.py [--clips N] [--seed N]

An actor that hops or shakes leaves its place. Attribution lies on it and on the ground that it has
left; beside that stands what the class becomes once the actor is shown there, too, in those frames,
or, as a control, somewhere else. Held-out clips; brackets are 95 % bootstrap intervals over them.
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
"""Events that take the actor away from its place."""
TRIES = 400


@dataclass(frozen=True, slots=True, eq=False)
class Leaving:
    """A clip with an actor that leaves its place, and the same one in which it stays there."""

    frames: UInt8
    """[T, H, W, 3]."""
    mask: Bool
    """[T, H, W] where the actor is."""
    rest: UInt8
    """[T, H, W, 3] as it would be without the event."""
    rest_mask: Bool
    """[T, H, W] where the actor would be."""
    event: Bool
    """[T] frames of the event."""

    @property
    def left(self) -> Bool:
        """[T, H, W] the ground that the actor has left."""
        return self.rest_mask & ~self.mask & self.event[:, None, None]

    def with_copy(self, shift: tuple[int, int] = (0, 0)) -> UInt8:
        """The frames, with the resting actor shown in those of the event, so far down and right."""
        frames = self.frames.copy()
        for n in np.flatnonzero(self.event):
            rows, columns = np.nonzero(self.rest_mask[n])
            free = ~self.mask[n][rows + shift[0], columns + shift[1]]
            rows, columns = rows[free], columns[free]
            frames[n][rows + shift[0], columns + shift[1]] = self.rest[n][rows, columns]
        return frames

    def shift_elsewhere(self, rng: np.random.Generator) -> tuple[int, int] | None:
        """A shift that takes the resting actor off its whole way and keeps it in the picture."""
        way = (self.mask | self.rest_mask).any(axis=0)
        rows, columns = np.nonzero(self.rest_mask.any(axis=0))
        if not len(rows):
            return None
        height, width = way.shape
        for _ in range(TRIES):
            down = int(rng.integers(-rows.min(), height - rows.max()))
            right = int(rng.integers(-columns.min(), width - columns.max()))
            if not way[rows + down, columns + right].any():
                return down, right
        return None


def leaving(scene: Scene, times_s: np.ndarray, scale_px: float) -> Leaving:
    """Both clips of a scene at times [T], so many pixels a unit."""
    later = scene.duration_s + 1
    rest, rest_mask = render(replace(scene, event=(later, later + 1)), times_s, scale_px)
    frames, mask = render(scene, times_s, scale_px)
    event = (times_s >= scene.event[0]) & (times_s <= scene.event[1])
    return Leaving(frames, mask, rest, rest_mask, event)


def main(
    clips: Annotated[int, typer.Option(help="Held-out clips of each class.")] = 64,
    seed: Annotated[int, typer.Option(help="Of the clips.")] = 6,
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
            told = [bootstrap(column) for column in zip(*rows, strict=True)]
            cells = [f"{each.mean:.2f} ({each.low:.2f} to {each.high:.2f})" for each in told]
            print(f"| `{name}`, {label} | {len(rows)} | {' | '.join(cells)} |")


def _measured(model: LoadedModel, label: int, clips: int, seed: int) -> Iterator[tuple[float, ...]]:
    """A clip each: two shares of the event's attribution, and four probabilities."""
    for index in range(clips):
        number = clip_seed("test", seed, index * len(LABELS) + label)
        rng = np.random.default_rng([number, 0x1EF7])
        times_s = rng.uniform(0.0, INTERVAL_S) + INTERVAL_S * np.arange(FRAMES)
        clip = leaving(make_scene(number, label=label), times_s, SIZE_PX)
        shift = clip.shift_elsewhere(rng)
        inputs = model.preprocess(clip.frames)
        found = explain_clip(model, inputs, target=label)
        scores = found.prediction.scores
        if shift is None or not clip.left.any() or scores.argmax() != label:
            continue
        values = found.attribution.values
        actor = (coverage(clip.mask, values.shape) > 0) & clip.event[:, None, None]
        left = (coverage(clip.left, values.shape) > 0) & ~actor
        whole = values[clip.event].sum()
        covered = over_pixels(torch.from_numpy(left)[None].float(), inputs[0]) > 0
        blurred = torch.where(covered, replacement_for(inputs, "blur"), inputs)
        others = (blurred, clip.with_copy(), clip.with_copy(shift))
        changed = [explain_clip(model, other).prediction.scores[label] for other in others]
        yield values[actor].sum() / whole, values[left].sum() / whole, scores[label], *changed


if __name__ == "__main__":
    typer.run(main)
