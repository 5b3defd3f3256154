"""Clips of a video as batches for the model."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, nullcontext
from functools import partial
from itertools import islice
from typing import Literal, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from staa_cli.explain.timing import Stopwatch
from staa_cli.explain.turns import Turns
from staa_cli.memory import memory_for, ran_out_of_memory
from staa_cli.models.load import LoadedModel
from staa_cli.schema import Clip, ModelInput, OnProgress, UInt8
from staa_cli.video.ahead import ahead
from staa_cli.video.frame_source import SeekableSource
from staa_cli.video.table import DecodeReport

STILL = 2 / 255
"""Motion below this is rounding or codec noise in a still picture."""
_CELL = 16
"""Side in pixels of a cell over which motion is averaged, to suppress noise."""
_AHEAD = 16
"""Frames that may wait to be used."""
_KEPT_BYTES = 1 << 29
"""Cache size; enough for 53 clips of 16 x 224 x 224 that do not overlap."""

R = TypeVar("R")
Work = Callable[[Tensor, Sequence[int]], R]


class FrameCache:
    """Preprocessed frames of a video, kept for later passes of one model.

    Keeps all frames or none: if they exceed the limit, every pass reads them again.

    Args:
        limit_bytes: maximum size.
    """

    def __init__(self, limit_bytes: int = _KEPT_BYTES) -> None:
        self.report = DecodeReport()
        """Report of the pass that read the frames."""
        self._frames: dict[int, Tensor] = {}
        self._free_bytes = limit_bytes

    def holds(self, indices: Sequence[int]) -> bool:
        """Whether the frames at all these positions are cached."""
        return all(index in self._frames for index in indices)

    def __getitem__(self, index: int) -> Tensor:
        """A cached frame, float [3, h, w]."""
        return self._frames[index]

    def add(self, index: int, frame: Tensor) -> None:
        """Cache a frame; beyond the limit, drop all frames."""
        if index in self._frames or self._free_bytes < 0:
            return
        self._free_bytes -= frame.nbytes
        self._frames[index] = frame
        if self._free_bytes < 0:
            self._frames.clear()


def motion_cells(frame: Tensor, model_input: ModelInput) -> Tensor:
    """Mean colors of cells of 16 x 16 pixels of a preprocessed frame [3, h, w], 0 to 1 apart."""
    std = torch.tensor(model_input.std)[:, None, None]
    return F.avg_pool2d(frame, _CELL, ceil_mode=True) * std


def deviation(cells: Sequence[Tensor]) -> float:
    """Largest deviation of a cell of the frames of a clip from its mean over the clip, 0 to 1."""
    stacked = torch.stack(list(cells))
    return float((stacked - stacked.mean(dim=0)).abs().max())


def clips_at_once(batch_size: Literal["auto"] | int, model: LoadedModel) -> int:
    """Clips per batch; auto is one on a CPU, which gains nothing from more."""
    if batch_size != "auto":
        return batch_size
    return 1 if model.device.type == "cpu" else 8


class ClipReader:
    """Reads the clips of a plan; each pass reads every needed frame once.

    Args:
        source: of the frames.
        model: that receives the clips.
        clips: in any order; their frames may overlap.
        batch_size: clips per batch; auto depends on the device, see `clips_at_once`.
        on_progress: called with (stage, clips read, total clips).
        stopwatch: measures the time of decoding and of passes.
        cache: shared by passes and readers with the same source and model input.
        turns: shared by threads that use the same model.
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
        turns: Turns | None = None,
    ) -> None:
        self.report = DecodeReport()
        """Report of the last pass that read the frames, also by another reader of the cache."""
        self.motion = 0.0
        """Largest deviation, in the last pass, of a cell of 16 x 16 pixels from its mean color over
        a clip, 0 to 1."""
        self._source, self._model, self._clips, self._cache = source, model, clips, cache
        self.turns = turns or Turns()
        self.batch_size = clips_at_once(batch_size, model)
        """Clips per batch; reduced when memory runs out."""
        self.backed_off = False
        self._on_progress, self.stopwatch = on_progress, stopwatch

    def __len__(self) -> int:
        return len(self._clips)

    def number(self, position: int) -> int:
        """Number of a clip in its video's plan."""
        return self._clips[position].index

    def of(self, positions: Sequence[int]) -> ClipReader:
        """A reader of some of the clips, with batches of one."""
        return ClipReader(
            self._source,
            self._model,
            [self._clips[position] for position in positions],
            batch_size=1,
            on_progress=self._on_progress,
            stopwatch=self.stopwatch,
            cache=self._cache,
            turns=self.turns,
        )

    def forward(
        self, stage: str, work: Work[R], perturbations: int = 0, *, takes_turn: bool = False
    ) -> Iterator[tuple[tuple[int, ...], R]]:
        """Run one pass; yields (positions in `clips` [B], result of `work`) for each batch.

        If a batch does not fit into memory, it and all later ones are halved.

        Args:
            stage: name for the progress.
            work: function of normalized clips float [B, T, 3, h, w] and their positions [B].
            perturbations: perturbed copies that `work` evaluates per clip and reports by `asked`;
                the progress counts them instead of clips.
            takes_turn: whether `work` waits for its turn itself.

        Raises:
            UnavailableError: not even one clip fits.
        """
        self._asked, self._report_progress = 0, partial(self._on_progress, stage)
        self._perturbations = perturbations * len(self._clips)
        done = 0
        with closing(self._read()) as clips:
            while batch := list(islice(clips, self.batch_size)):
                done += len(batch)
                if not perturbations:
                    self._report_progress(done, len(self._clips))
                while batch:
                    part = batch[: self.batch_size]
                    numbers = tuple(number for number, _ in part)
                    inputs = torch.stack([clip for _, clip in part])
                    try:
                        with nullcontext() if takes_turn else self.turns.alone(self.stopwatch):
                            result = work(inputs, numbers)
                    except Exception as error:
                        self._back_off(error, numbers)
                        continue
                    batch = batch[len(part) :]
                    yield numbers, result

    @property
    def perturbed_in_all(self) -> int:
        """Number of perturbed copies that the last pass has evaluated."""
        return self._asked

    def asked(self, count: int) -> None:
        """Report `count` more evaluated perturbed copies."""
        self._asked += count
        self._report_progress(min(self._asked, self._perturbations), self._perturbations)

    def _back_off(self, error: Exception, numbers: Sequence[int]) -> None:
        """Halve the batch size if memory ran out; else re-raise with a note on the time span."""
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

    def _read(self) -> Generator[tuple[int, Tensor]]:
        """Clips in order of their last frame; a frame is kept as long as a clip needs it.

        Frames are decoded and prepared in a thread while the model works on earlier ones.
        """
        self.report, self.motion = DecodeReport(), 0.0
        frames = [clip.frame_indices for clip in self._clips]
        order = sorted(range(len(frames)), key=lambda number: frames[number][-1])
        last_use = {index: number for number in order for index in frames[number]}
        cached: dict[int, Tensor] = {}  # index to [3, h, w]
        cells: dict[int, Tensor] = {}
        with closing(ahead(self._frames(sorted(last_use)), _AHEAD)) as read:
            for number in order:
                needed = [*frames[number]]
                with self.stopwatch("decode"):
                    while needed[-1] not in cached:
                        index, cached[index] = next(read)  # the left target is assigned first
                        cells[index] = motion_cells(cached[index], self._model.input)
                self.motion = max(self.motion, deviation([cells[index] for index in needed]))
                yield number, torch.stack([cached[index] for index in needed])
                for index in {*needed}:
                    if last_use[index] == number:
                        del cached[index], cells[index]

    def _frames(self, indices: Sequence[int]) -> Iterator[tuple[int, Tensor]]:
        """Preprocessed frames, ascending: (position, normalized float [3, h, w])."""
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
