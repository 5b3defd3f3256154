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
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
import torch
import torch.nn.functional as F
import typer
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader

from staa_cli.errors import UsageError
from staa_cli.models.architectures import ARCHITECTURES
from staa_cli.models.families.timesformer.module import TimeSformer
from staa_cli.models.families.videomae.module import VideoMAE
from staa_cli.models.layers import TapAttention
from staa_cli.training.attention_prior import STRENGTH, PriorAttention, lead
from staa_cli.training.clips import PATCH_PX, ClipBatches
from staa_cli.training.recipes import STEPS, Recipe, default_recipe

FEW_TOKENS = 600
MEAN, STD = 0.45, 0.225
EVENT_WEIGHT = 20.0
"""Of a token with an event, in its loss; about one token in a hundred has one."""


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

    Raises:
        UsageError: the folder holds a run of another recipe.
    """
    out.mkdir(parents=True, exist_ok=True)
    _claim(out, recipe)
    torch.manual_seed(recipe.seed)
    # Gradients that fade out would cost a CPU many times their worth.
    torch.set_flush_denormal(True)
    model = build(recipe).to(device)
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


def _claim(out: Path, recipe: Recipe) -> None:
    path = out / "recipe.json"
    if (out / "checkpoint.pt").exists():
        if msgspec.json.decode(path.read_bytes(), type=Recipe) != recipe:
            raise UsageError(f"{out} holds a run of another recipe", "use another folder")
        return
    path.write_text(json.dumps(asdict(recipe), indent=1) + "\n", encoding="utf-8")


def build(recipe: Recipe) -> nn.Module:
    """The recipe's model with weights drawn at random."""
    arguments: dict[str, Any] = dict(recipe.model)
    if recipe.lead[1]:
        arguments["attn_layer"] = PriorAttention
    model: nn.Module = ARCHITECTURES.get(recipe.arch).build(
        num_classes=len(recipe.labels), **arguments
    )
    if recipe.uniform:
        make_uniform(model)
    return model


def make_uniform(model: nn.Module) -> None:
    """Take queries and keys away, so that every query weights all keys alike."""
    for layer in model.modules():
        if isinstance(layer, TapAttention):
            width = 2 * layer.num_heads * layer.head_dim
            layer.qkv.weight.data[:width] = 0.0
            layer.qkv.bias.data[:width] = 0.0


def train_step(
    model: nn.Module,
    average: AveragedModel,
    optimizer: torch.optim.Optimizer,
    batch: tuple[Tensor, Tensor, Tensor],
    recipe: Recipe,
    step: int,
) -> Tensor:
    """One update; the loss of what the head reads and that of the patch tokens, [2]."""
    frames, labels, tokens = batch
    _choose_attention(model, frames)
    if recipe.lead[1]:
        grid = model.token_grid(*frames.shape[1:4])  # type: ignore[operator]
        prefix = model.layout().prefix_tokens  # type: ignore[operator]
        lead(model.modules(), grid, STRENGTH * recipe.lead_at(step), prefix)
    for group in optimizer.param_groups:
        group["lr"] = recipe.rate_at(step)
    with torch.autocast(frames.device.type, torch.bfloat16):
        clips = normalize(frames)
        if recipe.token_loss:
            if not isinstance(model, TimeSformer | VideoMAE):
                raise TypeError(f"the tokens of a {type(model).__name__} are not asked anything")
            logits, places = answers(model, clips, np.random.default_rng([step, 0xC0]))
        else:
            logits, places = model(clips), None
    loss = total = F.cross_entropy(logits.float(), labels)
    dense = torch.zeros_like(loss)
    if places is not None:
        weight = torch.full((logits.shape[-1],), EVENT_WEIGHT, device=frames.device)
        weight[0] = 1.0
        dense = F.cross_entropy(places.float().flatten(0, 3), tokens.flatten(), weight)
        total = loss + recipe.token_loss * dense
    optimizer.zero_grad()
    total.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    if recipe.uniform:
        make_uniform(model)
    average.update_parameters(model)
    return torch.stack([loss, dense]).detach()


def _choose_attention(model: nn.Module, frames: Tensor) -> None:
    """Fused or explicit, for clips uint8 [B, T, H, W, 3], whichever trains faster."""
    layout = model.layout()  # type: ignore[operator]
    places = frames.shape[2] * frames.shape[3] // PATCH_PX**2
    together = places * frames.shape[1] // layout.tubelet if layout.kind == "joint" else places
    for layer in model.modules():
        if isinstance(layer, TapAttention):
            # On few tokens explicit attention trains up to twice as fast on a CPU as fused.
            layer.fused_attn = frames.is_cuda or together > FEW_TOKENS


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
    model: nn.Module,
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
    model: nn.Module,
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


app = typer.Typer(add_completion=False)


@app.command()
def main(
    out: Annotated[Path, typer.Argument(help="Folder for checkpoints, the log, and the result.")],
    steps: Annotated[int | None, typer.Option(help="Steps in all.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Stop after so long; go on later.")] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "",
    arch: Annotated[
        str, typer.Option(help=f"One of {', '.join(STEPS)}.")
    ] = "timesformer_tiny_events",
) -> None:
    """Train a bundled model; the same line again goes on from the last checkpoint."""
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    done = train(default_recipe(steps, arch), out, device=device, minutes=minutes)
    typer.echo("done" if done else "stopped; the same line goes on from here")


if __name__ == "__main__":
    app()
