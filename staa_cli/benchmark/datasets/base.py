"""What a data set is: clips by number, and what is asked about each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from staa_cli import entry_points
from staa_cli.evaluation.base import Known
from staa_cli.models.load import LoadedModel
from staa_cli.models.preprocess import preprocess_frame
from staa_cli.registry import Registry
from staa_cli.schema import Bool, UInt8

Split = Literal["development", "test"]
OnProgress = Callable[[int, int], None]
"""Told how far something is: (done, all)."""


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """A class that is asked for, and where and when its answer lies."""

    target: int | None = None
    """None for whatever the model says."""
    mask: Bool | None = None
    """[T, H, W] where the actor is, in what the model sees; None where that is not known."""
    event: Bool | None = None
    """[T] frames of the event; None where they are not known."""
    distractor: Bool | None = None
    """[T, H, W] where the actor of another class is; None where there is none."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A clip, and all that is asked about it."""

    frames: UInt8
    """[T, H, W, 3]."""
    questions: tuple[Question, ...]
    viewed: bool = False
    """Whether the frames are what the model sees, so that nothing is scaled or cropped any more."""
    correct: bool | None = None
    """Whether the model is right about it, where that does not follow from what it says of the
    whole: of a clip made of several, whether it is about each of them."""

    def preprocess(self, model: LoadedModel) -> Tensor:
        """The frames as a model takes them: normalized float [1, T, 3, h, w] on the CPU."""
        given = replace(model.input, resize=None) if self.viewed else model.input
        return torch.stack([preprocess_frame(frame, given) for frame in self.frames])[None]


class Dataset(ABC):
    """Clips by number."""

    name: str
    truth: Collection[Known] = ()
    """What is known of the clips, or of some of them."""
    count: int | None = None
    """Clips that there are; None for as many as one likes."""
    drawn: bool = False
    """Whether nobody wants all of these unless told so, since they are drawn from all that could be
    made."""

    notes: Sequence[str] = ()
    """Warnings about what was found, a line each, for before anything is scored."""

    @abstractmethod
    def sample(self, number: int) -> Sample:
        """One of the clips.

        Raises:
            InputError: there is nothing to be read of it.
        """

    def describe(self, number: int) -> str:
        """What a clip is called."""
        return f"clip {number}"

    def held_out(self, on_progress: OnProgress) -> dict[str, Any] | None:
        """How good the model is on the videos that the clips are made of, where that can be known.

        Told with the result, as JSON has it; see `held_out.measure_held_out`.
        """
        return None

    def fingerprint(self) -> Any:
        """What tells these clips from others of that name, as JSON has it; None for nothing."""
        return None


Opener = Callable[[str, LoadedModel, int, Split], Dataset]
"""(name, model that is to classify the clips, seed, split) -> data set of that name.

One that is declared with a colon at the end of its name takes an argument: ``mosaics:`` is given
``mosaics:DIR`` for a name.

It may be a subclass of `Dataset` that is made from these four, and raises UsageError where the
model does not fit.
"""


def _accept(name: str, declared: Any) -> Opener:
    if not callable(declared):
        raise TypeError("expected a function of name, model, seed, and split that opens a data set")
    opener: Opener = declared
    return opener


def declared_name(name: str) -> str:
    """What a data set is declared as, by its name with an argument or without."""
    kind, colon, _ = name.partition(":")
    return kind + colon


DATASETS: Registry[Opener] = Registry("data set", entry_points.DATASETS, _accept)
register_dataset = DATASETS.register
"""A decorator that files an `Opener` under a name, for as long as the program runs."""
