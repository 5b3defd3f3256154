"""Trains the zoo's model of real footage: ``python -m staa_cli.training.footage RUNS FOLDER``.

FOLDER has classes and is split by source, as `ClassFolder` describes. Training starts from a model
of the zoo that knows synthetic events, because a few hundred clips alone do not teach a transformer
to see motion. It can be stopped at any time: the same command continues from the last checkpoint.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
import typer
from torch import Tensor
from torch.utils.data import IterableDataset

from staa_cli.benchmark.datasets.classes import HeldOut
from staa_cli.benchmark.held_out import held_out_lines
from staa_cli.footage.class_folder import ClassClips, ClassFolder
from staa_cli.models.catalog.zoo import FOOTAGE, ZOO, how_made, zoo_folder, zoo_manifest
from staa_cli.models.load import load_model
from staa_cli.schema import ModelInput
from staa_cli.training.card import accuracy, card, start_paragraphs
from staa_cli.training.clips import Batch
from staa_cli.training.export import read_run, write_weights
from staa_cli.training.recipes import Recipe, Stage
from staa_cli.training.train import train
from staa_cli.training.zoo import MEMBERS, SIZE_PX, write_json

START = "joint-mean"
STEPS = 1500
READ_PX = 80
"""Side of the clips that are read; training takes random squares from them."""
MIXED = 0.3
"""Parameter of the Beta distribution of mixup."""


class FootageBatches(IterableDataset[Batch]):
    """Batches of augmented clips: random squares, mirrored, reversed, brighter or darker, mixed.

    All classes occur equally often. Each batch is mixed in one of three ways, with labels mixed in
    the same shares: two clips blended (mixup, Zhang et al. 2018, arXiv 1710.09412), one continued
    by another (as in VideoMix, Yun et al. 2020, arXiv 2012.03457), or four side by side.
    """

    def __init__(self, recipe: Recipe, first_step: int, clips: ClassClips) -> None:
        self.recipe, self.first_step, self.clips = recipe, first_step, clips

    def __iter__(self) -> Iterator[Batch]:
        labels = np.array([video.label for video in self.clips.videos])
        members = [np.flatnonzero(labels == label) for label in range(len(self.recipe.labels))]
        for step in range(self.first_step, self.recipe.steps):
            rng = np.random.default_rng([self.recipe.seed, step, 0xF007])
            size = self.recipe.stage_at(step).size_px
            drawn = [int(rng.choice(members[n % len(members)])) for n in range(self._batch_size)]
            frames = torch.stack([augment(self.clips[n].frames, size, rng) for n in drawn])
            shares = F.one_hot(torch.from_numpy(labels[drawn]), len(members)).float()
            mix = MIXES[int(rng.integers(len(MIXES)))]
            mixed, shares = mix(frames, shares, rng)
            yield mixed.round().byte(), shares, torch.empty(0)

    @property
    def _batch_size(self) -> int:
        return self.recipe.batch_size


def augment(frames: np.ndarray, size_px: int, rng: np.random.Generator) -> Tensor:
    """A variant of a clip uint8 [T, h, w, 3]: float [T, size_px, size_px, 3], from 0 to 255."""
    side = int(rng.integers(frames.shape[1] * 5 // 8, frames.shape[1] + 1))
    top, left = rng.integers(frames.shape[1] - side + 1, size=2)
    backwards, mirrored = rng.random(2) < 0.5
    part = frames[:: -1 if backwards else 1, top : top + side, left : left + side]
    part = part[:, :, :: -1 if mirrored else 1]
    pictures = torch.from_numpy(part.copy()).permute(0, 3, 1, 2).float()
    pictures = F.interpolate(pictures, (size_px, size_px), mode="bilinear", antialias=True)
    contrast, brightness = rng.uniform(0.6, 1.4), rng.uniform(-40, 40)
    mean = pictures.mean()
    return ((pictures - mean) * contrast + mean + brightness).clamp(0, 255).permute(0, 2, 3, 1)


def blended(frames: Tensor, shares: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Clips [B, T, h, w, 3] and shares of labels [B, classes], each blended with another."""
    weight, order = float(rng.beta(MIXED, MIXED)), rng.permutation(len(frames))
    return torch.lerp(frames[order], frames, weight), torch.lerp(shares[order], shares, weight)


def continued(frames: Tensor, shares: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Clips [B, T, h, w, 3] and shares of labels [B, classes], each continued by another."""
    length, order = frames.shape[1], rng.permutation(len(frames))
    cut = int(rng.integers(1, length + 1))
    joined = torch.cat([frames[:, :cut], frames[order, cut:]], dim=1)
    return joined, torch.lerp(shares[order], shares, cut / length)


def tiled(frames: Tensor, shares: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Clips [B, T, h, w, 3] and shares of labels [B, classes], each beside three others, halved."""
    pictures = F.avg_pool2d(frames.flatten(0, 1).permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)
    small = pictures.reshape(*frames.shape[:2], *pictures.shape[1:])
    orders = [rng.permutation(len(frames)) for _ in range(4)]
    rows = [torch.cat([small[a], small[b]], dim=3) for a, b in (orders[:2], orders[2:])]
    return torch.cat(rows, dim=2), torch.stack([shares[order] for order in orders]).mean(dim=0)


MIXES = (blended, continued, tiled)


def recipe_for(classes: tuple[str, ...], steps: int = STEPS) -> Recipe:
    """The recipe of the zoo's model of footage with these classes."""
    start = MEMBERS[START].recipe
    return replace(
        start,
        stages=(Stage(steps, SIZE_PX, None),),
        learning_rate=3e-4,
        weight_decay=0.1,
        warmup=50,
        lead=(0.0, 0.0),
        labels=classes,
        start=ZOO + START,
    )


def clips_for(folder: ClassFolder, given: ModelInput) -> ClassClips:
    """The training clips of a folder, larger than the model's input."""
    return folder.clips("train", replace(given, size=(READ_PX, READ_PX), resize=READ_PX))


def export(run: Path, folder: Path) -> str:
    """Write a finished run's weights, manifest, and card into the zoo.

    Args:
        run: the training run.
        folder: that it was trained on.

    Returns:
        The accuracy on the folder's test split in words, beside that of trivial predictors.
    """
    zoo, name = zoo_folder(), ZOO + FOOTAGE
    weights, facts = read_run(run)
    write_weights(weights, zoo / f"{FOOTAGE}.safetensors")
    start = json.loads((zoo / f"{START}.json").read_text(encoding="utf-8"))
    manifest = {key: start[key] for key in ("family", "arch", "kwargs", "input", "license")} | {
        "labels": facts.recipe.labels,
        "origin": how_made(FOOTAGE),
        "note": "of the benchmark's zoo: a weak model of real footage",
    }
    write_json(zoo / f"{FOOTAGE}.json", manifest)
    tested = HeldOut(f"classes:{folder}", load_model(name), 0, "test")
    counts = np.zeros((len(tested.targets),) * 2, np.int64)
    for number, video in enumerate(tested.videos):
        counts[video.label, tested.predict(number)] += 1
    write_json(zoo / f"{FOOTAGE}.json", manifest | {"accuracy": round(accuracy(counts), 4)})
    words = held_out_lines(tested.held_out(lambda done, total: None))
    text = card(
        name,
        [
            "A VideoMAE with joint attention, read by the mean of tokens, that knows real footage.",
            "It was trained with one label per clip only. The test split has other sources than "
            "the clips that it was trained on.",
            *start_paragraphs(facts.recipe),
            *words.splitlines(),
        ],
        f"`{how_made(FOOTAGE)}`",
        facts,
        {"test split": counts},
        facts.recipe.seed,
    )
    (zoo / f"{FOOTAGE}.md").write_text(text, encoding="utf-8")
    return words


def main(
    runs: Annotated[Path, typer.Argument(help="Folder for the runs, one folder per model.")],
    folder: Annotated[Path, typer.Argument(help="Folder of videos with classes.")],
    minutes: Annotated[float | None, typer.Option(help="Time limit; continue later.")] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "",
    threads: Annotated[int, typer.Option(help="Threads of the CPU.")] = 1,
) -> None:
    """Train and export the zoo's model of real footage."""
    torch.set_num_threads(threads)
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    classes = ClassFolder(folder)
    recipe = recipe_for(classes.classes)
    clips = clips_for(classes, zoo_manifest(recipe.start).input)
    batches = partial(FootageBatches, clips=clips)
    if train(recipe, runs / FOOTAGE, device=device, minutes=minutes, batches=batches):
        typer.echo(export(runs / FOOTAGE, folder))
    else:
        typer.echo("stopped; the same command continues from here")


if __name__ == "__main__":
    typer.run(main)
