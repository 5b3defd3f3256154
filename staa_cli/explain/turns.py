"""One model for several videos at once, in threads of which each explains a video.

On a GPU, or for numbers that do not depend on what else is going on, passes take turns: while one
video has the model, others are decoded, drawn, or encoded. On a GPU, clips that wait at the same
time share a batch. On a CPU, passes otherwise run side by side with a share of the cores each: two
passes with one thread are faster than two, one after the other, with two threads.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import accumulate
from threading import Lock, RLock

import numpy as np
import torch
from torch import Tensor

from staa_cli.explain.timing import Stopwatch
from staa_cli.memory import ran_out_of_memory
from staa_cli.methods.run import Explained, Target
from staa_cli.schema import Float32

_FORWARD = "forward"
"""The stage of stopwatches."""

Attend = Callable[[Tensor, Target, Sequence[int]], Explained]
"""Explains clips [B, T, 3, h, w] for a target, given their numbers in their videos [B]."""


@dataclass(eq=False)
class _Question:
    """What is asked about clips of one video."""

    inputs: Tensor
    target: Target
    numbers: Sequence[int]
    stopwatch: Stopwatch
    explained: Explained | None = None


class Turns:
    """Passes of one model by several threads.

    Args:
        together: largest number of clips of several videos in a batch; with 1, none are shared, so
            that results do not depend on which videos happen to be explained at the same time.
        threads: number of torch's threads for each pass; None leaves it as it is.
        side_by_side: whether passes run at the same time, instead of one after the other.
    """

    def __init__(
        self, together: int = 1, threads: int | None = None, *, side_by_side: bool = False
    ) -> None:
        self._together, self._threads = together, threads
        self._turn: AbstractContextManager[object] = nullcontext() if side_by_side else RLock()
        self._changing = Lock()
        self._waiting: list[_Question] = []

    @contextmanager
    def alone(self, stopwatch: Stopwatch) -> Iterator[None]:
        """A context in which this thread may use the model; the stopwatch leaves out waiting."""
        with self._turn:
            self._use_threads()
            with stopwatch(_FORWARD):
                yield

    def attend(
        self,
        attend: Attend,
        inputs: Tensor,
        target: Target,
        numbers: Sequence[int],
        stopwatch: Stopwatch,
    ) -> Explained:
        """Explain clips, in one batch with those that other threads ask about in the same way.

        Args:
            attend: explains a batch; that of one thread serves all.
            inputs: normalized clips [B, T, 3, h, w].
            target: class to explain.
            numbers: of the clips in their video [B].
            stopwatch: gets this video's share of the time of the batch.
        """
        question = _Question(inputs, target, numbers, stopwatch)
        with self._changing:
            self._waiting.append(question)
        with self._turn:
            if question.explained is None and len(batch := self._batch(question)) > 1:
                self._share(attend, batch)
            if question.explained is None:
                with self.alone(stopwatch):
                    question.explained = attend(inputs, question.target, numbers)
        return question.explained

    def _batch(self, first: _Question) -> list[_Question]:
        """A question, and others that wait and fit into its batch; they wait no more."""
        with self._changing:
            batch, clips = [first], len(first.inputs)
            for other in self._waiting:
                if other is not first and clips + len(other.inputs) <= self._together:
                    batch.append(other)
                    clips += len(other.inputs)
            self._waiting = [each for each in self._waiting if each not in batch]
        return batch

    def _share(self, attend: Attend, batch: Sequence[_Question]) -> None:
        """Answer the questions of a batch; if that fails, each is then asked alone."""
        ends = list(accumulate(len(question.inputs) for question in batch))
        parts = [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]
        numbers = [number for question in batch for number in question.numbers]

        def target(scores: Float32) -> Sequence[int]:
            chosen: list[int] = []
            for question, part in zip(batch, parts, strict=True):
                # Kept: a prediction over the clips so far must not count a clip twice.
                question.target = _chosen(question.target, scores[part])
                chosen += question.target
            return chosen

        start = time.perf_counter()
        self._use_threads()
        try:
            explained = attend(torch.cat([each.inputs for each in batch]), target, numbers)
        except Exception as error:  # also a fault of one of the videos
            if ran_out_of_memory(error):
                self._together = max(1, len(numbers) // 2)
            return
        spent = time.perf_counter() - start
        for question, part in zip(batch, parts, strict=True):
            question.explained = explained.of(part)
            question.stopwatch.add(_FORWARD, spent * len(question.inputs) / len(numbers))

    def _use_threads(self) -> None:
        # A thread that first met torch while passes ran side by side would keep their share.
        if self._threads is not None:
            torch.set_num_threads(self._threads)


def _chosen(target: Target, scores: Float32) -> list[int]:
    """[B] classes to explain, given the clips' scores [B, classes]."""
    chosen = scores.argmax(axis=1) if target is None else target
    chosen = chosen(scores) if callable(chosen) else chosen
    row: list[int] = np.broadcast_to(np.asarray(chosen), len(scores)).tolist()
    return row
