"""Batches of event clips for training, from a recipe: fresh ones all the time, and augmented."""

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
"""Label of a token that the loss leaves out."""


class ClipBatches(IterableDataset[tuple[Tensor, Tensor, Tensor]]):
    """Batches (frames uint8 [B, T, H, W, 3], labels int64 [B], `token_labels` [B, T, h, w]).

    Steps come in groups. A group draws its own fresh clips and shows each of them `REUSE` times,
    differently augmented every time: rendering a clip costs as much as learning from it.
    """

    def __init__(self, recipe: Recipe, first_step: int) -> None:
        self.recipe = recipe
        self.first_step = first_step

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        step = self.first_step
        while step < self.recipe.steps:
            group, skipped = divmod(step, GROUP)
            cache: dict[int, EventClip] = {}
            for indices in self.order(group)[skipped:]:
                if step < self.recipe.steps:
                    yield self._batch(step, indices, cache)
                    step += 1

    def order(self, group: int) -> np.ndarray:
        """[GROUP, B] which clips each step of a group shows."""
        fresh = GROUP * self.recipe.batch_size // REUSE
        rng = np.random.default_rng([self.recipe.seed, group])
        rounds = [rng.permutation(fresh) for _ in range(REUSE)]
        return group * fresh + np.concatenate(rounds).reshape(GROUP, self.recipe.batch_size)

    def _batch(
        self, step: int, indices: np.ndarray, cache: dict[int, EventClip]
    ) -> tuple[Tensor, Tensor, Tensor]:
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
    """The clip of a seed as a model of that recipe sees it in that stage."""
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
    turn = tuple(slice(None, None, -1 if each else 1) for each in (backwards, down, left))
    frames = clip.frames[turn][..., rng.permutation(3)]
    return replace(
        clip,
        frames=255 - frames if negative else frames,
        mask=clip.mask[turn],
        event=clip.event[turn[0]],
    )


def token_labels(clip: EventClip, patch_px: int = PATCH_PX) -> np.ndarray:
    """What each patch token should say, int64 [T, h, w].

    The clip's label where the actor fills a quarter of the patch or more during the event,
    `UNCLEAR` where it only touches it, and 0 elsewhere and at all other times.
    """
    frames, height, width = clip.mask.shape
    cells = clip.mask.reshape(frames, height // patch_px, patch_px, width // patch_px, patch_px)
    filled = cells.mean(axis=(2, 4)) * clip.event[:, None, None]  # [T, h, w]
    return np.where(filled >= 0.25, clip.label, np.where(filled > 0.02, UNCLEAR, 0))
