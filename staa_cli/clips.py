"""Clips of a video as batches for the model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from staa_cli.facts import Stopwatch
from staa_cli.models.loading import LoadedModel
from staa_cli.outputs import OnProgress
from staa_cli.schema import Clip, VideoInfo
from staa_cli.video import DecodeReport, iter_frames


class ClipReader:
    """Reads the clips of a plan; each pass decodes every wanted frame once.

    Args:
        info: of the video.
        model: that the clips are for.
        clips: in any order; their frames may overlap.
        batch_size: clips a batch; by device where None.
        on_progress: called with (stage, clips read, clips in all).
        watch: counts the time that decoding takes.
    """

    def __init__(
        self,
        info: VideoInfo,
        model: LoadedModel,
        clips: Sequence[Clip],
        *,
        batch_size: int | None,
        on_progress: OnProgress,
        watch: Stopwatch,
    ) -> None:
        self.report = DecodeReport()
        """Of the last pass."""
        self._info, self._model, self._clips = info, model, clips
        # A CPU gains nothing from more than one clip at a time.
        self._size = batch_size or (1 if model.device.type == "cpu" else 8)
        self._on_progress, self.watch = on_progress, watch

    def batches(self, stage: str) -> Iterator[tuple[tuple[int, ...], Tensor]]:
        """One pass: (positions in `clips` [B], normalised float [B, T, 3, h, w])."""
        clips = self._read()
        for done in range(0, len(self._clips), self._size):
            batch = [next(clips) for _ in self._clips[done : done + self._size]]
            self._on_progress(stage, done + len(batch), len(self._clips))
            yield tuple(number for number, _ in batch), torch.stack([clip for _, clip in batch])

    def _read(self) -> Iterator[tuple[int, Tensor]]:
        """Clips in order of their last frame; a frame is kept as long as a clip still needs it."""
        self.report = DecodeReport()
        frames = [clip.frame_indices for clip in self._clips]
        order = sorted(range(len(frames)), key=lambda number: frames[number][-1])
        last_use = {index: number for number in order for index in frames[number]}
        pictures = iter_frames(self._info, sorted(last_use), self.report)
        kept: dict[int, Tensor] = {}  # index to [3, h, w]
        for number in order:
            with self.watch("decode"):
                while frames[number][-1] not in kept:
                    index, picture = next(pictures)
                    kept[index] = self._model.preprocess_frame(picture)
            yield number, torch.stack([kept[index] for index in frames[number]])
            kept = {index: clip for index, clip in kept.items() if last_use[index] != number}
