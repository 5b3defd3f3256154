"""From a finished training run to a bundled model: ``python -m staa_cli.training.export RUN``.

Writes the averaged weights in half precision, and beside them the model card: how they were made,
and how often they are right on clips that training never saw.
"""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from safetensors.torch import save_file

from staa_cli.formatting import percent
from staa_cli.models.catalog.manifests import WEIGHTS
from staa_cli.models.load import load_model
from staa_cli.synthetic.events import LABELS, SETTINGS, STANDARD, clip_seed
from staa_cli.training.train import confusion

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
"""Architecture to the bundled model's name and what it is."""
SPARKS = "▁▂▃▄▅▆▇█"


def export(run: Path, folder: Path) -> dict[str, Any]:
    """Write a run's averaged weights to `folder`, and return the run's facts.

    Args:
        run: holds ``checkpoint.pt``, ``log.jsonl``, and ``recipe.json``.
        folder: receives the weights.
    """
    state = torch.load(run / "checkpoint.pt", map_location="cpu", weights_only=True)
    weights = {
        name.removeprefix("module."): value.half().contiguous()
        for name, value in state["average"].items()
        if name.startswith("module.")
    }
    recipe = json.loads((run / "recipe.json").read_text())
    name, _ = MODELS[recipe["arch"]]
    save_file(weights, folder / f"{name}.safetensors", metadata={"format": "pt"})
    lines = (run / "log.jsonl").read_text().splitlines()
    losses = {row["step"]: row["loss"] for row in map(json.loads, lines)}  # the last word counts
    hours = state["seconds"] / 3600
    return {"step": state["step"], "hours": hours, "losses": losses, "recipe": recipe}


def measure(name: str, clips: int, seed: int) -> dict[str, NDArray[np.int64]]:
    """Confusion matrices [true, predicted] of a bundled model on held-out clips, by setting."""
    model = load_model(name)
    return {
        name: confusion(
            model.module,
            setting,
            (
                clip_seed("test", seed, index)
                for index in range(clips if name == "standard" else clips // 4)
            ),
            str(model.device),
        )
        for name, setting in SETTINGS.items()
    }


def manifest(
    facts: dict[str, Any], counts: dict[str, NDArray[np.int64]], seed: int, remark: str = ""
) -> str:
    """The model manifest as Markdown."""
    recipe, standard = facts["recipe"], counts[STANDARD.name]
    name, what = MODELS[recipe["arch"]]
    lines = [
        f"# {name}",
        "",
        what,
        "in synthetic clips. It knows nothing else: on real footage its answers mean nothing.",
        "",
        "In training its patch tokens, too, were asked what happens where and when they are (token",
        "labels, arXiv 2104.10858). No loss touched attention, but it knows places better than a",
        "model that was told one label a clip.",
        *_lead(recipe["lead"][1]),
        "",
        "| | |",
        "|---|---|",
        f"| made by | `python -m staa_cli.training.train RUN --arch {recipe['arch']}`, "
        "then `...export RUN` |",
        f"| steps, batch, seed | {facts['step']}, {recipe['batch_size']}, {recipe['seed']} |",
        f"| hours | {facts['hours']:.2f} on {os.cpu_count()} cores ({platform.machine()}) |",
        f"| held-out clips | {standard.sum()} of seed {seed}, standard setting |",
        f"| top-1 | **{_accuracy(standard):.4f}** |",
        *([f"| remark | {remark} |"] if remark else []),
        "",
        f"Loss every 50 steps: `{_spark(list(facts['losses'].values()))}`",
        "",
        "| step | loss |",
        "|---|---|",
        *(f"| {step} | {loss:.3f} |" for step, loss in facts["losses"].items() if step % 500 == 0),
        "",
        "| setting | clips | top-1 |",
        "|---|---|---|",
        *(f"| {name} | {c.sum()} | {_accuracy(c):.3f} |" for name, c in counts.items()),
        "",
        "Rows: the truth; columns: the answer; standard setting.",
        "",
        "| | " + " | ".join(LABELS) + " |",
        "|---" * (len(LABELS) + 1) + "|",
        *(
            f"| **{label}** | " + " | ".join(map(str, row)) + " |"
            for label, row in zip(LABELS, standard.tolist(), strict=True)
        ),
    ]
    return "\n".join(lines) + "\n"


def _lead(gone: float) -> list[str]:
    """What is to be told of training whose heads were led, until that part of the steps."""
    if not gone:
        return []
    return [
        "",
        f"In the first {percent(gone)} of the steps a third of the heads was led to a token's own",
        "place at other times, and a third to its own frame, less and less; from then on none was.",
    ]


def _accuracy(counts: NDArray[np.int64]) -> float:
    return float(counts.trace() / counts.sum())


def _spark(values: list[float]) -> str:
    top = max(values)
    return "".join(SPARKS[min(int(value / top * len(SPARKS)), len(SPARKS) - 1)] for value in values)


def main(
    run: Annotated[Path, typer.Argument(help="Folder of a training run.")],
    clips: Annotated[int, typer.Option(help="Held-out clips of the standard setting.")] = 2000,
    seed: Annotated[int, typer.Option(help="Seed of the held-out clips.")] = 0,
    remark: Annotated[str, typer.Option(help="A line for the manifest.")] = "",
) -> None:
    """Bundle a trained model with its manifest."""
    facts = export(run, WEIGHTS)
    name, _ = MODELS[facts["recipe"]["arch"]]
    counts = measure(name, clips, seed)
    (WEIGHTS / f"{name}.md").write_text(manifest(facts, counts, seed, remark), encoding="utf-8")
    typer.echo(f"top-1 {_accuracy(counts[STANDARD.name]):.4f}")


if __name__ == "__main__":
    typer.run(main)
