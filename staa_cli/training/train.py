"""Trains a bundled model on event clips: ``python -m staa_cli.training.train OUT``.

Every step draws clips that no step before it has seen. It can be stopped at any time: the same
line goes on from the last checkpoint, and ends in the same place.

Beside what the head reads, every patch token is asked what happens where and when it is, through
the same head ("All Tokens Matter: Token Labeling for Training Better Vision Transformers", arXiv
2104.10858). One clip then teaches hundreds of answers and not one. No loss touches attention.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import torch.nn.functional as F
import typer
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, IterableDataset

from staa_cli.models.families.timesformer.module import TimeSformer, timesformer_tiny_events
from staa_cli.models.families.videomae.module import VideoMAE, videomae_tiny_events
from staa_cli.synthetic.events import (
    LABELS,
    SIZE_PX,
    EventClip,
    Setting,
    clip_seed,
    event_clip,
)
from staa_cli.training.attention_prior import STRENGTH, PriorAttention, lead
from staa_cli.training.recipes import Recipe, default_recipe

ARCHITECTURES: dict[str, Callable[..., TimeSformer | VideoMAE]] = {
    "timesformer_tiny_events": timesformer_tiny_events,
    "videomae_tiny_events": partial(videomae_tiny_events, attn_layer=PriorAttention),
}
FEW_TOKENS = 600
MEAN, STD = 0.45, 0.225
GROUP = 60
REUSE = 5
UNCLEAR = -100
"""Label of a token that the loss leaves out."""
EVENT_WEIGHT = 20.0
"""Of a token with an event, in its loss; about one token in a hundred has one."""


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
                cache[index] = event_clip(
                    clip_seed("train", self.recipe.seed, index),
                    stage.setting,
                    size_px=stage.size_px,
                    view=stage.size_px / SIZE_PX,
                )
            clip = augment(cache[index], rng)
            frames.append(clip.frames)
            labels.append(clip.label)
            tokens.append(token_labels(clip))
        return (
            torch.from_numpy(np.stack(frames)),
            torch.tensor(labels),
            torch.from_numpy(np.stack(tokens)),
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


def token_labels(clip: EventClip, patch_px: int = 8) -> np.ndarray:
    """What each patch token should say, int64 [T, h, w].

    The clip's label where the actor fills a quarter of the patch or more during the event,
    `UNCLEAR` where it only touches it, and 0 elsewhere and at all other times.
    """
    frames, height, width = clip.mask.shape
    cells = clip.mask.reshape(frames, height // patch_px, patch_px, width // patch_px, patch_px)
    filled = cells.mean(axis=(2, 4)) * clip.event[:, None, None]  # [T, h, w]
    return np.where(filled >= 0.25, clip.label, np.where(filled > 0.02, UNCLEAR, 0))


def normalize(frames: Tensor) -> Tensor:
    """Frames uint8 [B, T, H, W, 3] to what the model takes, float [B, T, 3, H, W]."""
    # Contiguous: with channels last the backward pass on a CPU takes four times as long.
    return (frames.permute(0, 1, 4, 2, 3).contiguous().float() / 255 - MEAN) / STD


def train(recipe: Recipe, out: Path, *, device: str, minutes: float | None) -> bool:
    """Train until the recipe is done or time is up; True when it is done.

    Args:
        recipe: what to do.
        out: folder for ``checkpoint.pt``, ``log.jsonl``, and ``recipe.json``.
        device: cpu or cuda.
        minutes: stop after so long; None for no limit.
    """
    out.mkdir(parents=True, exist_ok=True)
    facts = json.dumps(asdict(recipe), indent=1)
    (out / "recipe.json").write_text(facts + "\n", encoding="utf-8")
    torch.manual_seed(recipe.seed)
    # Gradients that fade out would cost a CPU many times their worth.
    torch.set_flush_denormal(True)
    model = ARCHITECTURES[recipe.arch](**dict(recipe.model)).to(device)
    ema = get_ema_multi_avg_fn(recipe.ema)  # type: ignore[no-untyped-call]
    average = AveragedModel(model, multi_avg_fn=ema)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=recipe.weight_decay)
    step, seconds = _restore(out, model, average, optimizer, device)
    began = time.monotonic()
    loader = DataLoader(
        ClipBatches(recipe, step), batch_size=None, num_workers=1, prefetch_factor=8
    )
    losses: list[Tensor] = []
    with (out / "log.jsonl").open("a") as log:
        for batch in loader:
            batch = tuple(part.to(device) for part in batch)
            losses.append(train_step(model, average, optimizer, batch, recipe, step))
            step += 1
            if step % 50 == 0:
                spent = seconds + time.monotonic() - began
                loss, tokens = (round(x, 4) for x in torch.stack(losses).mean(dim=0).tolist())
                line = {"step": step, "loss": loss, "tokens": tokens, "s": round(spent)}
                log.write(json.dumps(line) + "\n")
                log.flush()
                losses.clear()
            out_of_time = minutes is not None and time.monotonic() - began > minutes * 60
            if step % 250 == 0 or step == recipe.steps or out_of_time:
                _save(out, model, average, optimizer, step, seconds + time.monotonic() - began)
            if out_of_time:
                break
    return step >= recipe.steps


def train_step(
    model: TimeSformer | VideoMAE,
    average: AveragedModel,
    optimizer: torch.optim.Optimizer,
    batch: tuple[Tensor, Tensor, Tensor],
    recipe: Recipe,
    step: int,
) -> Tensor:
    """One update; the loss of what the head reads and that of the patch tokens, [2]."""
    frames, labels, tokens = batch
    _choose_attention(model, tokens)
    if isinstance(model, VideoMAE):
        strength = STRENGTH * recipe.lead_at(step)
        grid = (tokens.shape[1], tokens.shape[2], tokens.shape[3])
        lead(model.attention_layers().values(), grid, strength)
    for group in optimizer.param_groups:
        group["lr"] = recipe.rate_at(step)
    with torch.autocast(frames.device.type, torch.bfloat16):
        logits, places = answers(model, normalize(frames), np.random.default_rng([step, 0xC0]))
    weight = torch.full((logits.shape[-1],), EVENT_WEIGHT, device=frames.device)
    weight[0] = 1.0
    loss = F.cross_entropy(logits.float(), labels)
    dense = F.cross_entropy(places.float().flatten(0, 3), tokens.flatten(), weight)
    optimizer.zero_grad()
    (loss + recipe.token_loss * dense).backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    average.update_parameters(model)
    return torch.stack([loss, dense]).detach()


def _choose_attention(model: TimeSformer | VideoMAE, tokens: Tensor) -> None:
    """Fused or explicit, for labels [B, T, h, w] of tokens, whichever trains faster."""
    together = tokens[0] if isinstance(model, VideoMAE) else tokens[0, 0]
    layer: Any
    for layer in model.attention_layers().values():
        # On few tokens explicit attention trains up to twice as fast on a CPU as fused.
        layer.fused_attn = tokens.is_cuda or together.numel() > FEW_TOKENS


def answers(
    model: TimeSformer | VideoMAE, clips: Tensor, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Clips [B, T, 3, H, W] to logits [B, classes], and every token's [B, T, h, w, classes].

    Small views lie anywhere in the table of a VideoMAE's positions; a TimeSformer's is stretched.
    """
    batch, frames = clips.shape[:2]
    height, width = (length // model.patch_size for length in clips.shape[-2:])
    if isinstance(model, VideoMAE):
        top, left = (
            int(rng.integers(whole - part + 1))
            for whole, part in zip(model.grid_size[1:], (height, width), strict=True)
        )
        features = model.forward_features(clips, (top, left))
        places = model.head(model.fc_norm(features))
        return model.forward_head(features), places.reshape(batch, frames, height, width, -1)
    logits: Tensor = model.head(model.forward_features(clips))
    places = logits[:, 1:].reshape(batch, height, width, frames, -1)
    return logits[:, 0], places.permute(0, 3, 1, 2, 4)


def _save(
    out: Path,
    model: TimeSformer | VideoMAE,
    average: AveragedModel,
    optimizer: torch.optim.Optimizer,
    step: int,
    seconds: float,
) -> None:
    state = {
        "model": model.state_dict(),
        "average": average.state_dict(),
        "optimizer": optimizer.state_dict(),
        "step": step,
        "seconds": seconds,
    }
    torch.save(state, out / "checkpoint.part")
    (out / "checkpoint.part").replace(out / "checkpoint.pt")


def _restore(
    out: Path,
    model: TimeSformer | VideoMAE,
    average: AveragedModel,
    optimizer: torch.optim.Optimizer,
    device: str,
) -> tuple[int, float]:
    """Step and seconds that a checkpoint had reached; (0, 0.0) where there is none."""
    path = out / "checkpoint.pt"
    if not path.exists():
        return 0, 0.0
    state = torch.load(path, map_location=device, weights_only=True)
    model.load_state_dict(state["model"])
    average.load_state_dict(state["average"])
    optimizer.load_state_dict(state["optimizer"])
    return int(state["step"]), float(state["seconds"])


@torch.inference_mode()
def confusion(
    model: torch.nn.Module, setting: Setting, seeds: Iterator[int], device: str
) -> np.ndarray:
    """Counts [true, predicted] over the clips of the given seeds."""
    counts = np.zeros((len(LABELS), len(LABELS)), dtype=np.int64)
    model.eval()
    batch: list[int] = []
    for seed in [*seeds]:
        batch.append(seed)
        if len(batch) == 16:
            _count(model, setting, batch, counts, device)
            batch = []
    if batch:
        _count(model, setting, batch, counts, device)
    model.train()
    return counts


def _count(
    model: torch.nn.Module, setting: Setting, seeds: list[int], counts: np.ndarray, device: str
) -> None:
    clips = [event_clip(seed, setting) for seed in seeds]
    frames = torch.from_numpy(np.stack([clip.frames for clip in clips])).to(device)
    predicted = model(normalize(frames)).argmax(dim=1).tolist()
    np.add.at(counts, ([clip.label for clip in clips], predicted), 1)


app = typer.Typer(add_completion=False)


@app.command()
def main(
    out: Annotated[Path, typer.Argument(help="Folder for checkpoints, the log, and the result.")],
    steps: Annotated[int | None, typer.Option(help="Steps in all.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Stop after so long; go on later.")] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "",
    arch: Annotated[
        str, typer.Option(help=f"One of {', '.join(ARCHITECTURES)}.")
    ] = "timesformer_tiny_events",
) -> None:
    """Train a bundled model; the same line again goes on from the last checkpoint."""
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    done = train(default_recipe(steps, arch), out, device=device, minutes=minutes)
    typer.echo("done" if done else "stopped; the same line goes on from here")


if __name__ == "__main__":
    app()
