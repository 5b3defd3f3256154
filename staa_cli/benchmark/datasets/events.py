"""Clips from a seed, of which it is known what happens in them, where, and when."""

from __future__ import annotations

from staa_cli.benchmark.datasets.base import Dataset, Question, Sample, Split
from staa_cli.errors import UsageError
from staa_cli.models.load import LoadedModel
from staa_cli.synthetic.events import (
    EVENTS,
    FRAMES,
    HARD_VARIANTS,
    LABELS,
    SIZE_PX,
    STANDARD,
    Setting,
    clip_seed,
    event_clip,
)
from staa_cli.synthetic.twins import twin_clip

EVENT_SETS: dict[str, tuple[Setting, ...]] = {
    "events": (STANDARD,),
    "events-hard": HARD_VARIANTS,
    **{f"events-{setting.name}": (setting,) for setting in HARD_VARIANTS},
}
"""Names of data sets, and the settings that each goes through in turn."""


class EventClips(Dataset):
    """Event clips, every label as often as the others."""

    truth = ("label", "mask", "event")

    def __init__(self, name: str, seed: int, split: Split) -> None:
        self.name, self.seed, self.split = name, seed, split

    def sample(self, number: int) -> Sample:
        """One of the clips; one question."""
        settings = EVENT_SETS[self.name]
        clip = event_clip(
            clip_seed(self.split, self.seed, number),
            settings[number % len(settings)],
            label=1 + (number // len(settings)) % len(EVENTS),
        )
        return Sample(clip.frames, (Question(clip.label, clip.mask, clip.event),))


class TwinClips(Dataset):
    """Clips with two actors; both labels are asked for."""

    name, truth = "twins", ("label", "mask", "event", "distractor")

    def __init__(self, seed: int, split: Split) -> None:
        self.seed, self.split = seed, split

    def sample(self, number: int) -> Sample:
        """One of the clips; two questions, each with the other's actor for a distractor."""
        pair, in_turn = divmod(number, 2)
        count = len(EVENTS)
        first = pair % count
        second = (first + 1 + pair // count % (count - 1)) % count  # all pairs, none with itself
        clip = twin_clip(
            clip_seed(self.split, self.seed, number),
            (1 + first, 1 + second),
            "in turn" if in_turn else "together",
        )
        return Sample(
            clip.frames,
            tuple(
                Question(clip.labels[k], clip.masks[k], clip.events[k], clip.masks[1 - k])
                for k in (0, 1)
            ),
        )


def open_event_clips(name: str, model: LoadedModel, seed: int, split: Split) -> EventClips:
    """Event clips of the settings that go by that name.

    Raises:
        UsageError: the model does not know their classes.
    """
    _check_knows_events(model)
    return EventClips(name, seed, split)


def open_twin_clips(name: str, model: LoadedModel, seed: int, split: Split) -> TwinClips:
    """Clips with two actors.

    Raises:
        UsageError: the model does not know their classes.
    """
    _check_knows_events(model)
    return TwinClips(seed, split)


def _check_knows_events(model: LoadedModel) -> None:
    size = model.input.frames, model.input.size
    if model.labels != LABELS or size != (FRAMES, (SIZE_PX, SIZE_PX)):
        raise UsageError(
            f"{model.info.name} was not trained on event clips",
            "event clips provide ground truth for the bundled models only; use "
            "--model tiny-events, or --dataset FOLDER with your own videos",
        )
