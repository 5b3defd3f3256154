"""The benchmark's zoo: how its models are trained, exported, and loaded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from staa_cli.errors import UnavailableError, UsageError
from staa_cli.methods.perturbation.base import replacement_for
from staa_cli.models.catalog.zoo import RECIPES, list_zoo, zoo_manifest
from staa_cli.models.checkpoints.sources import open_bundled
from staa_cli.training import zoo
from staa_cli.training.clips import ClipBatches
from staa_cli.training.recipes import Stage
from staa_cli.training.train import (
    build,
    make_optimizers,
    normalize,
    train,
    train_step,
    with_random_masks,
)
from staa_cli.training.zoo import MEMBERS, SIZE_PX, Member, export


def short(name: str) -> Member:
    """A member after one step."""
    member = MEMBERS[name]
    stage = Stage(1, SIZE_PX, member.recipe.stages[-1].setting)
    return replace(member, recipe=replace(member.recipe, stages=(stage,), batch_size=2))


@pytest.mark.parametrize("name", MEMBERS)
def test_a_member_takes_what_training_makes_and_only_labels_teach_it(name: str) -> None:
    recipe = MEMBERS[name].recipe
    assert recipe.token_loss == 0
    frames, labels, tokens = next(iter(ClipBatches(short(name).recipe, 0)))
    assert tokens.numel() == 0
    logits = build(recipe)(normalize(frames))
    assert logits.shape == (len(labels), len(recipe.labels))


def test_random_masks_remove_tokens_from_every_second_clip() -> None:
    recipe = MEMBERS["divided-cls-masked"].recipe
    masks = recipe.random_masks
    assert masks is not None
    model = build(recipe)
    torch.manual_seed(0)
    clips = torch.randn(6, 8, 3, 64, 64)
    masked = with_random_masks(clips, model, masks, [3])
    assert torch.equal(masked[1::2], clips[1::2])
    replaced = (masked != clips)[::2].all(dim=2)  # [3, T, H, W]
    patches = replaced.unflatten(3, (8, 8)).unflatten(2, (8, 8)).permute(0, 1, 2, 4, 3, 5)
    whole, some = patches.flatten(4).all(dim=4), patches.flatten(4).any(dim=4)
    assert torch.equal(whole, some)  # tokens are removed as a whole
    shares = whole.flatten(1).float().mean(dim=1)
    assert (shares > 0).all()
    assert (shares <= masks.share + 0.05).all()
    blurred = replacement_for(clips[::2], "blur").transpose(1, 2)
    assert torch.equal(
        masked[::2].transpose(1, 2)[replaced[:, None].expand_as(blurred)],
        blurred[replaced[:, None].expand_as(blurred)],
    )


def test_attention_that_is_held_uniform_stays_uniform() -> None:
    recipe = short("divided-uniform").recipe
    torch.manual_seed(0)
    model = build(recipe)
    average = torch.optim.swa_utils.AveragedModel(model)
    optimizers = make_optimizers(model, recipe)
    batch = next(iter(ClipBatches(recipe, 0)))
    before = model.get_parameter("blocks.0.attn.qkv.weight").detach().clone()
    for step in range(2):
        train_step(model, average, optimizers, batch, recipe, step)
    width = 2 * before.shape[1]
    after = model.get_parameter("blocks.0.attn.qkv.weight").detach()
    assert not after[:width].any()
    assert not torch.equal(after[width:], before[width:])  # values do learn


@pytest.mark.parametrize("name", ["divided-cls", "pooler", "framewise-mean"])
def test_a_finished_run_becomes_a_model_of_the_zoo(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(zoo.MEMBERS, name, short(name))
    run, folder = tmp_path / "run", tmp_path / "zoo"
    assert train(MEMBERS[name].recipe, run, device="cpu", minutes=None)
    share = export(name, run, folder, clips=4)
    manifest = zoo_manifest(f"zoo:{name}", folder)
    assert manifest.accuracy == pytest.approx(share, abs=1e-4)
    module, info = open_bundled(manifest)
    assert info.labels == MEMBERS[name].recipe.labels
    assert info.input.interval_s * info.input.frames == pytest.approx(2.0)
    average = torch.load(run / "checkpoint.pt", weights_only=True)["average"]
    for key, value in module.state_dict().items():
        assert torch.equal(value, average[f"module.{key}"].half().float()), key
    text = (folder / f"{name}.md").read_text()
    assert f"# zoo:{name}" in text
    assert "left out of means over the zoo" in text  # one step teaches nothing
    (row,) = list_zoo(folder)
    assert row["name"] == f"zoo:{name}"
    assert row["accuracy"] == manifest.accuracy


def test_a_model_that_is_missing_says_how_it_is_made(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="no model 'pooler'") as caught:
        zoo_manifest("zoo:pooler", tmp_path)
    assert caught.value.hint is not None
    assert "python -m staa_cli.training.zoo RUNS pooler" in caught.value.hint
    assert "`staa models --zoo`" in caught.value.hint


def test_the_names_that_are_known_without_torch_are_those_of_the_recipes() -> None:
    assert tuple(MEMBERS) == RECIPES


def test_a_run_of_another_recipe_is_not_gone_on_with(tmp_path: Path) -> None:
    recipe = short("divided-cls").recipe
    train(recipe, tmp_path, device="cpu", minutes=None)
    with pytest.raises(UsageError, match="another recipe"):
        train(replace(recipe, seed=5), tmp_path, device="cpu", minutes=None)
