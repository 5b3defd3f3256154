"""Trains a bundled model on event clips: ``python -m staa_cli.training.train OUT``.

Clips are drawn anew all the time. Training can be stopped at any time: the same command continues
from the last checkpoint, with the same result.

In addition to the clip, every patch token is classified by what happens at its place and time, with
the same head ("All Tokens Matter: Token Labeling for Training Better Vision Transformers", arXiv
2104.10858), so that one clip has hundreds of labels instead of one. No loss uses attention.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
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
from torch.utils.data import DataLoader, IterableDataset

from staa_cli.errors import UsageError
from staa_cli.methods.perturbation.base import over_pixels, replacement_for
from staa_cli.models.architectures import ARCHITECTURES
from staa_cli.models.catalog.zoo import zoo_manifest
from staa_cli.models.checkpoints.sources import open_bundled
from staa_cli.models.families.timesformer.module import TimeSformer
from staa_cli.models.families.videomae.module import VideoMAE
from staa_cli.models.layers import TapAttention
from staa_cli.schema import RandomMasks
from staa_cli.training.attention_prior import STRENGTH, PriorAttention, lead
from staa_cli.training.clips import PATCH_PX, Batch, ClipBatches
from staa_cli.training.recipes import STEPS, Recipe, default_recipe

FEW_TOKENS = 600
MEAN, STD = 0.45, 0.225
EVENT_WEIGHT = 20.0
"""Loss weight of a token with an event; about one token in a hundred has one."""


def normalize(frames: Tensor) -> Tensor:
    """Frames uint8 [B, T, H, W, 3] to the model's input, float [B, T, 3, H, W]."""
    # Contiguous: with channels last the backward pass on a CPU takes four times as long.
    return (frames.permute(0, 1, 4, 2, 3).contiguous().float() / 255 - MEAN) / STD


def train(
    recipe: Recipe,
    out: Path,
    *,
    device: str,
    minutes: float | None,
    batches: Callable[[Recipe, int], IterableDataset[Batch]] = ClipBatches,
) -> bool:
    """Train until the recipe is finished or time is up; True if it is finished.

    Args:
        recipe: of the training.
        out: folder for ``checkpoint.pt``, ``log.jsonl``, and ``recipe.json``.
        device: cpu or cuda.
        minutes: time limit; None for no limit.
        batches: makes the batches of a recipe from a step on.

    Raises:
        UsageError: the folder holds a run of another recipe.
    """
    out.mkdir(parents=True, exist_ok=True)
    _prepare_folder(out, recipe)
    torch.manual_seed(recipe.seed)
    # Arithmetic with denormal numbers is very slow on a CPU.
    torch.set_flush_denormal(True)
    model = build(recipe).to(device)
    ema = get_ema_multi_avg_fn(recipe.ema)  # type: ignore[no-untyped-call]
    average = AveragedModel(model, multi_avg_fn=ema)
    optimizers = make_optimizers(model, recipe)
    step, seconds = _restore(out, model, average, optimizers, device)
    started = time.monotonic()
    loader = DataLoader(batches(recipe, step), batch_size=None, num_workers=1, prefetch_factor=8)
    losses: list[Tensor] = []
    with (out / "log.jsonl").open("a") as log:
        for batch in loader:
            batch = tuple(part.to(device) for part in batch)
            losses.append(train_step(model, average, optimizers, batch, recipe, step))
            step += 1
            if step % 50 == 0:
                spent = seconds + time.monotonic() - started
                loss, tokens = (round(x, 4) for x in torch.stack(losses).mean(dim=0).tolist())
                line = {"step": step, "loss": loss, "tokens": tokens, "s": round(spent)}
                log.write(json.dumps(line) + "\n")
                log.flush()
                losses.clear()
            out_of_time = minutes is not None and time.monotonic() - started > minutes * 60
            if step % 250 == 0 or step == recipe.steps or out_of_time:
                _save(out, model, average, optimizers, step, seconds + time.monotonic() - started)
            if out_of_time:
                break
    return step >= recipe.steps


def _prepare_folder(out: Path, recipe: Recipe) -> None:
    path = out / "recipe.json"
    if (out / "checkpoint.pt").exists():
        if msgspec.json.decode(path.read_bytes(), type=Recipe) != recipe:
            raise UsageError(f"{out} holds a run of another recipe", "use another folder")
        return
    path.write_text(json.dumps(asdict(recipe), indent=1) + "\n", encoding="utf-8")


def build(recipe: Recipe) -> nn.Module:
    """The recipe's model with the weights that training starts from."""
    arguments: dict[str, Any] = dict(recipe.model)
    if recipe.lead[1]:
        arguments["attn_layer"] = PriorAttention
    model: nn.Module = ARCHITECTURES.get(recipe.arch).build(
        num_classes=len(recipe.labels), **arguments
    )
    if recipe.uniform:
        make_uniform(model)
    if recipe.start:
        trained, _ = open_bundled(zoo_manifest(recipe.start))
        shapes = {name: weight.shape for name, weight in model.state_dict().items()}
        fitting = {k: v for k, v in trained.state_dict().items() if shapes[k] == v.shape}
        model.load_state_dict(fitting, strict=False)
    return model


def make_uniform(model: nn.Module) -> None:
    """Set queries and keys to zero, so that every query weights all keys equally."""
    for layer in model.modules():
        if isinstance(layer, TapAttention):
            width = 2 * layer.num_heads * layer.head_dim
            layer.qkv.weight.data[:width] = 0.0
            layer.qkv.bias.data[:width] = 0.0


def make_optimizers(model: nn.Module, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """AdamW, and Muon for the matrices of the blocks if the recipe has it.

    Muon: Jordan et al. 2024, with the learning rate's scale of "Muon is Scalable for LLM Training"
    (arXiv 2502.16982), which makes it comparable with AdamW's.
    """
    matrices = {
        name: weight
        for name, weight in model.named_parameters()
        if recipe.muon and weight.ndim == 2 and "block" in name
    }
    others = [weight for name, weight in model.named_parameters() if name not in matrices]
    decay = recipe.weight_decay
    optimizers: list[torch.optim.Optimizer] = [torch.optim.AdamW(others, weight_decay=decay)]
    if matrices:
        group = {"params": list(matrices.values()), "scale": recipe.muon}
        optimizers.append(
            torch.optim.Muon([group], weight_decay=decay, adjust_lr_fn="match_rms_adamw")
        )
    return optimizers


def train_step(
    model: nn.Module,
    average: AveragedModel,
    optimizers: Sequence[torch.optim.Optimizer],
    batch: Batch,
    recipe: Recipe,
    step: int,
) -> Tensor:
    """One update; returns the losses of the clips and of the patch tokens, [2].

    A batch is frames uint8 [B, T, H, W, 3], labels [B] or their shares [B, classes], and
    `token_labels` [B, T, h, w], which are empty if the recipe does not use them.
    """
    frames, labels, tokens = batch
    _choose_attention(model, frames)
    if recipe.lead[1]:
        grid = model.token_grid(*frames.shape[1:4])  # type: ignore[operator]
        prefix = model.layout().prefix_tokens  # type: ignore[operator]
        lead(model.modules(), grid, STRENGTH * recipe.lead_at(step), prefix)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate_at(step) * group.get("scale", 1.0)
    with torch.autocast(frames.device.type, torch.bfloat16):
        clips = normalize(frames)
        if recipe.random_masks:
            clips = with_random_masks(clips, model, recipe.random_masks, [step, recipe.seed])
        if recipe.token_loss:
            if not isinstance(model, TimeSformer | VideoMAE):
                raise TypeError(f"token labels are not supported for {type(model).__name__}")
            logits, places = answers(model, clips, np.random.default_rng([step, 0xC0]))
        else:
            logits, places = model(clips), None
    loss = total = F.cross_entropy(logits.float(), labels)
    token_loss = torch.zeros_like(loss)
    if places is not None:
        weight = torch.full((logits.shape[-1],), EVENT_WEIGHT, device=frames.device)
        weight[0] = 1.0
        token_loss = F.cross_entropy(places.float().flatten(0, 3), tokens.flatten(), weight)
        total = loss + recipe.token_loss * token_loss
    model.zero_grad()
    total.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for optimizer in optimizers:
        optimizer.step()
    if recipe.uniform:
        make_uniform(model)
    average.update_parameters(model)
    return torch.stack([loss, token_loss]).detach()


def with_random_masks(
    clips: Tensor, model: nn.Module, masks: RandomMasks, seed: Sequence[int]
) -> Tensor:
    """Clips [B, T, 3, H, W], from every second of which random tokens are removed.

    How likely a token is removed varies between these clips, up to the share of `masks`.
    """
    rng = np.random.default_rng([*seed, 0x3A5C])
    some = clips[::2]
    grid = model.token_grid(*some.shape[1:2], *some.shape[-2:])  # type: ignore[operator]
    odds = masks.share * rng.random((len(some), 1, 1, 1))
    kept = torch.from_numpy(rng.random((len(some), *grid)) >= odds).float().to(clips)
    seeds = rng.integers(2**31, size=len(some)).tolist()
    replacement = replacement_for(some, masks.replacement, seeds=seeds)
    shown = torch.stack([over_pixels(mask[None], some[0])[0] for mask in kept])
    masked = clips.clone()
    masked[::2] = torch.where(shown > 0, some, replacement)
    return masked


def _choose_attention(model: nn.Module, frames: Tensor) -> None:
    """Choose fused or explicit attention for clips uint8 [B, T, H, W, 3], by training speed."""
    layout = model.layout()  # type: ignore[operator]
    places = frames.shape[2] * frames.shape[3] // PATCH_PX**2
    tokens = places * frames.shape[1] // layout.tubelet if layout.kind == "joint" else places
    for layer in model.modules():
        if isinstance(layer, TapAttention):
            # On few tokens explicit attention trains up to twice as fast on a CPU as fused.
            layer.fused_attn = frames.is_cuda or tokens > FEW_TOKENS


def answers(
    model: TimeSformer | VideoMAE, clips: Tensor, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Clips [B, T, 3, H, W] to logits [B, classes] and those of tokens [B, T, h, w, classes].

    For small views, a VideoMAE uses a random part of its position table; a TimeSformer resizes its.
    """
    batch, frames = clips.shape[:2]
    height, width = (length // model.patch_size for length in clips.shape[-2:])
    if isinstance(model, VideoMAE):
        top, left = (
            int(rng.integers(full - length + 1))
            for full, length in zip(model.grid_size[1:], (height, width), strict=True)
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
    optimizers: Sequence[torch.optim.Optimizer],
    step: int,
    seconds: float,
) -> None:
    state = {
        "model": model.state_dict(),
        "average": average.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in optimizers],
        "step": step,
        "seconds": seconds,
    }
    torch.save(state, out / "checkpoint.part")
    (out / "checkpoint.part").replace(out / "checkpoint.pt")


def _restore(
    out: Path,
    model: nn.Module,
    average: AveragedModel,
    optimizers: Sequence[torch.optim.Optimizer],
    device: str,
) -> tuple[int, float]:
    """Step and seconds of a checkpoint, which is loaded; (0, 0.0) if there is none."""
    path = out / "checkpoint.pt"
    if not path.exists():
        return 0, 0.0
    state = torch.load(path, map_location=device, weights_only=True)
    model.load_state_dict(state["model"])
    average.load_state_dict(state["average"])
    for optimizer, stored in zip(optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(stored)
    return int(state["step"]), float(state["seconds"])


app = typer.Typer(add_completion=False)


@app.command()
def main(
    out: Annotated[Path, typer.Argument(help="Folder for checkpoints, the log, and the result.")],
    steps: Annotated[int | None, typer.Option(help="Steps in total.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Time limit; continue later.")] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "",
    arch: Annotated[
        str, typer.Option(help=f"One of {', '.join(STEPS)}.")
    ] = "timesformer_tiny_events",
) -> None:
    """Train a bundled model; the same command continues from the last checkpoint."""
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    done = train(default_recipe(steps, arch), out, device=device, minutes=minutes)
    typer.echo("done" if done else "stopped; the same command continues from here")


if __name__ == "__main__":
    app()
