"""Synthetic clips generated from a seed, with ground truth for class, place, and time."""

from __future__ import annotations

import math

from staa_cli.benchmark.datasets.base import Dataset, Question, Sample, Split
from staa_cli.errors import UsageError
from staa_cli.models.load import LoadedModel
from staa_cli.synthetic.events import (
    EVENTS,
    FRAMES,
    HARD_VARIANTS,
    INTERVAL_S,
    LABELS,
    SIZE_PX,
    STANDARD,
    Setting,
    clip_seed,
    event_clip,
)
from staa_cli.synthetic.scenes import SMALL_VIEW, STATES
from staa_cli.synthetic.twins import twin_clip

EVENT_SETS: dict[str, tuple[Setting, ...]] = {
    "events": (STANDARD,),
    "events-hard": HARD_VARIANTS,
    **{f"events-{setting.name}": (setting,) for setting in HARD_VARIANTS},
    "events-small": (SMALL_VIEW,),
    STATES.name: (STATES,),
}
"""Data set -> the settings that its clips alternate between."""
DURATION_S = FRAMES * INTERVAL_S


class EventClips(Dataset):
    """Event clips; all labels occur equally often.

    Args:
        name: a key of `EVENT_SETS`.
        seed: of the clips.
        split: of the clips.
        frames: T; they cover two seconds.
        size_px: height and width. Smaller frames show a smaller part of the scene at the same
            scale.
    """

    truth = ("label", "mask", "event")

    def __init__(
        self, name: str, seed: int, split: Split, frames: int = FRAMES, size_px: int = SIZE_PX
    ) -> None:
        self.name, self.seed, self.split = name, seed, split
        self.frames, self.size_px = frames, size_px

    def sample(self, number: int) -> Sample:
        """One of the clips; one question."""
        settings = EVENT_SETS[self.name]
        setting = settings[number % len(settings)]
        target = 1 + (number // len(settings)) % (len(setting.labels) - 1)
        clip = event_clip(
            clip_seed(self.split, self.seed, number),
            setting,
            label=LABELS.index(setting.labels[target]),
            frames=self.frames,
            interval_s=DURATION_S / self.frames,
            size_px=self.size_px,
            view=self.size_px / SIZE_PX,
        )
        return Sample(clip.frames, (Question(target, clip.mask, clip.event),))


class TwinClips(Dataset):
    """Clips with two actors, with one question for each label."""

    name, truth = "twins", ("label", "mask", "event", "distractor")

    def __init__(self, seed: int, split: Split, frames: int, size_px: int) -> None:
        self.seed, self.split, self.frames, self.size_px = seed, split, frames, size_px

    def sample(self, number: int) -> Sample:
        """One of the clips; two questions, each with the other actor as the distractor."""
        pair, in_turn = divmod(number, 2)
        count = len(EVENTS)
        first = pair % count
        second = (first + 1 + pair // count % (count - 1)) % count  # all pairs of different events
        clip = twin_clip(
            clip_seed(self.split, self.seed, number),
            (1 + first, 1 + second),
            "in turn" if in_turn else "together",
            frames=self.frames,
            interval_s=DURATION_S / self.frames,
            size_px=self.size_px,
            view=self.size_px / SIZE_PX,
        )
        return Sample(
            clip.frames,
            tuple(
                Question(clip.labels[k], clip.masks[k], clip.events[k], clip.masks[1 - k])
                for k in (0, 1)
            ),
        )


def open_event_clips(name: str, model: LoadedModel, seed: int, split: Split) -> EventClips:
    """Event clips of the settings of that name, in the format of the model's input.

    Raises:
        UsageError: the model lacks their classes, or its clips do not last two seconds.
    """
    frames, size_px = _view(name, model, EVENT_SETS[name][0].labels)
    return EventClips(name, seed, split, frames, size_px)


def open_twin_clips(name: str, model: LoadedModel, seed: int, split: Split) -> TwinClips:
    """Clips with two actors, in the format of the model's input.

    Raises:
        UsageError: as for event clips.
    """
    return TwinClips(seed, split, *_view(name, model, LABELS))


def _view(name: str, model: LoadedModel, labels: tuple[str, ...]) -> tuple[int, int]:
    """Frames of the model's clips and the side of their pictures.

    Raises:
        UsageError: it has other labels, or its clips do not last two seconds.
    """
    given = model.input
    lasts = math.isclose(given.frames * given.interval_s, DURATION_S)
    if model.labels != labels or not lasts or given.size[0] != given.size[1]:
        raise _unknown_events(name, model)
    return given.frames, given.size[0]


def _unknown_events(name: str, model: LoadedModel) -> UsageError:
    return UsageError(
        f"{model.info.name} was not trained on the clips of {name}",
        "these clips provide ground truth for the bundled models and the zoo only; use "
        "--model tiny-events, or --dataset FOLDER with your own videos",
    )
