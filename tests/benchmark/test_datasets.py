"""Data sets: what follows from a seed, and what the ground truth of twins is."""

from __future__ import annotations

import numpy as np
import pytest

from staa_cli.benchmark.datasets import open_dataset
from staa_cli.benchmark.datasets.events import EventClips, TwinClips
from staa_cli.errors import UsageError
from staa_cli.models.load import load_model
from staa_cli.synthetic.events import EVENTS, LABELS, clip_seed, event_clip
from staa_cli.synthetic.scenes import STATES
from staa_cli.synthetic.twins import twin_clip


def test_clips_follow_from_seed_and_split_and_labels_are_even() -> None:
    first, again, other = (
        [EventClips("events", 3, split).sample(n) for n in range(16)]
        for split in ("test", "test", "development")
    )
    assert all(np.array_equal(a.frames, b.frames) for a, b in zip(first, again, strict=True))
    assert not any(np.array_equal(a.frames, b.frames) for a, b in zip(first, other, strict=True))
    labels = [clip.questions[0].target or 0 for clip in first]
    assert sorted(labels) == sorted([*range(1, 9)] * 2)


def test_twins_ask_about_every_pair_and_never_about_one_label_twice() -> None:
    pairs = [
        tuple(question.target for question in TwinClips(0, "test", 8, 112).sample(number).questions)
        for number in range(0, 112, 2)
    ]
    assert len(set(pairs)) == len(EVENTS) * (len(EVENTS) - 1) == len(pairs)
    assert all(a != b for a, b in pairs)


def test_twins_are_two_actors_of_which_each_is_where_its_mask_says() -> None:
    clip = twin_clip(7, (3, 4), "in turn")  # a shake, then a blink
    left, right = clip.masks
    assert not (left & right).any()
    width = left.shape[2]
    assert left[..., : width // 2].sum() > 0.9 * left.sum()
    assert right[..., width // 2 :].sum() > 0.9 * right.sum()
    first, second = (np.flatnonzero(row) for row in clip.events)
    assert first.max() < second.min()
    # An actor's own event changes what is under its mask, and another's does not: without the
    # right one's blink, all else is the same.
    other = twin_clip(7, (3, 5), "in turn")
    assert np.array_equal(other.masks[0], left)
    differs = (other.frames != clip.frames).any(axis=-1)
    assert differs[second].any()
    assert not differs[first.min() : first.max() + 1].any()


def test_twins_have_the_models_view() -> None:
    """In a smaller view both actors are still there, as large as ever, in the same order."""
    for number in range(8):
        sample = TwinClips(0, "test", 16, 64).sample(number)
        assert sample.frames.shape == (16, 64, 64, 3)
        for question in sample.questions:
            assert question.event is not None
            assert question.event.any()
        left, right = (question.mask for question in sample.questions)
        assert left is not None
        assert right is not None
        assert not (left & right).any()
        across = [np.flatnonzero(mask.any(axis=(0, 1))).mean() for mask in (left, right)]
        assert across[0] < across[1]
        large = TwinClips(0, "test", 8, 112).sample(number)
        assert large.questions[0].mask is not None
        ratio = left.sum(axis=(1, 2)).max() / large.questions[0].mask.sum(axis=(1, 2)).max()
        assert 0.4 < ratio < 2.5


def test_clips_are_as_the_model_takes_them_and_ask_for_its_own_labels() -> None:
    data = EventClips("states", 3, "test", frames=16, size_px=64)
    samples = [data.sample(n) for n in range(6)]
    targets = [sample.questions[0].target for sample in samples]
    assert targets == [1, 2, 3, 1, 2, 3]
    view = {"frames": 16, "interval_s": 0.125, "size_px": 64, "view": 64 / 112}
    clip = event_clip(clip_seed("test", 3, 2), STATES, label=7, **view)  # type: ignore[arg-type]
    assert STATES.labels[3] == LABELS[7]
    assert np.array_equal(samples[2].frames, clip.frames)
    question = samples[2].questions[0]
    assert question.mask is not None
    assert question.event is not None
    assert np.array_equal(question.mask, clip.mask)
    assert np.array_equal(question.event, clip.event)


@pytest.mark.parametrize(
    ("model", "dataset"),
    [("tiny-events", "states"), ("test_vivit", "events"), ("zoo:footage", "twins")],
)
def test_a_model_that_was_trained_on_other_clips_is_refused(model: str, dataset: str) -> None:
    with pytest.raises(UsageError, match=f"was not trained on the clips of {dataset}"):
        open_dataset(dataset, load_model(model), 0)


def test_a_model_of_the_zoo_is_scored_on_clips_of_its_own_size() -> None:
    model = load_model("zoo:divided-cls")
    sample = open_dataset("events", model, 0).sample(0)
    assert sample.frames.shape == (8, 64, 64, 3)
    assert model.preprocess(sample.frames).shape == (1, 8, 3, 64, 64)
