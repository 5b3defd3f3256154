"""From a finished training run to a bundled model: ``python -m staa_cli.training.export RUN``.

Writes the averaged weights in half precision, and next to them the model card: how they were
trained, and their accuracy on held-out clips.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
import torch
import typer
from safetensors.torch import save_file
from torch import Tensor, nn

from staa_cli.models.catalog.manifests import WEIGHTS
from staa_cli.models.load import load_model
from staa_cli.synthetic.events import LABELS, SETTINGS, SIZE_PX, clip_seed
from staa_cli.training.card import Counts, Run, accuracy, card, lead_paragraphs
from staa_cli.training.clips import draw_clip
from staa_cli.training.recipes import Recipe, Stage
from staa_cli.training.train import normalize

MODELS = {
    "timesformer_tiny_events": (
        "tiny-events",
        "A TimeSformer with divided space-time attention that tells eight events, and none, apart",
    ),
    "videomae_tiny_events": (
        "tiny-events-joint",
        "A VideoMAE, with joint attention, that tells eight events, and none, apart",
    ),
}
"""Architecture to the bundled model's name and description."""
BATCH = 16


def read_run(folder: Path) -> tuple[dict[str, Tensor], Run]:
    """A training run's averaged weights in half precision, and its facts.

    Args:
        folder: holds ``checkpoint.pt``, ``log.jsonl``, and ``recipe.json``.
    """
    recipe = msgspec.json.decode((folder / "recipe.json").read_bytes(), type=Recipe)
    state = torch.load(folder / "checkpoint.pt", map_location="cpu", weights_only=True)
    weights = {
        name.removeprefix("module."): value.half().contiguous()
        for name, value in state["average"].items()
        if name.startswith("module.")
    }
    lines = (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()
    # Later entries of a step replace earlier ones.
    losses = {row["step"]: row["loss"] for row in map(json.loads, lines)}
    return weights, Run(recipe, state["step"], state["seconds"] / 3600, losses)


def write_weights(weights: dict[str, Tensor], path: Path) -> None:
    """Write tensors as a safetensors file."""
    save_file(weights, path, metadata={"format": "pt"})


def held_out(
    recipe: Recipe, stages: Iterable[Stage], module: nn.Module, clips: int, seed: int
) -> dict[str, Counts]:
    """Confusion matrices on clips of the test split, by the name of the setting.

    Args:
        recipe: of the model.
        stages: to evaluate; the first gets all clips, the others a quarter.
        module: the model.
        clips: their number.
        seed: of the clips.
    """
    return {
        stage.name: confusion(
            module,
            recipe,
            stage,
            (clip_seed("test", seed, n) for n in range(clips if index == 0 else clips // 4)),
        )
        for index, stage in enumerate(stages)
    }


@torch.inference_mode()
def confusion(module: nn.Module, recipe: Recipe, stage: Stage, seeds: Iterable[int]) -> Counts:
    """Counts [true, predicted] over the clips with these seeds."""
    counts = np.zeros((len(recipe.labels), len(recipe.labels)), dtype=np.int64)
    device = next(iter(module.parameters()), torch.empty(0)).device
    module.eval()
    numbers = list(seeds)
    for first in range(0, len(numbers), BATCH):
        clips = [draw_clip(recipe, stage, n) for n in numbers[first : first + BATCH]]
        frames = torch.from_numpy(np.stack([clip.frames for clip in clips])).to(device)
        predicted = module(normalize(frames)).argmax(dim=1).tolist()
        truth = [recipe.labels.index(LABELS[clip.label]) for clip in clips]
        np.add.at(counts, (truth, predicted), 1)
    return counts


def main(
    run: Annotated[Path, typer.Argument(help="Folder of a training run.")],
    clips: Annotated[int, typer.Option(help="Held-out clips of the standard setting.")] = 2000,
    seed: Annotated[int, typer.Option(help="Seed of the held-out clips.")] = 0,
    remark: Annotated[str, typer.Option(help="A line for the model card.")] = "",
) -> None:
    """Bundle a trained model with its card."""
    weights, facts = read_run(run)
    recipe = facts.recipe
    name, what = MODELS[recipe.arch]
    write_weights(weights, WEIGHTS / f"{name}.safetensors")
    stages = [Stage(0, SIZE_PX, setting) for setting in SETTINGS.values()]
    counts = held_out(recipe, stages, load_model(name).module, clips, seed)
    command = f"`python -m staa_cli.training.train RUN --arch {recipe.arch}`, then `...export RUN`"
    paragraphs = [
        f"{what}\nin synthetic clips. It knows nothing else: on real footage its answers mean "
        "nothing.",
        "In training its patch tokens, too, were asked what happens where and when they are (token"
        "\nlabels, arXiv 2104.10858). No loss touched attention, but it knows places better than a"
        "\nmodel that was told one label a clip.",
        *lead_paragraphs(recipe),
    ]
    text = card(name, paragraphs, command, facts, counts, seed, remark)
    (WEIGHTS / f"{name}.md").write_text(text, encoding="utf-8")
    typer.echo(f"top-1 {accuracy(counts['standard']):.4f}")


if __name__ == "__main__":
    typer.run(main)
