"""What methods are scored on: clips from a seed with ground truth, or the user's own videos."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from staa_cli import entry_points
from staa_cli.config.settings import OutputSettings, SamplingSettings
from staa_cli.errors import NothingMatched, UsageError
from staa_cli.explain.sampling import plan
from staa_cli.models.load import LoadedModel
from staa_cli.registry import Registry, did_you_mean
from staa_cli.schema import Bool, UInt8
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
from staa_cli.video.decode import iter_frames
from staa_cli.video.folders import absolute, walk_videos
from staa_cli.video.probe import probe

Split = Literal["development", "test"]

EVENT_SETS: dict[str, tuple[Setting, ...]] = {
    "events": (STANDARD,),
    "events-hard": HARD_VARIANTS,
    **{f"events-{setting.name}": (setting,) for setting in HARD_VARIANTS},
}
"""Names of data sets, and the settings that each goes through in turn."""


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """A class that is asked for, and where and when its answer lies."""

    target: int | None = None
    """None for whatever the model says."""
    mask: Bool | None = None
    """[T, H, W] where the actor is; None without ground truth."""
    event: Bool | None = None
    """[T] frames of the event; None without ground truth."""
    distractor: Bool | None = None
    """[T, H, W] where the actor of another class is; None where there is none."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A clip, and all that is asked about it."""

    frames: UInt8
    """[T, H, W, 3]."""
    questions: tuple[Question, ...]


class Dataset(ABC):
    """Clips by number."""

    name: str
    truth: bool
    """Whether it is known which classes a clip is of, and where and when they happen."""
    count: int | None = None
    """Clips that there are; None for as many as one likes."""

    @abstractmethod
    def sample(self, number: int) -> Sample:
        """One of the clips.

        Raises:
            InputError: there is nothing to be read of it.
        """

    def describe(self, number: int) -> str:
        """What a clip is called."""
        return f"clip {number}"

    def fingerprint(self) -> Any:
        """What tells these clips from others of that name, as JSON has it; None for nothing."""
        return None


class EventClips(Dataset):
    """Event clips, every label as often as the others."""

    truth = True

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

    name, truth = "twins", True

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


class Videos(Dataset):
    """The middle clip of every video in a folder and below; asked for is what the model says.

    What `staa explain` has written there is left out.

    Raises:
        NothingMatched: there is no video.
    """

    truth = False

    def __init__(self, folder: Path, model: LoadedModel) -> None:
        self.name, self._given = str(folder), model.input
        results = absolute(folder / OutputSettings().dir)
        self.paths = list(walk_videos(folder, recursive=True, skip=results))
        if not self.paths:
            raise NothingMatched(f"no video in {folder}")
        self.count = len(self.paths)

    def sample(self, number: int) -> Sample:
        """The middle clip of one of the videos; one question.

        Raises:
            VideoError: the video does not open or decode.
        """
        info = probe(self.paths[number])
        clip = plan(
            info.times_s,
            frames=self._given.frames,
            interval_s=self._given.interval_s,
            settings=SamplingSettings(strategy="segments", clips=1),
        ).clips[0]
        pictures = dict(iter_frames(info, clip.frame_indices))
        return Sample(np.stack([pictures[n] for n in clip.frame_indices]), (Question(),))

    def describe(self, number: int) -> str:
        """The video's path."""
        return str(self.paths[number])

    def fingerprint(self) -> list[tuple[str, int]]:
        """What tells these videos from others: each one's path below the folder, and its size."""
        below = [path.relative_to(self.name).as_posix() for path in self.paths]
        sizes = (path.stat().st_size if path.is_file() else 0 for path in self.paths)
        return list(zip(below, sizes, strict=True))


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


Opener = Callable[[str, LoadedModel, int, Split], Dataset]
"""(name, model that is to classify the clips, seed, split) -> data set of that name.

It may be a subclass of `Dataset` that is made from these four, and raises UsageError where the
model does not fit.
"""


def _accept(name: str, declared: Any) -> Opener:
    if not callable(declared):
        raise TypeError("expected a function of name, model, seed, and split that opens a data set")
    opener: Opener = declared
    return opener


DATASETS: Registry[Opener] = Registry("data set", entry_points.DATASETS, _accept)
register_dataset = DATASETS.register
"""A decorator that files an `Opener` under a name, for as long as the program runs."""


def open_dataset(name: str, model: LoadedModel, seed: int, split: Split = "test") -> Dataset:
    """A data set's name, or a folder of videos, in; its clips out.

    Args:
        name: of a data set that is declared, or a folder's path.
        model: that is to classify the clips.
        seed: which clips, of those made from a seed.
        split: development clips are for choosing, test clips for reporting.

    Raises:
        UsageError: there is no such data set, or the model does not know its classes.
        UnavailableError: it is of a package, and cannot be loaded.
        NothingMatched: the folder holds no video.
    """
    if name in DATASETS:
        return DATASETS.get(name)(name, model, seed, split)
    if Path(name).is_dir():
        return Videos(Path(name), model)
    known = DATASETS.names()
    hint = did_you_mean(name, known) or f"a folder of videos, or one of {', '.join(known)}"
    raise UsageError(f"unknown data set {name!r}", hint)
