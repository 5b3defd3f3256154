"""The zoo's model of real footage: its batches, its training, and its export."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from staa_cli.footage.class_folder import ClassFolder
from staa_cli.models.catalog import zoo as catalog
from staa_cli.models.load import load_model
from staa_cli.training import footage
from staa_cli.training.footage import FootageBatches, augment, clips_for, recipe_for
from staa_cli.training.train import build, train
from staa_cli.video.encode import write_video

START = "divided-cls"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bright and dark videos, more of them dark."""
    made = tmp_path_factory.mktemp("classes")
    for number in range(10):
        label, level = ("bright", 190) if number < 4 else ("dark", 60)
        (made / label).mkdir(exist_ok=True)
        pictures = np.full((10, 96, 128, 3), level, np.uint8)
        write_video(made / label / f"{number}.mp4", list(pictures), rate=4, preset="ultrafast")
    return made


@pytest.fixture
def zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the zoo with the model to start from."""
    copy = tmp_path / "zoo"
    copy.mkdir()
    for path in catalog.zoo_folder().glob(f"{START}.*"):
        shutil.copy(path, copy)
    for module in (catalog, footage):
        monkeypatch.setattr(module, "zoo_folder", lambda: copy)
    monkeypatch.setattr(footage, "START", START)
    return copy


def test_batches_are_balanced_and_resume_where_they_were(folder: Path, zoo: Path) -> None:
    classes = ClassFolder(folder)
    recipe = replace(recipe_for(classes.classes, steps=4), batch_size=6)
    clips = clips_for(classes, catalog.zoo_manifest(f"zoo:{START}").input)
    batches = list(FootageBatches(recipe, 0, clips))
    assert len(batches) == 4
    for frames, shares, tokens in batches:
        assert frames.shape == (6, 8, 64, 64, 3)
        assert frames.dtype == torch.uint8
        assert shares.sum(dim=0).tolist() == pytest.approx([3, 3])
        assert shares.sum(dim=1).tolist() == pytest.approx([1] * 6)
        assert tokens.numel() == 0
    for one, other in zip(batches[2:], FootageBatches(recipe, 2, clips), strict=True):
        assert torch.equal(one[0], other[0])
        assert torch.equal(one[1], other[1])


def test_a_variant_is_a_part_of_the_clip_in_one_of_two_directions() -> None:
    ramp = np.broadcast_to(np.arange(80, 160, dtype=np.uint8)[:, None], (3, 80, 80))
    clip = np.stack([ramp + 10 * n for n in range(3)])[0, ..., None].repeat(3, axis=-1)
    rng = np.random.default_rng(0)
    for _ in range(20):
        variant = augment(clip.astype(np.uint8), 64, rng)
        assert variant.shape == (3, 64, 64, 3)
        rows = variant[0, :, 32, 0]
        inner = rows[(rows > 0) & (rows < 255)]
        assert (inner.diff() > 0).all()  # down stays down
        assert variant.min() >= 0
        assert variant.max() <= 255


def numbered(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Clips whose level is their number, and their labels: each is a class of its own."""
    levels = torch.arange(count).float().reshape(count, 1, 1, 1, 1)
    return levels.expand(count, 8, 16, 16, 3).clone(), torch.eye(count)


@pytest.mark.parametrize("mix", footage.MIXES)
@pytest.mark.parametrize("seed", range(5))
def test_labels_are_mixed_in_the_shares_of_the_clips(mix: Callable[..., Any], seed: int) -> None:
    frames, shares = numbered(8)
    mixed, mixed_shares = mix(frames, shares, np.random.default_rng(seed))
    assert mixed.shape == frames.shape
    # A share of the volume of level n adds that share of n to the mean.
    np.testing.assert_allclose(
        mixed.mean(dim=(1, 2, 3, 4)), mixed_shares @ torch.arange(8).float(), atol=1e-5
    )
    np.testing.assert_allclose(mixed_shares.sum(dim=1), 1, rtol=1e-6)


def test_clips_are_joined_in_time_or_side_by_side() -> None:
    frames, shares = numbered(8)
    rng = np.random.default_rng(0)
    joined, _ = footage.continued(frames, shares, rng)
    assert (joined == joined[:, :, :1, :1, :1]).all()  # whole frames
    tiles, _ = footage.tiled(frames, shares, rng)
    assert (tiles == tiles[:, :1]).all()
    quarters = [tiles[:, 0, 8 * y : 8 * y + 8, 8 * x : 8 * x + 8] for y in (0, 1) for x in (0, 1)]
    assert all((part == part[:, :1, :1, :1]).all() for part in quarters)


def test_training_starts_from_a_model_of_the_zoo_with_a_new_head(folder: Path, zoo: Path) -> None:
    model = build(recipe_for(ClassFolder(folder).classes))
    trained = load_model(f"zoo:{START}").module.state_dict()
    for name, weight in model.state_dict().items():
        if name.startswith("head."):
            assert len(weight) == 2
        else:
            assert torch.equal(weight, trained[name]), name


def test_a_finished_run_becomes_the_model_of_footage(
    folder: Path, zoo: Path, tmp_path: Path
) -> None:
    classes = ClassFolder(folder)
    recipe = replace(recipe_for(classes.classes, steps=2), batch_size=4)
    clips = clips_for(classes, catalog.zoo_manifest(f"zoo:{START}").input)
    batches = partial(FootageBatches, clips=clips)
    assert train(recipe, tmp_path / "run", device="cpu", minutes=None, batches=batches)
    words = footage.export(tmp_path / "run", folder)
    model = load_model("zoo:footage")
    assert model.labels == ("bright", "dark")
    assert model.info.background is None
    manifest = json.loads((zoo / "footage.json").read_text())
    right = 0
    tested = classes.clips("test", model.input)
    for frames, label in tested:
        right += int(model.module(model.preprocess(frames)).argmax()) == label
    assert manifest["accuracy"] == pytest.approx(right / len(tested), abs=1e-4)
    text = (zoo / "footage.md").read_text()
    assert all(line in text for line in words.splitlines())
    assert "trivial predictors" in text
