"""Minimal models of every family, and methods run on them."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from timm.models import create_model
from torch import Tensor

from staa_cli.methods import Options, get_method
from staa_cli.methods.run import Explained, explain_batch
from staa_cli.models.architectures import ARCHITECTURES
from staa_cli.models.families.framewise.module import FrameWise

ARCHS = ARCHITECTURES.names("test_*")
FRAMES: dict[str, dict[str, Any]] = {
    "frames": {},
    "frames-mean": {"global_pool": "avg", "class_token": False, "fc_norm": False},
    "frames-registers": {"reg_tokens": 3, "qk_norm": True, "init_values": 0.5},
}
KINDS = [*ARCHS, "test_videomae-token", "test_videomae-scaled", *FRAMES]
TARGET = 3
OF_CLASS = {
    "staa-logit", "staa-class", "grad-attention", "attention-gradient", "legrad", "rfem-class",
    "gradcam", "input-x-gradient", "integrated-gradients", "expected-gradients", "frame-drop",
    "frame-shapley", "occlusion", "rise", "tis", "kernel-shap", "lime",
}  # fmt: skip
BY_FRAMES = {"staa", "staa-value", "rollout", "rfem", "token-transformation"}


def build(kind: str) -> Any:
    if kind in FRAMES:
        sizes: dict[str, Any] = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 2}
        vit = create_model(
            "vit_tiny_patch16_224", num_heads=2, num_classes=5, **sizes, **FRAMES[kind]
        )
        return FrameWise(vit, num_frames=4)
    arch, _, variant = kind.partition("-")
    variants: dict[str, dict[str, Any]] = {
        "token": {"pooling": "token"},
        "scaled": {"init_values": 0.5},
    }
    options = variants.get(variant, {})
    return ARCHITECTURES.get(arch).build(**options)


@cache
def model(kind: str) -> Any:
    """A model of that kind without zero parameters or uniform attention."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = build(kind)
        for name, parameter in module.named_parameters():
            parameter.data += 0.1 * torch.randn_like(parameter)
            if "qkv.weight" in name or "xattn" in name:
                parameter.data *= 2
    return module.eval().requires_grad_(False)


def clips(kind: str, count: int = 2) -> Tensor:
    layout = model(kind).layout()
    frames = layout.grid[0] * layout.tubelet
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, frames, 3, 32, 32, generator=generator)


def explain(name: str, kind: str, target: int | None = TARGET, **arguments: Any) -> Explained:
    module = model(kind)
    return explain_batch(
        module,
        module.layout(),
        clips(kind),
        get_method(name),
        Options(**{"samples": 4 if name.endswith("-gradients") else 66, **arguments}),
        target=target,
    )
