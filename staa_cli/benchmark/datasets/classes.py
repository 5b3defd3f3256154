"""Held-out clips of a folder with classes, and composites of them: splices and mosaics.

Composites need no annotation: the position of a part in the sequence (splices) or in the grid
(mosaics) is the ground truth, as in "Focus! Rating XAI Methods and Finding Biases", arXiv
2109.15035, which composes pictures.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import zip_longest
from math import comb, prod
from pathlib import Path
from typing import Any

import numpy as np

from staa_cli.benchmark.datasets.base import Dataset, OnProgress, Question, Sample, Split
from staa_cli.benchmark.datasets.videos import path_sizes
from staa_cli.benchmark.held_out import measure_held_out
from staa_cli.errors import UsageError
from staa_cli.evaluation.base import Known
from staa_cli.explain.pipeline import find_target
from staa_cli.footage.class_folder import ClassFolder
from staa_cli.methods.run import predict_batch
from staa_cli.models.load import LoadedModel
from staa_cli.models.preprocess import resized_input
from staa_cli.schema import UInt8


class HeldOut(Dataset):
    """The middle clip of every video of the test split, with the video's class as the target.

    Their order is random, and classes take turns, as long as there are videos of each.

    Args:
        name: ``classes:DIR``.
        model: classifies the clips.
        seed: of the order; the split does not depend on it.
        split: test.

    Raises:
        UsageError: the name has no folder, the model lacks its classes, or another split.
        NothingMatched, InputError: the folder has no classes, or does not exist; see `ClassFolder`.
    """

    truth: tuple[Known, ...] = ("label",)

    def __init__(self, name: str, model: LoadedModel, seed: int, split: Split) -> None:
        kind, _, folder = name.partition(":")
        if not folder or Path(folder).is_file():
            raise UsageError(
                f"{name}: {folder!r} is a file" if folder else f"{name} names no folder",
                f"{kind}:DIR, where DIR has a folder for each class",
            )
        if split != "test":
            raise UsageError(
                f"{name} has no {split} split",
                "its clips are held out: choose settings on others, such as events",
            )
        self.name, self.seed, self.split, self.model = name, seed, split, model
        self.folder = ClassFolder(Path(folder))
        self.targets = [_target(label, model) for label in self.folder.classes]
        self.videos = self.folder.of_split("test")
        self.clips = self.folder.clips("test", model.input)
        self.count: int | None = len(self.videos)
        self.order = _in_turn([video.label for video in self.videos], seed)
        self._predicted: dict[int, int] = {}

    def sample(self, number: int) -> Sample:
        """One of the clips; one question.

        Raises:
            VideoError: the video does not open or decode.
        """
        return self._of_video(self.order[number])

    def _of_video(self, number: int) -> Sample:
        frames, label = self.clips[number]
        return Sample(frames, (Question(self.targets[label]),), viewed=True)

    def describe(self, number: int) -> str:
        """The video's path."""
        return str(self.videos[self.order[number]].path)

    def fingerprint(self) -> list[tuple[str, int, str]]:
        """Identity of the videos: path below the folder, size, and split; first those of the test.

        They are in the order in which they are scored.
        """
        others = [video for video in self.folder.videos if video.split != "test"]
        videos = [*(self.videos[number] for number in self.order), *others]
        sizes = path_sizes(self.folder.folder, [video.path for video in videos])
        return [(*sizes[number], video.split) for number, video in enumerate(videos)]

    def held_out(self, on_progress: OnProgress) -> dict[str, Any]:
        """See `measure_held_out`."""
        return measure_held_out(
            self.folder, self.clips, self.predict, self.model.input, on_progress
        )

    def predict(self, number: int) -> int:
        """The predicted class of a test clip, as an index into the folder's; -1 for any other.

        Raises:
            VideoError: its video does not open or decode.
        """
        if number not in self._predicted:
            model, sample = self.model, self._of_video(number)
            scores = predict_batch(model.module, model.place(sample.preprocess(model)))[0]
            top = int(scores.argmax())
            self._predicted[number] = self.targets.index(top) if top in self.targets else -1
        return self._predicted[number]

    def is_right(self, number: int) -> bool:
        """Whether the model classifies a test clip correctly."""
        return self.predict(number) == self.videos[number].label

    def _draw(self, random: np.random.Generator, *labels: int) -> list[int]:
        """Random test clips, one per label; a clip repeats only once its class is exhausted."""
        drawn: list[int] = []
        for label in labels:
            candidates = [n for n, video in enumerate(self.videos) if video.label == label]
            unused = [n for n in candidates if n not in drawn]
            drawn.append(int(random.choice(unused or candidates)))
        return drawn


class Joined(HeldOut):
    """Composites of several test clips: all possible ones, without repetition.

    Kinds of composites, such as ordered pairs of classes, alternate.
    """

    drawn = True
    stream: int
    """Part of the random seed, different for each subclass."""

    def __init__(self, name: str, model: LoadedModel, seed: int, split: Split) -> None:
        super().__init__(name, model, seed, split)
        labels = [video.label for video in self.videos]
        self.sizes = [labels.count(label) for label in range(len(self.targets))]
        """Number of test clips of every class."""
        self._left = [self.ways(kind) for kind in range(self.kinds)]
        self.count = sum(self._left)
        self._made: list[tuple[int, tuple[int, ...]]] = []
        self._new = self._make()

    @property
    @abstractmethod
    def kinds(self) -> int:
        """Number of kinds."""

    @abstractmethod
    def ways(self, kind: int) -> int:
        """Number of different composites of a kind."""

    @abstractmethod
    def draw(self, random: np.random.Generator, kind: int) -> list[int]:
        """Numbers of random test clips for a composite of a kind."""

    def parts(self, number: int) -> tuple[int, ...]:
        """Numbers of the test clips in a composite, in display order."""
        return self._of(number)[1]

    def describe(self, number: int) -> str:
        """The paths of the parts, in display order."""
        return " + ".join(str(self.videos[part].path) for part in self.parts(number))

    def _of(self, number: int) -> tuple[int, tuple[int, ...]]:
        """Kind and parts of a composite."""
        while len(self._made) <= number:
            self._made.append(next(self._new))
        return self._made[number]

    def _make(self) -> Iterator[tuple[int, tuple[int, ...]]]:
        """Generate kinds and parts; the seed of each turn depends on its number alone."""
        made, turn = set[tuple[int, tuple[int, ...]]](), 0
        while any(self._left):
            kind, random = turn % self.kinds, np.random.default_rng([self.seed, turn, self.stream])
            turn += 1
            if not self._left[kind]:
                continue
            while (composite := (kind, tuple(self.draw(random, kind)))) in made:
                pass  # terminates: some composite of this kind is left
            made.add(composite)
            self._left[kind] -= 1
            yield composite


class Splices(Joined):
    """Two test clips of different classes in sequence, with one question for each class.

    Each part fills half of the model's input. A splice is scored only if the model classifies both
    parts correctly on their own.

    Raises:
        UsageError: as for `HeldOut`, or the model has a single token step in time.
    """

    truth: tuple[Known, ...] = ("label", "event")
    stream = 0

    def __init__(self, name: str, model: LoadedModel, seed: int, split: Split) -> None:
        super().__init__(name, model, seed, split)
        if model.layout.grid[0] < 2:
            raise UsageError(
                f"{model.info.name} has one token step in time, so nothing in it has a time",
                f"mosaics:{self.folder.folder} asks where, not when",
            )

    @property
    def kinds(self) -> int:
        """Ordered pairs of classes."""
        return len(self.sizes) * (len(self.sizes) - 1)

    def ways(self, kind: int) -> int:
        """Pairs of clips of two classes."""
        first, second = self._classes(kind)
        return self.sizes[first] * self.sizes[second]

    def draw(self, random: np.random.Generator, kind: int) -> list[int]:
        """One test clip of each of the two classes."""
        return self._draw(random, *self._classes(kind))

    def _classes(self, kind: int) -> tuple[int, int]:
        classes = len(self.sizes)
        first = kind % classes
        return first, (first + 1 + kind // classes) % classes

    def sample(self, number: int) -> Sample:
        """One of the splices; two questions.

        Raises:
            VideoError: one of the videos does not open or decode.
        """
        parts = self.parts(number)
        grid, size = self.model.layout.grid, self.model.input.frames
        first = grid[0] // 2 * (size // grid[0])  # no token covers both parts
        lengths = (first, size - first)
        frames = np.concatenate(
            [_middle(self.clips[part].frames, n) for part, n in zip(parts, lengths, strict=True)]
        )
        earlier = np.arange(size) < first
        questions = tuple(
            Question(self.targets[self.videos[part].label], event=event)
            for part, event in zip(parts, (earlier, ~earlier), strict=True)
        )
        correct = all(self.is_right(part) for part in parts)
        return Sample(frames, questions, viewed=True, correct=correct)


class Mosaics(Joined):
    """A 2 x 2 grid of test clips at half the size; only one of them has the target class.

    The place of the target alternates. A mosaic is scored only if the model classifies all four
    parts correctly on their own.
    """

    truth: tuple[Known, ...] = ("label", "mask")
    stream = 1

    def __init__(self, name: str, model: LoadedModel, seed: int, split: Split) -> None:
        super().__init__(name, model, seed, split)
        height, width = (side // 2 for side in model.input.size)
        self.tiles = self.folder.clips("test", resized_input(model.input, (height, width)))

    @property
    def kinds(self) -> int:
        """Target classes times the four places."""
        return 4 * len(self.sizes)

    def ways(self, kind: int) -> int:
        """Clips of the target class, times ordered triples of clips of other classes."""
        target = kind % len(self.sizes)
        others = sorted(size for label, size in enumerate(self.sizes) if label != target)
        return self.sizes[target] * _sequences(tuple(others), 3)

    def draw(self, random: np.random.Generator, kind: int) -> list[int]:
        """A test clip of the target class at its place, among three of other classes."""
        place, target = divmod(kind, len(self.sizes))
        others = random.choice([n for n in range(len(self.sizes)) if n != target], 3)
        target_clip, *rest = self._draw(random, target, *(int(other) for other in others))
        return [*rest[:place], target_clip, *rest[place:]]

    def place(self, number: int) -> int:
        """Place of the target class, 0 to 3 in row-major order."""
        return self._of(number)[0] // len(self.sizes)

    def sample(self, number: int) -> Sample:
        """One of the mosaics; one question.

        Raises:
            VideoError: one of the videos does not open or decode.
        """
        parts, place = self.parts(number), self.place(number)
        frames = np.zeros((self.model.input.frames, *self.model.input.size, 3), np.uint8)
        mask = np.zeros(frames.shape[:3], np.bool_)
        for position, part in enumerate(parts):
            tile = self.tiles[part].frames
            height, width = tile.shape[1:3]
            top, left = position // 2 * height, position % 2 * width
            frames[:, top : top + height, left : left + width] = tile
            mask[:, top : top + height, left : left + width] = position == place
        target = self.targets[self.videos[parts[place]].label]
        correct = all(self.is_right(part) for part in parts)
        return Sample(frames, (Question(target, mask),), viewed=True, correct=correct)


def _in_turn(labels: Sequence[int], seed: int) -> list[int]:
    """The positions of labels in random order, one of each label in turn."""
    shuffled = np.random.default_rng(seed).permutation(len(labels)).tolist()
    by_label = [[n for n in shuffled if labels[n] == label] for label in sorted(set(labels))]
    return [n for turn in zip_longest(*by_label) for n in turn if n is not None]


@cache
def _sequences(sizes: tuple[int, ...], length: int) -> int:
    """Number of ordered draws of `length` clips from classes of these sizes.

    A clip repeats only once its class is exhausted.
    """
    counts = [1, *[0] * length]  # by length, for the classes so far
    for size in sizes:
        own = [prod(size - n if n < size else size for n in range(k)) for k in range(length + 1)]
        counts = [
            sum(comb(total, k) * own[k] * counts[total - k] for k in range(total + 1))
            for total in range(length + 1)
        ]
    return counts[length]


def _target(label: str, model: LoadedModel) -> int:
    """Index of the model's class with a folder's name.

    Raises:
        UsageError: the model has no such class.
    """
    target, reason = find_target(label, model.labels)
    if target is None or reason != "named":
        raise UsageError(
            f"the model has no class {label!r}", "its classes must have the names of the folders"
        )
    return target


def _middle(frames: UInt8, length: int) -> UInt8:
    """The middle `length` of the frames [T, h, w, 3]."""
    start = (len(frames) - length) // 2
    return frames[start : start + length]
