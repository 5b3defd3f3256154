"""The base class of data sets, their samples and questions, and the registry."""

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
"""Progress callback: (done, total)."""


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """A target class to explain, with its ground truth."""

    target: int | None = None
    """Class index; None for the class that the model predicts."""
    mask: Bool | None = None
    """[T, H, W] the actor's pixels, in the model's view; None if unknown."""
    event: Bool | None = None
    """[T] frames of the event; None if unknown."""
    distractor: Bool | None = None
    """[T, H, W] pixels of an actor of another class; None if the clip has no such actor."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A clip and its questions."""

    frames: UInt8
    """[T, H, W, 3]."""
    questions: tuple[Question, ...]
    viewed: bool = False
    """Whether the frames are already scaled and cropped to the model's view."""
    correct: bool | None = None
    """Whether the model classifies all parts of a composite clip correctly; None if the prediction
    for the whole clip decides."""

    def preprocess(self, model: LoadedModel) -> Tensor:
        """The frames as model input: normalized float [1, T, 3, h, w] on the CPU."""
        given = replace(model.input, resize=None) if self.viewed else model.input
        return torch.stack([preprocess_frame(frame, given) for frame in self.frames])[None]


class Dataset(ABC):
    """A numbered collection of clips."""

    name: str
    truth: Collection[Known] = ()
    """Kinds of ground truth that at least some clips have."""
    count: int | None = None
    """Number of clips; None if unlimited."""
    drawn: bool = False
    """Whether the clips are sampled from all possible combinations, so that the default is not to
    score all of them."""

    notes: Sequence[str] = ()
    """Warnings to show before scoring, one line each."""

    @abstractmethod
    def sample(self, number: int) -> Sample:
        """One of the clips.

        Raises:
            InputError: the clip cannot be read.
        """

    def describe(self, number: int) -> str:
        """Display name of a clip."""
        return f"clip {number}"

    def held_out(self, on_progress: OnProgress) -> dict[str, Any] | None:
        """Accuracy of the model on the source videos of the clips; None if unknown.

        Plain data for the result; see `held_out.measure_held_out`.
        """
        return None

    def fingerprint(self) -> Any:
        """JSON data that distinguishes these clips from others of that name; None if not needed."""
        return None


Opener = Callable[[str, LoadedModel, int, Split], Dataset]
"""(name, model that classifies the clips, seed, split) -> data set of that name.

A name that is declared with a trailing colon takes an argument: the opener of ``mosaics:`` receives
the name ``mosaics:DIR``.

An opener may be a subclass of `Dataset` whose constructor takes these four. It raises UsageError if
the model does not fit.
"""


def _accept(name: str, declared: Any) -> Opener:
    if not callable(declared):
        raise TypeError("expected a function of name, model, seed, and split that opens a data set")
    opener: Opener = declared
    return opener


def declared_name(name: str) -> str:
    """The declared name of a data set: its name without the argument."""
    kind, colon, _ = name.partition(":")
    return kind + colon


DATASETS: Registry[Opener] = Registry("data set", entry_points.DATASETS, _accept)
register_dataset = DATASETS.register
"""A decorator that registers an `Opener` under a name for the current process."""
