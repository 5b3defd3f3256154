from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from staa_cli.models.families.videomae.module import videomae_tiny_events
from staa_cli.synthetic.events import (
    LABELS,
    STANDARD,
    EventClip,
    event_clip,
    make_scene,
    render,
)
from staa_cli.training import train as training
from staa_cli.training.clips import GROUP, UNCLEAR, ClipBatches, augment, token_labels
from staa_cli.training.export import confusion
from staa_cli.training.recipes import EASY, LONG, STEPS, Recipe, Stage, default_recipe
from staa_cli.training.train import build, make_optimizers, normalize, train, train_step

TINY = Recipe(
    (Stage(2, 32, EASY), Stage(2, 48, EASY)),
    seed=3,
    batch_size=2,
    warmup=2,
    muon=1.5,  # both optimizers
    model=(("embed_dim", 24), ("depth", 1), ("num_heads", 2), ("img_size", 48)),
)


def run(out: Path, recipe: Recipe = TINY, minutes: float | None = None) -> bool:
    return train(recipe, out, device="cpu", minutes=minutes)


def checkpoint(out: Path) -> dict[str, Any]:
    return torch.load(out / "checkpoint.pt", weights_only=True)


def flat(value: object, name: str = "") -> Iterator[tuple[str, object]]:
    """Every leaf of nested containers with its path."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from flat(inner, f"{name}/{key}")
    elif isinstance(value, list | tuple):
        yield from flat(dict(enumerate(value)), name)
    else:
        yield name, value


def assert_same_end(one: Path, other: Path) -> None:
    ends = [dict(flat(checkpoint(out))) for out in (one, other)]
    assert ends[0].keys() == ends[1].keys()
    for name, value in ends[0].items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, cast(torch.Tensor, ends[1][name])), name
        elif name != "/seconds":
            assert value == ends[1][name], name


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing stopped."""
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("straight")
    assert run(out)
    return out


def test_a_run_out_of_time_goes_on_to_the_same_end(straight: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "folder"
    reached = []
    for _ in range(3):
        assert not run(out, minutes=0)
        reached.append(checkpoint(out)["step"])
    assert reached == [1, 2, 3]
    assert run(out)
    assert_same_end(straight, out)


def test_an_interrupted_run_goes_on_to_the_same_end(
    straight: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not run(tmp_path, minutes=0)
    step = train_step

    def interrupt(*words: Any) -> torch.Tensor:
        if words[-1] == 2:
            raise KeyboardInterrupt
        return step(*words)

    with monkeypatch.context() as patch:
        patch.setattr(training, "train_step", interrupt)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path)
    assert checkpoint(tmp_path)["step"] == 1
    names = ["checkpoint.pt", "log.jsonl", "recipe.json"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert run(tmp_path)
    assert_same_end(straight, tmp_path)


def test_a_finished_run_stays_finished(straight: Path) -> None:
    before = (straight / "checkpoint.pt").read_bytes()
    assert run(straight)
    assert (straight / "checkpoint.pt").read_bytes() == before


def test_the_seed_decides(straight: Path, tmp_path: Path) -> None:
    run(tmp_path, replace(TINY, seed=4))
    with pytest.raises(AssertionError):
        assert_same_end(straight, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("arch", STEPS)
def test_steps_learn_a_batch_by_heart_and_the_average_follows(arch: str) -> None:
    recipe = replace(TINY, learning_rate=3e-3, ema=0.9, arch=arch)
    torch.manual_seed(0)
    model: Any = build(recipe)
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(recipe.ema))
    optimizers = make_optimizers(model, recipe)
    clips = [event_clip(seed, EASY, size_px=48, view=48 / 112) for seed in range(4)]
    frames = torch.from_numpy(np.stack([clip.frames for clip in clips]))
    labels = torch.tensor([clip.label for clip in clips])
    tokens = torch.from_numpy(np.stack([token_labels(clip) for clip in clips]))
    words = (model, average, optimizers, (frames, labels, tokens), recipe, 1)
    losses = np.array([train_step(*words).tolist() for _ in range(240)])
    assert losses[0].min() > 1.5  # guessing one of nine costs 2.2
    assert losses[-1].max() < 0.1
    with torch.inference_mode():
        answers = average(normalize(frames)).argmax(dim=1)
        _, places = training.answers(model, normalize(frames), np.random.default_rng(0))
    assert answers.tolist() == labels.tolist()
    told = places.argmax(dim=-1)
    assert (told[tokens > 0] == tokens[tokens > 0]).float().mean() > 0.9
    assert (told[tokens == 0] == 0).float().mean() > 0.9


def test_batches_go_on_where_they_are_told() -> None:
    recipe = replace(TINY, stages=(Stage(GROUP + 3, 24, EASY),))
    whole = list(ClipBatches(recipe, 0))
    assert len(whole) == GROUP + 3
    for first in (1, GROUP - 1, GROUP, GROUP + 2):
        rest = list(ClipBatches(recipe, first))
        assert len(rest) == len(whole) - first
        for batch, expected in zip(rest, whole[first:], strict=True):
            assert all(map(torch.equal, batch, expected))


def test_groups_share_no_clips_and_show_each_of_their_own_equally_often() -> None:
    batches = ClipBatches(TINY, 0)
    groups = [batches.order(number) for number in range(3)]
    counts = [np.unique(group, return_counts=True) for group in groups]
    for (clips, times), (later, _) in pairwise(counts):
        assert set(times) == {5}
        assert not set(clips) & set(later)


def test_views_grow_with_the_stages() -> None:
    sizes = [batch[0].shape for batch in ClipBatches(TINY, 0)]
    assert sizes == [(2, 8, 32, 32, 3)] * 2 + [(2, 8, 48, 48, 3)] * 2


def test_rate_rises_stays_and_falls_to_nothing() -> None:
    recipe = Recipe((Stage(100, 64, STANDARD), Stage(300, 112, STANDARD)), warmup=40, decay=0.25)
    rates = np.array([recipe.rate_at(step) for step in range(recipe.steps + 1)])
    top = recipe.learning_rate
    assert recipe.steps == 400
    assert rates[:41] == pytest.approx(top * np.minimum(np.arange(1, 42) / 40, 1))
    assert np.all(rates[40:300] == top)
    assert rates[300:] == pytest.approx(top * np.linspace(1, 0, 101))


def test_a_restart_extends_a_run_that_is_otherwise_the_same() -> None:
    before = Recipe((Stage(100, 64, STANDARD),), warmup=10)
    after = replace(before, stages=(*before.stages, Stage(50, 64, STANDARD)), restarts=(100,))
    assert [after.rate_at(step) for step in range(100)] == list(map(before.rate_at, range(100)))
    again = replace(before, stages=(Stage(50, 64, STANDARD),))
    assert [after.rate_at(100 + step) for step in range(50)] == list(map(again.rate_at, range(50)))


def test_stages_follow_each_other() -> None:
    recipe = default_recipe(steps=100)
    sizes = [recipe.stage_at(step).size_px for step in range(101)]
    assert sizes == [64] * 60 + [80] * 25 + [112] * 16
    shares = [recipe.stage_at(step).setting.event_share for step in (0, 11, 12, 100)]
    assert shares == [LONG.event_share] * 2 + [STANDARD.event_share] * 2
    assert default_recipe().stage_at(default_recipe().steps).setting == STANDARD


def test_a_run_says_what_it_depends_on(straight: Path) -> None:
    written = json.loads((straight / "recipe.json").read_text())
    assert written["seed"] == TINY.seed
    assert [stage["size_px"] for stage in written["stages"]] == [32, 48]


def test_augmentation_only_reorders_and_complements_pixels() -> None:
    """Undoing any of the 2^4 x 6 variants gives the clip back; all sixteen turns occur."""
    rng = np.random.default_rng(0)
    clip = EventClip(
        frames=rng.integers(0, 256, (4, 5, 6, 3), dtype=np.uint8),
        mask=rng.random((4, 5, 6)) < 0.3,
        event=np.array([True, True, False, False]),
        label=3,
        seed=0,
    )
    variants = {}
    for backwards in (1, -1):
        for down in (1, -1):
            for left in (1, -1):
                for order in ([0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]):
                    turned = clip.frames[::backwards, ::down, ::left][..., order]
                    variants[turned.tobytes()] = 1
                    variants[(255 - turned).tobytes()] = 1
    assert len(variants) == 96
    found = [augment(clip, np.random.default_rng(n)) for n in range(600)]
    seen = {each.frames.tobytes() for each in found}
    assert seen <= variants.keys()
    assert len(seen) > 90


def test_what_is_where_and_when_turns_with_the_frames() -> None:
    """Contrast against the middle gray tells: strong on the actor, none in an event's frames."""
    mask = np.random.default_rng(1).random((4, 5, 6)) < 0.3
    event = np.array([True, False, False, False])
    contrast = np.where(mask, 100, np.where(event[:, None, None], 0, 40))
    frames = np.repeat((127 + contrast)[..., None], 3, axis=3).astype(np.uint8)
    turns = set()
    for n in range(60):
        found = augment(EventClip(frames, mask, event, 3, 0), np.random.default_rng(n))
        strength = np.abs(found.frames[..., 0] - 127.5).round()
        assert np.array_equal(strength > 90, found.mask)
        assert np.array_equal((strength < 10).any(axis=(1, 2)), found.event)
        assert (found.label, found.seed) == (3, 0)
        turns.add(found.mask.tobytes())
    assert len(turns) == 8


def test_tokens_know_what_happens_where_and_when() -> None:
    mask = np.zeros((2, 16, 24), bool)
    mask[:, :8, 8:16] = True  # fills patch (0, 1)
    mask[:, 8:12, 0:8] = True  # half of (1, 0)
    mask[:, 8:11, 8:9] = True  # touches (1, 1)
    clip = EventClip(np.zeros((2, 16, 24, 3), np.uint8), mask, np.array([False, True]), 5, 0)
    labels = token_labels(clip)
    assert (labels[0] == 0).all()
    assert labels[1].tolist() == [[0, 5, 0], [5, UNCLEAR, 0]]


def test_small_views_of_joint_attention_lie_anywhere_in_the_whole() -> None:
    model: Any = videomae_tiny_events(embed_dim=12, depth=0, num_heads=2, num_frames=2)
    for parameter in model.patch_embed.parameters():
        parameter.data.zero_()  # so that a token is its position
    whole = model.forward_features(torch.zeros(1, 2, 3, 112, 112)).reshape(2, 14, 14, 12)
    part = model.forward_features(torch.zeros(1, 2, 3, 64, 40), (3, 9)).reshape(2, 8, 5, 12)
    assert torch.equal(part, whole[:, 3:11, 9:14])
    with pytest.raises(ValueError, match="112 x 112"):
        model.forward_features(torch.zeros(1, 2, 3, 64, 64))


@pytest.mark.parametrize("arch", STEPS)
def test_every_token_answers_for_its_own_place(arch: str) -> None:
    """Without attention, only the tokens of a patch that differs can answer otherwise."""
    shape = {"embed_dim": 24, "depth": 0, "num_heads": 2, "img_size": 48, "num_frames": 4}
    model: Any = build(replace(TINY, arch=arch, model=tuple(shape.items())))
    torch.nn.init.normal_(model.get_parameter("head.weight"))
    clip = torch.zeros(1, 4, 3, 48, 48)
    other = clip.clone()
    other[:, 2, :, 36:39, 20:23] = 1.0  # inside the stem's view of patch (4, 2), and of no other's
    before, after = (
        training.answers(model, each, np.random.default_rng(0))[1] for each in (clip, other)
    )
    changed = (before != after).any(dim=-1)[0].nonzero()
    assert before.shape == (1, 4, 6, 6, 9)
    assert [2, 4, 2] in changed.tolist()
    assert (changed[:, 0] == 2).all()
    assert (changed[:, 1:] - torch.tensor([4, 2])).abs().max() <= 1


def test_a_mirrored_clip_is_the_clip_of_the_mirrored_scene() -> None:
    """So a mirrored hop is a hop: its scene can be told without looking at the label."""
    scene = make_scene(5, replace(STANDARD, noise=0.0), label=LABELS.index("spin"))
    actor = scene.things[scene.actor]
    bare = replace(scene, things=(actor,), actor=0)
    a2, a3 = actor.shape.harmonics
    wave = actor.shape.stripes
    shape = replace(
        actor.shape,
        harmonics=np.array([[a2[0], -a2[1]], [a3[0], -a3[1]]], np.float32),
        stripes=np.array([wave[0], -wave[1], wave[2]], np.float32),
    )
    mirrored = replace(
        actor,
        shape=shape,
        center=(actor.center[0], 1 - actor.center[1]),
        velocity=(actor.velocity[0], -actor.velocity[1]),
        angle=-actor.angle,
    )
    twin = replace(bare, things=(mirrored,), direction=-scene.direction)
    times = np.arange(8) / 4
    _, mask = render(bare, times, 112)
    _, other = render(twin, times, 112)
    assert np.mean(mask[:, ::-1] != other) < 0.001


def test_normalized_frames_are_what_the_model_takes() -> None:
    frames = torch.tensor([[[[[0, 255, 115]]]]], dtype=torch.uint8)  # [1, 1, 1, 1, 3]
    out = normalize(frames)
    assert out.shape == (1, 1, 3, 1, 1)
    assert out.is_contiguous()
    assert out.flatten().tolist() == pytest.approx(
        [
            -2.0,
            0.55 / 0.225,
            0.0,
        ],
        abs=0.005,
    )


class Oracle(torch.nn.Module):
    """Answers with a fixed class, whatever it sees."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.one_hot(torch.full((len(x),), 4), len(LABELS)).float()


def test_confusion_counts_every_clip_once() -> None:
    seeds = range(100, 119)  # more than one batch, and no whole number of them
    counts = confusion(Oracle(), TINY, Stage(0, 112, STANDARD), seeds)
    labels = [event_clip(seed).label for seed in seeds]
    assert counts[:, 4].tolist() == [labels.count(n) for n in range(len(LABELS))]
    assert counts.sum() == len(seeds)


@pytest.mark.parametrize("arch", STEPS)
def test_the_bundled_models_take_what_training_makes(arch: str) -> None:
    recipe = replace(default_recipe(3, arch), batch_size=1)
    frames, labels, _ = next(iter(ClipBatches(recipe, 1)))
    model: Any = build(recipe)
    logits, _ = training.answers(model, normalize(frames), np.random.default_rng(0))
    assert logits.shape == (len(labels), len(LABELS))
