"""Data sets: what follows from a seed, and what the ground truth of twins is."""

from __future__ import annotations

import numpy as np

from staa_cli.benchmark.datasets.events import EventClips, TwinClips
from staa_cli.synthetic.events import EVENTS
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
        tuple(question.target for question in TwinClips(0, "test").sample(number).questions)
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
