"""Clips of a video as batches for the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Literal, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from staa_cli.explain.timing import Stopwatch
from staa_cli.memory import memory_for, ran_out_of_memory
from staa_cli.models.load import LoadedModel
from staa_cli.schema import Clip, OnProgress, UInt8
from staa_cli.video.frame_source import SeekableSource
from staa_cli.video.table import DecodeReport

STILL = 2 / 255
"""Motion below which nothing has happened: rounding, or what a codec does to a picture at rest."""
_CELL = 16
"""Pixels that motion is looked for in, together: noise of single ones is none."""
_KEPT_BYTES = 1 << 29
"""Room for the frames of 53 clips of 16 x 224 x 224 that do not overlap."""

R = TypeVar("R")
Work = Callable[[Tensor, Sequence[int]], R]


class FrameCache:
    """A video's frames as one model takes them, kept for the passes after the first.

    All that were read, or none: where they take more room than there is, every pass reads anew.

    Args:
        limit_bytes: the room.
    """

    def __init__(self, limit_bytes: int = _KEPT_BYTES) -> None:
        self.report = DecodeReport()
        """Of the pass that read the frames."""
        self._frames: dict[int, Tensor] = {}
        self._room = limit_bytes

    def holds(self, indices: Sequence[int]) -> bool:
        """Whether the frames at all these positions are kept."""
        return all(index in self._frames for index in indices)

    def __getitem__(self, index: int) -> Tensor:
        """A kept frame, float [3, h, w]."""
        return self._frames[index]

    def add(self, index: int, frame: Tensor) -> None:
        """Keep a frame, if there is room for it and for all those before."""
        if index in self._frames or self._room < 0:
            return
        self._room -= frame.nbytes
        self._frames[index] = frame
        if self._room < 0:
            self._frames.clear()


class ClipReader:
    """Reads the clips of a plan; each pass reads every wanted frame once.

    Args:
        source: of the frames.
        model: that the clips are for.
        clips: in any order; their frames may overlap.
        batch_size: clips a batch; auto is by device.
        on_progress: called with (stage, clips read, clips in all).
        stopwatch: counts the time that decoding takes.
        cache: shared by passes, of several readers too, over the same source for the same input.
    """

    def __init__(
        self,
        source: SeekableSource,
        model: LoadedModel,
        clips: Sequence[Clip],
        *,
        batch_size: Literal["auto"] | int,
        on_progress: OnProgress,
        stopwatch: Stopwatch,
        cache: FrameCache | None = None,
    ) -> None:
        self.report = DecodeReport()
        """Of the last pass that read the frames, this reader's or another's of the same cache."""
        self.motion = 0.0
        """How far, in the last pass, a cell of 16 x 16 pixels has gone from its mean color over
        the clip that it belongs to: the most of all cells, of 1."""
        self._source, self._model, self._clips, self._cache = source, model, clips, cache
        if batch_size == "auto":
            # A CPU gains nothing from more than one clip at a time.
            batch_size = 1 if model.device.type == "cpu" else 8
        self.batch_size = batch_size
        """Clips a batch; smaller than it began where memory ran out."""
        self.backed_off = False
        self._on_progress, self.stopwatch = on_progress, stopwatch

    def __len__(self) -> int:
        return len(self._clips)

    def number(self, position: int) -> int:
        """Number of a clip in its video's plan."""
        return self._clips[position].index

    def of(self, positions: Sequence[int]) -> ClipReader:
        """A reader of some of the clips, one at a time."""
        return ClipReader(
            self._source,
            self._model,
            [self._clips[position] for position in positions],
            batch_size=1,
            on_progress=self._on_progress,
            stopwatch=self.stopwatch,
            cache=self._cache,
        )

    def forward(
        self, stage: str, work: Work[R], perturbations: int = 0
    ) -> Iterator[tuple[tuple[int, ...], R]]:
        """One pass: (positions in `clips` [B], what `work` made of them), batch by batch.

        A batch that does not fit into memory is halved, and so are those after it.

        Args:
            stage: name for the progress.
            work: takes normalized clips float [B, T, 3, h, w] and their positions [B].
            perturbations: copies of each clip that the work asks about; it says so by `asked`,
                and the progress counts them in place of clips.

        Raises:
            UnavailableError: not even one clip fits.
        """
        clips, done = self._read(), 0
        self._asked, self._tell = 0, partial(self._on_progress, stage)
        self._perturbations = perturbations * len(self._clips)
        while done < len(self._clips):
            batch = list(islice(clips, self.batch_size))
            done += len(batch)
            if not perturbations:
                self._tell(done, len(self._clips))
            while batch:
                part = batch[: self.batch_size]
                numbers = tuple(number for number, _ in part)
                inputs = torch.stack([clip for _, clip in part])
                try:
                    with self.stopwatch("forward"):
                        result = work(inputs, numbers)
                except Exception as error:
                    self._back_off(error, numbers)
                    continue
                batch = batch[len(part) :]
                yield numbers, result

    @property
    def perturbed_in_all(self) -> int:
        """Perturbed copies that the last pass has asked about."""
        return self._asked

    def asked(self, count: int) -> None:
        """Tell that so many more perturbed copies have been asked about."""
        self._asked += count
        self._tell(min(self._asked, self._perturbations), self._perturbations)

    def _back_off(self, error: Exception, numbers: Sequence[int]) -> None:
        """Halve the batches if memory ran out; anything else goes on up, and says where it was."""
        if self.batch_size == 1 or not ran_out_of_memory(error):
            clips = [self._clips[number] for number in numbers]
            start, end = min(c.start_s for c in clips), max(c.end_s for c in clips)
            error.add_note(f"between {start:.2f} s and {end:.2f} s")
            with memory_for("one clip alone", self._model.device):
                raise error
        self.batch_size //= 2
        self.backed_off = True
        if self._model.device.type == "cuda":
            torch.cuda.empty_cache()

    def _read(self) -> Iterator[tuple[int, Tensor]]:
        """Clips in order of their last frame; a frame is kept as long as a clip still needs it."""
        self.report, self.motion = DecodeReport(), 0.0
        std = torch.tensor(self._model.input.std)[:, None, None]
        frames = [clip.frame_indices for clip in self._clips]
        order = sorted(range(len(frames)), key=lambda number: frames[number][-1])
        last_use = {index: number for number in order for index in frames[number]}
        read = self._frames(sorted(last_use))
        kept: dict[int, Tensor] = {}  # index to [3, h, w]
        cells: dict[int, Tensor] = {}
        for number in order:
            with self.stopwatch("decode"):
                while frames[number][-1] not in kept:
                    index, kept[index] = next(read)  # from left to right
                    cells[index] = F.avg_pool2d(kept[index], _CELL, ceil_mode=True) * std
            seen = torch.stack([cells[index] for index in frames[number]])
            self.motion = max(self.motion, float((seen - seen.mean(dim=0)).abs().max()))
            yield number, torch.stack([kept[index] for index in frames[number]])
            for index in {*frames[number]}:
                if last_use[index] == number:
                    del kept[index], cells[index]

    def _frames(self, indices: Sequence[int]) -> Iterator[tuple[int, Tensor]]:
        """Frames as the model takes them, rising: (position, normalized float [3, h, w])."""
        cache = self._cache
        if cache is not None and cache.holds(indices):
            self.report = cache.report
            yield from ((index, cache[index]) for index in indices)
            return
        if cache is not None:
            cache.report = self.report
        for index, picture in self._source.read(indices, self.report):
            yield index, self._prepared(index, picture)

    def _prepared(self, index: int, picture: UInt8) -> Tensor:
        frame = self._model.preprocess_frame(picture)
        if self._cache is not None:
            self._cache.add(index, frame)
        return frame
