"""Minimal models saved as folders in Hugging Face format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

SHAPE = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 3}
COMMON = {**SHAPE, "patch_size": 8, "num_frames": 4, "image_size": 32, "intermediate_size": 56}
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "timesformer": ("Timesformer", COMMON),
    "videomae": ("VideoMAE", COMMON),
    "vivit": ("Vivit", {**COMMON, "tubelet_size": [2, 8, 8]}),
    "vjepa2": (
        "VJEPA2",
        {
            **SHAPE, "patch_size": 8, "frames_per_clip": 4, "crop_size": 32, "mlp_ratio": 2.5,
            "num_pooler_layers": 1, "pred_hidden_size": 24, "pred_num_attention_heads": 2,
            "pred_num_hidden_layers": 1,
        },
    ),
}  # fmt: skip


def saved(model: str, folder: Path, **overrides: Any) -> Any:
    """Make and save a model; random parameters, so that none is zero or one."""
    import transformers

    torch.manual_seed(0)
    name, arguments = MODELS[model]
    config = getattr(transformers, f"{name}Config")(
        **{**arguments, "layer_norm_eps": 1e-3, "id2label": dict(enumerate("abcde")), **overrides}
    )
    instance = getattr(transformers, f"{name}ForVideoClassification")(config).eval()
    for parameter in instance.parameters():
        parameter.data = torch.randn_like(parameter) * (0.3 if parameter.ndim > 1 else 0.2)
    instance.save_pretrained(folder)
    return instance
