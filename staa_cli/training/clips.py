"""Batches of event clips for training, from a recipe: always new and augmented."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from staa_cli.synthetic.events import (
    FRAMES,
    INTERVAL_S,
    LABELS,
    SIZE_PX,
    EventClip,
    clip_seed,
    event_clip,
)
from staa_cli.training.recipes import Recipe, Stage

PATCH_PX = 8
"""Side of a token in every model that is trained here."""
GROUP = 60
REUSE = 5
UNCLEAR = -100
"""Label of a token that the loss ignores."""


Batch = tuple[Tensor, Tensor, Tensor]


class ClipBatches(IterableDataset[Batch]):
    """Batches (frames uint8 [B, T, H, W, 3], labels int64 [B], `token_labels` [B, T, h, w]).

    Steps come in groups. A group renders new clips and uses each of them `REUSE` times, with
    different augmentation: rendering a clip costs as much as a training step on it.
    """

    def __init__(self, recipe: Recipe, first_step: int) -> None:
        self.recipe = recipe
        self.first_step = first_step

    def __iter__(self) -> Iterator[Batch]:
        step = self.first_step
        while step < self.recipe.steps:
            group, skipped = divmod(step, GROUP)
            cache: dict[int, EventClip] = {}
            for indices in self.order(group)[skipped:]:
                if step < self.recipe.steps:
                    yield self._batch(step, indices, cache)
                    step += 1

    def order(self, group: int) -> np.ndarray:
        """[GROUP, B] indices of the clips of each step in a group."""
        new_clips = GROUP * self.recipe.batch_size // REUSE
        rng = np.random.default_rng([self.recipe.seed, group])
        rounds = [rng.permutation(new_clips) for _ in range(REUSE)]
        return group * new_clips + np.concatenate(rounds).reshape(GROUP, self.recipe.batch_size)

    def _batch(self, step: int, indices: np.ndarray, cache: dict[int, EventClip]) -> Batch:
        stage = self.recipe.stage_at(step)
        rng = np.random.default_rng([self.recipe.seed, step, 0xA06])
        frames, labels, tokens = [], [], []
        for index in map(int, indices):
            if index not in cache or cache[index].frames.shape[1] != stage.size_px:
                seed = clip_seed("train", self.recipe.seed, index)
                cache[index] = draw_clip(self.recipe, stage, seed)
            clip = augment(cache[index], rng)
            frames.append(clip.frames)
            labels.append(self.recipe.labels.index(LABELS[clip.label]))
            if self.recipe.token_loss:
                tokens.append(token_labels(clip))
        return (
            torch.from_numpy(np.stack(frames)),
            torch.tensor(labels),
            torch.from_numpy(np.stack(tokens)) if tokens else torch.empty(0),
        )


def draw_clip(recipe: Recipe, stage: Stage, seed: int) -> EventClip:
    """The clip of a seed, with the length and view of a recipe and a stage of generated clips."""
    assert stage.setting is not None
    return event_clip(
        seed,
        stage.setting,
        frames=recipe.frames,
        interval_s=FRAMES * INTERVAL_S / recipe.frames,
        size_px=stage.size_px,
        view=stage.size_px / SIZE_PX,
    )


def augment(clip: EventClip, rng: np.random.Generator) -> EventClip:
    """A variant of a clip that keeps its label: mirrored, reversed, recolored."""
    backwards, down, left, negative = rng.random(4) < 0.5
    flips = tuple(slice(None, None, -1 if flip else 1) for flip in (backwards, down, left))
    frames = clip.frames[flips][..., rng.permutation(3)]
    return replace(
        clip,
        frames=255 - frames if negative else frames,
        mask=clip.mask[flips],
        event=clip.event[flips[0]],
    )


def token_labels(clip: EventClip, patch_px: int = PATCH_PX) -> np.ndarray:
    """The target of each patch token, int64 [T, h, w].

    The clip's label if the actor fills at least a quarter of the patch during the event, `UNCLEAR`
    if it only touches it, and 0 elsewhere and at all other times.
    """
    frames, height, width = clip.mask.shape
    cells = clip.mask.reshape(frames, height // patch_px, patch_px, width // patch_px, patch_px)
    filled = cells.mean(axis=(2, 4)) * clip.event[:, None, None]  # [T, h, w]
    return np.where(filled >= 0.25, clip.label, np.where(filled > 0.02, UNCLEAR, 0))
