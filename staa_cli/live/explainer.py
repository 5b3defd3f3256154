"""Explain windows of a stream by the same functions as clips of a file.

For the same frames, numbers are those of a file. Each frame is resized and embedded once, although
it is in many windows.
"""

from __future__ import annotations

import hashlib
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from threading import Lock
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from staa_cli.config.settings import Settings
from staa_cli.explain import sampling
from staa_cli.explain.assembly import Read, Subject, assemble, piece_of
from staa_cli.explain.attribution import Attributed, attend, attributions_of
from staa_cli.explain.clips import deviation, motion_cells
from staa_cli.explain.pipeline import find_target, method_options
from staa_cli.explain.stitch import Piece
from staa_cli.explain.timing import Stopwatch
from staa_cli.live.frames import LiveFrame, Spacing, Window
from staa_cli.methods import choose_method
from staa_cli.methods.run import predict_batch
from staa_cli.models.frame_embeddings import FrameEmbeddings
from staa_cli.models.load import LoadedModel
from staa_cli.schema import Attribution, Clip, Explanation, Prediction, VideoInfo
from staa_cli.video.frame_source import SeekableSource
from staa_cli.video.pixels import Converter
from staa_cli.video.table import DecodeReport

STREAM = "stream"
"""Name of the strategy in reports."""


@dataclass(frozen=True, slots=True, eq=False)
class ExplainedWindow:
    """What a model answered to a window, and why."""

    window: Window
    prediction: Prediction
    attribution: Attribution
    piece: Piece
    """The same on the time axis of the stream, with its maps postprocessed."""
    motion: float
    """As `ClipReader.motion`."""
    prepare_s: float
    """Time that resizing its new frames took."""
    model_s: float
    """Time of the passes."""


class _Prepared(NamedTuple):
    """A frame as the model gets it."""

    inputs: Tensor
    """[3, h, w]."""
    cells: Tensor
    """As `motion_cells`."""


class WindowExplainer:
    """Explains windows of one stream, one after the other.

    Args:
        model: to explain.
        settings: of the explanation; those of sampling give the length and the stride of windows.

    Raises:
        UsageError: an unknown class or method, or one that does not fit the model.
    """

    def __init__(self, model: LoadedModel, settings: Settings) -> None:
        model = model.of_this_moment()
        self.settings, self._trained = settings, model.input
        self.model = model.fitted(settings.sampling.frames, settings.sampling.size)
        self._options = method_options(settings.method)
        self._method = choose_method(
            settings.method.name, model.module, self.model.layout, self._options
        )
        self._target, self._reason = find_target(settings.target, model.labels)
        self._prepared: dict[int, _Prepared] = {}
        self._embeddings = FrameEmbeddings(self.model.module)
        self._convert: Converter | None = None

    def spacing(self, hop: int | None, *, dense: bool = False) -> Spacing:
        """The spacing of windows: a hop in frames, or that of dense sampling of a file."""
        frames, interval_s = self.model.input.frames, self._interval_s
        overlapping_s = self.settings.sampling.hop * frames * interval_s
        return Spacing(frames, interval_s, hop, overlapping_s if dense and hop is None else None)

    @property
    def described(self) -> str:
        """The model, its windows, and the method in words."""
        frames, span_s = self.model.input.frames, self.spacing(None).span_s
        window = f"windows of {frames} frames over {span_s:.3g} s"
        where = f"{self.model.device}, {self.model.precision}"
        return f"{self.model.info.name}, {window}, {self._method.name}, on {where}"

    @property
    def _interval_s(self) -> float:
        """Time between two frames of a window."""
        return (self.settings.sampling.stride or self.model.input.stride) / self.model.input.rate

    def warm_up(self) -> None:
        """Pass a clip of zeros, as a first pass takes several times as long as later ones."""
        model_input = self.model.input
        inputs = torch.zeros(1, model_input.frames, 3, *model_input.size)
        if self._method.perturbations(self.model.layout, self._options):
            predict_batch(self.model.module, self.model.place(inputs), self.model.info.output)
        else:
            attend(self.model, inputs, self._method, self._options, self._target, (0,))

    def explain(self, window: Window, info: VideoInfo) -> ExplainedWindow:
        """Explain a window of a stream with that metadata; called by one thread only.

        Raises:
            UnavailableError: memory ran out.
        """
        start = time.perf_counter()
        convert = self._convert = self._convert or Converter(info)
        frames = []
        for frame in window.frames:
            if frame.number not in self._prepared:
                self._prepared[frame.number] = self._prepare(frame, convert)
            frames.append(self._prepared[frame.number])
        first = window.frames[0].number  # the next window does not begin earlier
        self._prepared = {
            number: frame for number, frame in self._prepared.items() if number >= first
        }
        self._embeddings.forget(first)
        prepare_s = time.perf_counter() - start
        first_pass = self._embeddings.of(window.clip.frame_indices)
        return self._explained(window, frames, self._target, prepare_s, first_pass)

    def of_class(
        self,
        explained: ExplainedWindow,
        target: int,
        frames: Mapping[int, LiveFrame],
        info: VideoInfo,
    ) -> ExplainedWindow:
        """The same window explained for a class; called by any thread.

        Args:
            explained: the window, possibly for another class.
            target: the class.
            frames: by number, at least those of the window.
            info: metadata of the stream.
        """
        if explained.attribution.target in (None, target):
            prediction = replace(explained.prediction, target=target)
            return replace(explained, prediction=prediction)
        convert = Converter(info)
        numbers = explained.window.clip.frame_indices
        prepared = [self._prepare(frames[number], convert) for number in numbers]
        return self._explained(explained.window, prepared, target, 0.0)

    def _explained(
        self,
        window: Window,
        frames: Sequence[_Prepared],
        target: int | None,
        prepare_s: float,
        first_pass: AbstractContextManager[None] | None = None,
    ) -> ExplainedWindow:
        start = time.perf_counter()
        inputs = torch.stack([frame.inputs for frame in frames])[None]
        given = attend(
            self.model,
            inputs,
            self._method,
            self._options,
            target,
            (0,),
            first_pass=first_pass,
        )
        model_s = time.perf_counter() - start
        (attribution,) = attributions_of(given, self.model, self._method, self._options)
        prediction = Prediction(
            given.scores[0],
            given.targets[0],
            self._reason,
            self.model.labels,
            self.model.info.output,
        )
        piece = piece_of(window.clip, attribution, prediction, self.settings.post)
        motion = deviation([frame.cells for frame in frames])
        window = replace(window, frames=())
        return ExplainedWindow(window, prediction, attribution, piece, motion, prepare_s, model_s)

    def _prepare(self, frame: LiveFrame, convert: Converter) -> _Prepared:
        inputs = self.model.preprocess_frame(convert.rgb(frame.picture))
        return _Prepared(inputs, motion_cells(inputs, self.model.input))

    def together(
        self, windows: list[ExplainedWindow], source: SeekableSource, first: int
    ) -> Explanation:
        """The explanation of a part of a stream from some of its windows, in order.

        The explained class is that of the last window.

        Args:
            windows: at least one.
            source: the part; its frames begin at `first`.
            first: number of its first frame in the stream.
        """
        last = windows[-1]
        info = source.info
        clips = tuple(
            _of_part(explained.window, number, first, info)
            for number, explained in enumerate(windows)
        )
        attributed = Attributed(
            np.stack([explained.prediction.scores for explained in windows]),
            last.prediction.scores,
            last.prediction.target,
            tuple(explained.attribution for explained in windows),
        )
        model_input = self.model.input
        warnings = sampling.clip_warnings(
            clips, model_input.frames, self._interval_s, STREAM, self._trained.interval_s
        )
        plan = sampling.Plan(STREAM, clips, range(info.frames), tuple(warnings))
        subject = Subject(source, plan, self.model, self._trained, self._method, self._options)
        read = Read(DecodeReport(), max(explained.motion for explained in windows))
        explanation = assemble(subject, self.settings, self._reason, attributed, read, Stopwatch())
        # Not that of the file with these settings, whose clips are others.
        digest = hashlib.sha256(f"{STREAM} {explanation.fingerprint}".encode()).hexdigest()
        return replace(explanation, fingerprint=digest)


def _of_part(window: Window, number: int, first: int, info: VideoInfo) -> Clip:
    """A window's clip with positions and times of a part of the stream."""
    indices = tuple(index - first for index in window.clip.frame_indices)
    times_s = tuple(info.times_s[list(indices)].tolist())
    return replace(window.clip, index=number, frame_indices=indices, times_s=times_s)


class Recent:
    """The explained windows of the last seconds; one thread adds, others read.

    Args:
        shown_s: seconds whose windows are drawn together.
        kept_s: seconds for which windows are kept, not less.
        apart_s: time from the start of a window to that of the next one that is drawn with it.
            Windows in between are drawn only while they are the newest: each costs time, and
            hardly changes what many others show.
    """

    def __init__(self, shown_s: float, kept_s: float, apart_s: float = 0.0) -> None:
        self._shown_s, self._kept_s, self._apart_s = shown_s, kept_s, apart_s
        self._lock = Lock()
        self._windows: deque[ExplainedWindow] = deque()
        self._drawn: deque[ExplainedWindow] = deque()

    def add(self, explained: ExplainedWindow) -> None:
        """Add the newest window."""
        end_s, start_s = explained.window.completed.time_s, explained.window.clip.start_s
        with self._lock:
            self._windows.append(explained)
            _forget(self._windows, end_s - self._kept_s)
            if not self._drawn or start_s - self._drawn[-1].window.clip.start_s >= self._apart_s:
                self._drawn.append(explained)
            _forget(self._drawn, end_s - self._shown_s)

    def windows(self) -> list[ExplainedWindow]:
        """All that are kept, in order."""
        with self._lock:
            return list(self._windows)

    def shown(self) -> list[ExplainedWindow]:
        """Those that are drawn together: the newest one at least."""
        with self._lock:
            newest, drawn = self._windows[-1], list(self._drawn)
        start_s = newest.window.completed.time_s - self._shown_s
        earlier = [window for window in drawn if window.window.clip.start_s >= start_s]
        return earlier if earlier and earlier[-1] is newest else [*earlier, newest]


def _forget(windows: deque[ExplainedWindow], start_s: float) -> None:
    """Drop windows that begin earlier, but for the last one."""
    while windows[0].window.clip.start_s < start_s and len(windows) > 1:
        windows.popleft()
