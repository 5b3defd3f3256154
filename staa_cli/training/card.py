"""Model cards: how weights were trained, and their accuracy on held-out clips."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from staa_cli.formatting import percent
from staa_cli.training.recipes import Recipe

SPARKS = "▁▂▃▄▅▆▇█"

Counts = NDArray[np.int64]
"""A confusion matrix [true, predicted]."""


@dataclass(frozen=True, slots=True)
class Run:
    """The facts of a finished training run."""

    recipe: Recipe
    steps: int
    hours: float
    losses: Mapping[int, float]
    """Step to the mean loss of the steps since the last entry."""


def card(
    name: str,
    paragraphs: Sequence[str],
    command: str,
    run: Run,
    counts: Mapping[str, Counts],
    seed: int,
    remark: str = "",
) -> str:
    """A model card as Markdown.

    Args:
        name: of the model.
        paragraphs: the description.
        command: that trains and exports it.
        run: its training.
        counts: setting to the confusion matrix on held-out clips, the reported setting first.
        seed: of the held-out clips.
        remark: a last row of the table.
    """
    setting, reported = next(iter(counts.items()))
    labels = run.recipe.labels
    text = [part for paragraph in paragraphs for part in (paragraph, "")]
    return "\n".join(
        [
            f"# {name}",
            "",
            *text,
            "| | |",
            "|---|---|",
            f"| made by | {command} |",
            f"| steps, batch, seed | {run.steps}, {run.recipe.batch_size}, {run.recipe.seed} |",
            f"| optimizer | {_optimizer(run.recipe)} |",
            f"| hours | {run.hours:.2f} of wall time, on a machine with {_machine()} |",
            f"| held-out clips | {reported.sum()} of seed {seed}, {setting} setting |",
            f"| top-1 | **{accuracy(reported):.4f}** |",
            *([f"| remark | {remark} |"] if remark else []),
            "",
            f"Loss every 50 steps: `{_sparkline(list(run.losses.values()))}`",
            "",
            "| step | loss |",
            "|---|---|",
            *(f"| {step} | {loss:.3f} |" for step, loss in run.losses.items() if step % 500 == 0),
            "",
            "| setting | clips | top-1 |",
            "|---|---|---|",
            *(f"| {name} | {c.sum()} | {accuracy(c):.3f} |" for name, c in counts.items()),
            "",
            f"Rows: the truth; columns: the answer; {setting} setting.",
            "",
            "| | " + " | ".join(labels) + " |",
            "|---" * (len(labels) + 1) + "|",
            *(
                f"| **{label}** | " + " | ".join(map(str, row)) + " |"
                for label, row in zip(labels, reported.tolist(), strict=True)
            ),
            "",
        ]
    )


def lead_paragraphs(recipe: Recipe) -> list[str]:
    """The card's paragraph about the attention prior; none without one."""
    if not recipe.lead[1]:
        return []
    return [
        f"In the first {percent(recipe.lead[1])} of the steps a third of the heads was led to a "
        "token's own\nplace at other times, and a third to its own frame, less and less; from then "
        "on none was."
    ]


def start_paragraphs(recipe: Recipe) -> list[str]:
    """The card's paragraph about the model that training started from; none without one."""
    if not recipe.start:
        return []
    text = f"Training started from the weights of `{recipe.start}`."
    if masks := recipe.random_masks:
        text += (
            f" From half of the clips, up to {percent(masks.share)} of the tokens were removed at "
            f"random and replaced ({masks.replacement})."
        )
    return [text]


def accuracy(counts: Counts) -> float:
    """Share of correct predictions."""
    return float(counts.trace() / counts.sum())


def _machine() -> str:
    cores = f"{os.cpu_count()} cores ({platform.machine()})"
    return f"{cores} and {torch.cuda.get_device_name()}" if torch.cuda.is_available() else cores


def _optimizer(recipe: Recipe) -> str:
    text = f"AdamW, learning rate {recipe.learning_rate:g}"
    if not recipe.muon:
        return text
    rate = recipe.muon * recipe.learning_rate
    return f"Muon for the matrices of the blocks, learning rate {rate:g}; for the rest {text}"


def _sparkline(values: Sequence[float]) -> str:
    top = max(values, default=0.0)
    return "".join(SPARKS[min(int(value / top * len(SPARKS)), len(SPARKS) - 1)] for value in values)
