"""What `staa models inspect` says of checkpoints that fit, and of such that do not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from checkpoint_checks import MakeFolder, edit_json
from safetensors.torch import load_file, save_file

from staa_cli.errors import CheckpointError, UnavailableError, UsageError
from staa_cli.models.checkpoints.inspection import inspect_model
from staa_cli.models.families.timesformer.module import TimeSformer
from staa_cli.models.load import load_model


def test_a_whole_checkpoint_is_told_with_what_was_inferred(hf_folder: MakeFolder) -> None:
    _, folder = hf_folder()
    found = json.loads(json.dumps(inspect_model(str(folder))))
    assert found["fits"]
    assert found["family"] == "timesformer"
    assert found["configuration"]["embed_dim"] == 24
    assert found["attention"]["kind"] == "divided"
    assert found["labels"] == ["jump", "fall", "spin", "rest", "wave"]
    assert found["files"][0]["name"] == "model.safetensors"
    assert found["missing"] == found["unexpected"] == found["misshapen"] == []


def test_what_does_not_fit_is_listed_whole(hf_folder: MakeFolder) -> None:
    """Not a random layer, and not one name of many."""
    _, folder = hf_folder()
    weights = load_file(folder / "model.safetensors")
    gone = [name for name in weights if ".layer.1.intermediate." in name]
    for name in gone:
        del weights[name]
    weights["timesformer.layernorm.weight"] = torch.ones(7)
    weights["something.else"] = torch.ones(1)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    found = inspect_model(str(folder))
    assert not found["fits"]
    assert sorted(found["missing"]) == ["blocks.1.mlp.fc1.bias", "blocks.1.mlp.fc1.weight"]
    assert found["unexpected"] == ["something.else"]
    (misfit,) = found["misshapen"]
    assert misfit == "norm.weight float32 [7] for float32 [24]"


def test_what_has_no_part_in_a_decision_is_named(tmp_path: Path) -> None:
    from staa_cli.models.families.videomae.module import VideoMAE

    model = VideoMAE(32, 8, embed_dim=384, depth=1, num_heads=6, num_classes=3, num_frames=4)
    decoder = {"decoder.blocks.0.norm1.weight": torch.ones(4), "mask_token": torch.ones(4)}
    torch.save({"model": {**model.state_dict(), **decoder}}, tmp_path / "w.pth")
    found = inspect_model(str(tmp_path / "w.pth"))
    assert found["fits"]
    assert sorted(found["left_out"]) == sorted(decoder)


def test_an_architecture_can_be_said(tmp_path: Path, small: TimeSformer) -> None:
    torch.save(small.state_dict(), tmp_path / "w.pth")
    found = inspect_model(str(tmp_path / "w.pth"), arch="timesformer_base_patch16_224")
    assert not found["fits"]
    assert len(found["missing"]) > 100


def test_a_bundled_model_is_inspected_by_its_name() -> None:
    found = inspect_model("tiny-events")
    loaded = load_model("tiny-events").info
    assert found["fits"]
    assert found["parameters"] == loaded.parameters
    assert tuple(found["labels"]) == loaded.labels
    assert found["input"]["frames"] == loaded.input.frames


def test_what_is_none_is_refused(tmp_path: Path, hf_folder: MakeFolder) -> None:
    with pytest.raises(UnavailableError, match="no file or folder") as unknown:
        inspect_model("tiny-event")
    assert "tiny-events" in str(unknown.value.hint)
    with pytest.raises(UsageError, match="empty"):
        inspect_model("")
    _, folder = hf_folder()
    edit_json(folder / "config.json", model_type="bert")
    with pytest.raises(CheckpointError, match="'bert'") as caught:
        inspect_model(str(folder))
    assert "videomae" in str(caught.value.hint)
