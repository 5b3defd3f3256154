"""Image transformers of timm as video models, from timm's own folders and files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoint_checks import assert_refused, edit_json, load
from safetensors.torch import save_file
from timm.models import create_model, save_for_hf

from staa_cli.errors import UnavailableError, UsageError

SIZES: dict[str, Any] = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 2}


def image_model(**options: Any) -> Any:
    torch.manual_seed(0)
    return create_model(
        "vit_tiny_patch16_224", num_heads=2, **{"num_classes": 5, **SIZES, **options}
    ).eval()


def saved(model: Any, folder: Path) -> Path:
    """A folder as timm saves it for the hub."""
    save_for_hf(model, str(folder), model_args={**SIZES, "num_heads": 2}, safe_serialization=True)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    cfg = {"mean": (0.1, 0.2, 0.3), "crop_pct": 0.8, "input_size": (3, 32, 32)}
    model = image_model(pretrained_cfg_overlay=cfg)
    return saved(model, tmp_path / "vit")


def test_a_folder_of_timm_is_a_video_model(folder: Path) -> None:
    model = load(folder)
    frames = torch.randn(8, 3, 32, 32)
    with torch.inference_mode():
        alone = image_model()(frames)
    torch.testing.assert_close(model.forward(frames[None])[0], alone.mean(dim=0))
    assert model.info.family == "framewise"
    assert "one frame at a time" in model.info.note
    assert model.input.mean == (0.1, 0.2, 0.3)
    assert (model.input.frames, model.input.size, model.input.resize) == (8, (32, 32), 40)
    assert model.layout.kind == "frame"
    assert model.labels == tuple(f"class_{n}" for n in range(5))


def test_names_in_the_folder_are_taken(folder: Path) -> None:
    edit_json(folder / "config.json", label_names=["a", "b", "c", "d", "e"])
    assert load(folder).labels == ("a", "b", "c", "d", "e")


def test_pixels_are_timms_own(folder: Path) -> None:
    from PIL import Image
    from timm.data import create_transform, resolve_data_config

    picture = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    config = json.loads((folder / "config.json").read_text())
    facts = resolve_data_config(pretrained_cfg=config["pretrained_cfg"])
    expected = create_transform(**facts)(Image.fromarray(picture))
    found = load(folder).preprocess_frame(picture)
    # One gray level, as Pillow rounds otherwise than torch.
    assert (found - expected).abs().max() < 1.5 / 255 / min(facts["std"])


def test_a_file_needs_to_be_told_which_model_it_is_of(tmp_path: Path) -> None:
    model = create_model("vit_tiny_patch16_224", num_classes=5, depth=12).eval()
    save_file(model.state_dict(), tmp_path / "w.safetensors")
    found = load(tmp_path / "w.safetensors", arch="timm:vit_tiny_patch16_224")
    frames = torch.randn(2, 3, 224, 224)
    with torch.inference_mode():
        torch.testing.assert_close(found.forward(frames[None])[0], model(frames).mean(dim=0))
    with pytest.raises(UsageError, match="no model 'vit_tiny_patch16_225'") as caught:
        load(tmp_path / "w.safetensors", arch="timm:vit_tiny_patch16_225")
    assert "vit_tiny_patch16_224" in str(caught.value.hint)


def test_imagenets_classes_have_their_names(tmp_path: Path) -> None:
    model = image_model(num_classes=1000)
    assert load(saved(model, tmp_path / "v")).labels[0] == "tench, Tinca tinca"


@pytest.mark.parametrize(
    ("architecture", "options", "words"),
    [
        ("vit_tiny_patch16_224", {"global_pool": "map"}, "by attention"),
        ("vit_tiny_patch16_224", {"global_pool": "max"}, "'max'"),
        ("resnet18", {}, "ResNet"),
        ("eva02_tiny_patch14_224", {}, "Eva"),
    ],
)
def test_what_cannot_be_read_is_refused(
    tmp_path: Path, architecture: str, options: dict[str, Any], words: str
) -> None:
    config = {"architecture": architecture, "num_classes": 5, "model_args": options}
    (tmp_path / "config.json").write_text(json.dumps(config))
    save_file({"head.weight": torch.zeros(5, 8)}, tmp_path / "model.safetensors")
    assert_refused(tmp_path, words)


def test_an_architecture_that_timm_has_not_is_told(folder: Path) -> None:
    edit_json(folder / "config.json", architecture="vit_of_tomorrow")
    assert_refused(folder, "vit_of_tomorrow")


def test_a_name_of_timm_is_on_the_hub(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    asked: list[str] = []

    def fetch(name: str, **options: Any) -> Path:
        asked.append(name)
        return folder

    monkeypatch.setattr("staa_cli.models.checkpoints.sources.fetch", fetch)
    load("timm:vit_tiny_patch16_224")
    load("timm:vit_base_patch16_224.augreg_in1k")
    assert asked == [
        "timm/vit_tiny_patch16_224.augreg_in21k_ft_in1k",
        "timm/vit_base_patch16_224.augreg_in1k",
    ]
    with pytest.raises(UnavailableError, match="vit_tiny_patch16_223"):
        load("timm:vit_tiny_patch16_223")
    monkeypatch.undo()
    with pytest.raises(UnavailableError, match="offline"):
        load("timm:vit_tiny_patch16_384", offline=True)
