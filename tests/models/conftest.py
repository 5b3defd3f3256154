"""Reference models: Hugging Face's TimeSformer with every parameter random."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from staa_cli.models.families.timesformer.module import TimeSformer

TINY = {
    "image_size": 32,
    "patch_size": 8,
    "num_frames": 4,
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "intermediate_size": 56,
    "layer_norm_eps": 1e-3,
}
NAMES = {0: "jump", 1: "fall", 2: "spin", 3: "rest", 4: "wave"}


def hf_timesformer(seed: int = 0, **overrides: Any) -> Any:
    """A TimesformerForVideoClassification of which no parameter is zero or one."""
    from transformers import TimesformerConfig, TimesformerForVideoClassification

    torch.manual_seed(seed)
    config = TimesformerConfig(**{**TINY, "id2label": NAMES, **overrides})
    model = TimesformerForVideoClassification(config).eval()
    for parameter in model.parameters():
        parameter.data = torch.randn_like(parameter) * (0.3 if parameter.ndim > 1 else 0.2)
    return model


@pytest.fixture
def hf_folder(tmp_path: Path) -> Callable[..., tuple[Any, Path]]:
    """Makes a reference model and the folder that Hugging Face saves it to."""

    def make(**overrides: Any) -> tuple[Any, Path]:
        model = hf_timesformer(**overrides)
        model.save_pretrained(tmp_path / "hf")
        return model, tmp_path / "hf"

    return make


@pytest.fixture
def tiny_clip() -> torch.Tensor:
    """Normalized float [2, 4, 3, 32, 32]."""
    return torch.randn(2, 4, 3, 32, 32, generator=torch.Generator().manual_seed(7))


@pytest.fixture
def small() -> TimeSformer:
    """As narrow as a published width allows, so that its heads are known."""
    torch.manual_seed(0)
    model = TimeSformer(32, 8, num_classes=5, embed_dim=384, depth=2, num_heads=6, num_frames=4)
    for parameter in model.parameters():
        parameter.data = 0.1 * torch.randn_like(parameter)
    return model.eval().requires_grad_(False)
