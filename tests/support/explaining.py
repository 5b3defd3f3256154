"""Checks of explanations, and counters of model calls, progress, and reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from staa_cli.api import Explanation
from staa_cli.models.load import LoadedModel
from staa_cli.schema import UInt8
from staa_cli.video.frame_source import VideoFile
from staa_cli.video.table import DecodeReport


def same(one: Explanation, two: Explanation, atol: float = 0.0) -> None:
    pairs = [
        (one.frames.score, two.frames.score),
        (one.frames.weighted_score, two.frames.weighted_score),
        (one.maps.values, two.maps.values),
        (one.prediction.scores, two.prediction.scores),
        *((a.values, b.values) for a, b in zip(one.attributions, two.attributions, strict=True)),
    ]
    for a, b in pairs:
        np.testing.assert_allclose(a, b, rtol=0, atol=atol)
    assert one.prediction.target == two.prediction.target
    assert one.clips == two.clips


def guesses_that_were_wrong(explanation: Explanation) -> int:
    """Number of clips after which the top class so far differs from the final one."""
    rows = np.stack([p.scores for p in explanation.clip_predictions]).astype(np.float64)
    return int((rows.cumsum(axis=0).argmax(axis=1) != explanation.prediction.target).sum())


@contextmanager
def counted(model: LoadedModel) -> Iterator[list[int]]:
    """Numbers of clips in each call of the model."""
    sizes: list[int] = []
    handle = model.module.register_forward_hook(lambda _, inputs, out: sizes.append(len(out)))
    try:
        yield sizes
    finally:
        handle.remove()


class Progress(list[tuple[str, int, int]]):
    def __call__(self, *step: Any) -> None:
        if step[0] != "planning":
            self.append(step)


class CountedReads(VideoFile):
    """Records the number of frames of each read."""

    def __init__(self, video: Path) -> None:
        super().__init__(video)
        self.reads: list[int] = []

    def read(
        self, indices: Sequence[int], report: DecodeReport | None = None
    ) -> Iterator[tuple[int, UInt8]]:
        self.reads.append(len(set(indices)))
        return super().read(indices, report)
