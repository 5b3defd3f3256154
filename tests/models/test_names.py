"""Published names: the facts that are listed are those of the models."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from staa_cli.models.catalog.names import Published, published
from staa_cli.models.families.base import FAMILIES
from staa_cli.references import is_reference

SHAPES: dict[str, dict[str, Any]] = {
    "timesformer-hr-k400": {"img_size": 448, "num_frames": 16},
    "videomae-small-k400": {"embed_dim": 384, "num_heads": 6},
    "videomae-large-k400": {"embed_dim": 1024, "depth": 24, "num_heads": 16},
    "videomae-huge-k400": {"embed_dim": 1280, "depth": 32, "num_heads": 16},
    "vjepa2-vitl-diving48": {"num_frames": 32},
    "vjepa2-vitg-ssv2": {
        "embed_dim": 1408,
        "depth": 40,
        "num_heads": 22,
        "mlp_ratio": 48 / 11,
        "img_size": 384,
        "num_frames": 64,
    },
}


@pytest.mark.parametrize("model", published().values(), ids=lambda model: model.name)
def test_a_published_name_tells_what_its_model_is(model: Published) -> None:
    family = FAMILIES.get(model.family)
    with torch.device("meta"):
        module: Any = family.build(num_classes=model.classes, **SHAPES.get(model.name, {}))
    assert sum(p.numel() for p in module.parameters()) == model.parameters
    given = family.input(module)
    assert model.input == {
        "frames": given.frames,
        "size": list(given.size),
        "stride": given.stride,
        "rate": given.rate,
    }
    assert model.repo.count("/") == 1


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("package.module:factory", True),
        ("module:factory", True),
        ("hf-hub:org/name", False),
        ("hf-hub:name", False),
        ("timm:vit_base", False),
        ("C:\\models\\mine", False),
        ("./a:b", False),
        ("a/b:c", False),
        ("tiny-events", False),
    ],
)
def test_only_a_factory_looks_like_one(name: str, code: bool) -> None:
    assert is_reference(name) == code
