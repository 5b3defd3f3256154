"""The bundled models and their manifests."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from staa_cli.errors import CheckpointError
from staa_cli.models.architectures import ARCHITECTURES
from staa_cli.models.catalog.manifests import WEIGHTS, list_models, read_manifests
from staa_cli.models.checkpoints.sources import open_bundled
from staa_cli.models.load import load_model
from staa_cli.schema import RandomMasks
from staa_cli.synthetic.events import FRAMES, INTERVAL_S, LABELS, SIZE_PX

CARD = {
    "family": "timesformer",
    "arch": "test_timesformer",
    "kwargs": {"num_frames": 8},
    "labels": ["a", "b", "c"],
    "input": {
        "frames": 8,
        "size": [32, 32],
        "stride": 2,
        "rate": 8.0,
        "mean": [0.5, 0.5, 0.5],
        "std": [0.25, 0.25, 0.25],
        "resize": 36,
    },
    "license": "MIT",
    "origin": "a test",
    "note": "knows nothing",
}

BUNDLED = sorted(read_manifests())


def test_a_card_and_its_weights_make_a_model(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text(json.dumps(CARD))
    original = ARCHITECTURES.get("test_timesformer").build(num_frames=8, num_classes=3).eval()
    save_file(original.state_dict(), tmp_path / "mine.safetensors")
    module, info = open_bundled(read_manifests(tmp_path)["mine"])
    clip = torch.randn(1, 8, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(module(clip), original(clip))
    assert (info.name, info.license, info.note) == ("mine", "MIT", "knows nothing")
    assert (info.labels, info.input.resize, info.layout.grid) == (("a", "b", "c"), 36, (8, 4, 4))


def test_a_card_says_with_which_masks_a_model_was_trained(tmp_path: Path) -> None:
    masks = {"share": 0.25, "replacement": "mean"}
    (tmp_path / "mine.json").write_text(json.dumps(CARD | {"random_masks": masks}))
    (tmp_path / "other.json").write_text(json.dumps(CARD))
    manifests = read_manifests(tmp_path)
    assert manifests["mine"].random_masks == RandomMasks(0.25, "mean")
    assert manifests["other"].random_masks is None
    save_file(
        ARCHITECTURES.get("test_timesformer").build(num_frames=8, num_classes=3).state_dict(),
        tmp_path / "mine.safetensors",
    )
    assert open_bundled(manifests["mine"])[1].random_masks == RandomMasks(0.25, "mean")
    (tmp_path / "mine.json").write_text(json.dumps(CARD | {"random_masks": masks | {"share": 2}}))
    with pytest.raises(CheckpointError, match=r"mine\.json is broken: a share of random masks"):
        read_manifests(tmp_path)


def test_models_are_listed_as_plain_data(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text(json.dumps(CARD))
    model, *others = json.loads(json.dumps(list_models(tmp_path)))
    assert "videomae-base-k400" in [other["name"] for other in others]
    assert model == {
        "name": "mine",
        "family": "timesformer",
        "input": {"frames": 8, "size": [32, 32], "stride": 2, "rate": 8.0},
        "classes": 3,
        "labels": ["a", "b", "c"],
        "license": "MIT",
        "origin": "a test",
        "note": "knows nothing",
    }


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"family": "timesformer"}'])
def test_a_broken_card_is_told(text: str, tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"mine\.json"):
        read_manifests(tmp_path)


@pytest.mark.parametrize("name", BUNDLED)
def test_the_bundled_card_says_what_the_model_knows(name: str) -> None:
    manifest = read_manifests()[name]
    assert manifest.labels == LABELS
    assert (manifest.input.frames, manifest.input.size) == (FRAMES, (SIZE_PX, SIZE_PX))
    assert manifest.input.interval_s == INTERVAL_S
    assert "synthetic events only" in manifest.note
    assert "--model" in manifest.note


@pytest.mark.parametrize(
    "name", [BUNDLED[0], *(pytest.param(name, marks=pytest.mark.slow) for name in BUNDLED[1:])]
)
def test_the_bundled_model_tells_events_apart(name: str) -> None:
    from staa_cli.synthetic.events import STANDARD, clip_seed, event_clip

    assert (WEIGHTS / f"{name}.safetensors").stat().st_size < 8e6
    model = load_model(name, device="cpu")
    clips = [event_clip(clip_seed("test", 0, index), STANDARD) for index in range(36)]
    logits = torch.cat([model.forward(model.preprocess(clip.frames)) for clip in clips])
    right = logits.argmax(dim=1) == torch.tensor([clip.label for clip in clips])
    assert right.float().mean() > 0.85  # chance is 0.11


@pytest.mark.parametrize("arch", ARCHITECTURES.names("*_tiny_events"))
def test_a_model_is_built_on_the_meta_device_before_its_weights_are_read(arch: str) -> None:
    with torch.device("meta"):
        module = ARCHITECTURES.get(arch).build(img_size=64)
    assert all(parameter.is_meta for parameter in module.parameters())
