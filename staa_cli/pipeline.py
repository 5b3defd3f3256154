"""A video's way through the program: probe, plan, read, attend, stitch, and, if asked, write.

The one room that knows all stages, and a summary of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from staa_cli import facts, sampling
from staa_cli.config import MethodSettings, Settings
from staa_cli.errors import UsageError
from staa_cli.methods import Method, Options, get_method
from staa_cli.methods.explain import Explained, explain_batch, predict_batch
from staa_cli.methods.postprocess import postprocess
from staa_cli.models.loading import LoadedModel, load_model
from staa_cli.outputs import save
from staa_cli.registry import did_you_mean
from staa_cli.schema import (
    Attribution,
    Clip,
    Explanation,
    Float32,
    Prediction,
    UInt8,
    VideoInfo,
)
from staa_cli.timeline import (
    Piece,
    find_moments,
    measure,
    smooth_scores,
    stitch_maps,
    stitch_scores,
)
from staa_cli.video import DecodeReport, iter_frames, probe

OnProgress = Callable[[str, int, int], None]
"""(stage, done, total)."""


@dataclass(frozen=True, slots=True, eq=False)
class ClipExplanation:
    """What one clip gave."""

    prediction: Prediction
    attribution: Attribution


class VideoExplanation(Explanation):
    """An explanation that knows how to write itself."""

    __slots__ = ()

    def save(self, folder: str | Path, settings: Settings | None = None) -> tuple[Path, ...]:
        """Write what the command would write into `folder`; returns the paths.

        Args:
            folder: made where it is missing.
            settings: what to write and how it looks; the defaults where None.

        Raises:
            OutputError: a file cannot be written, or one that is not staa's is in the way.
        """
        return save(self, Path(folder), settings or Settings())


def explain_clip(
    model: LoadedModel,
    frames: UInt8 | Tensor,
    target: str | int | None = None,
    method: str = "staa",
    options: Options | None = None,
) -> ClipExplanation:
    """One clip in, its prediction and raw attribution [T', h, w] out.

    Args:
        model: from `load_model`.
        frames: uint8 [T, H, W, 3] RGB, or a float tensor [1, T, 3, h, w] already preprocessed.
        target: class to explain, by name or index; the most probable where None.
        method: a name from `list_methods`.
        options: of the method.

    Raises:
        UsageError: an unknown class or method, or a method that does not fit the model.
    """
    inputs = frames if isinstance(frames, Tensor) else model.preprocess(frames)
    chosen, options = get_method(method), options or Options()
    wanted, reason = find_target(target, model.labels)
    explained = _attend(model, inputs, chosen, options, wanted, (0,))
    prediction = Prediction(explained.probabilities[0], explained.targets[0], reason, model.labels)
    return ClipExplanation(prediction, _attributions(explained, model, chosen, options)[0])


def explain_video(
    path: str | Path,
    model: LoadedModel | str | None = None,
    *,
    target: str | int | None = None,
    method: str | None = None,
    settings: Settings | None = None,
    on_progress: OnProgress | None = None,
) -> VideoExplanation:
    """A video file in, an explanation with a score for every frame out. Writes nothing.

    Args:
        path: of the video.
        model: from `load_model`, or what it takes; the settings' own where None.
        target: class to explain, over the settings' own.
        method: method to use, over the settings' own.
        settings: everything else; the defaults where None.
        on_progress: called with (stage, done, total).

    Raises:
        VideoError: the file does not open or decode.
        UsageError: an unknown class or method, or a method that does not fit the model.
        UnavailableError: no such model or device.
    """
    settings = _merge(settings or Settings(), target, method)
    if not isinstance(model, LoadedModel):
        settings = settings if model is None else replace(settings, model=model)
        model = open_model(settings)
    return _explain(path, model, settings, on_progress or _ignore)


def open_model(settings: Settings) -> LoadedModel:
    """The model that the settings name, where they want it."""
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    return load_model(
        settings.model,
        arch=settings.arch,
        labels=settings.labels,
        device=settings.device,
        precision=settings.precision,
    )


def _explain(
    path: str | Path, model: LoadedModel, settings: Settings, on_progress: OnProgress
) -> VideoExplanation:
    watch = facts.Stopwatch()
    method, options = get_method(settings.method.name), method_options(settings.method)
    target, reason = find_target(settings.target, model.labels)
    with watch("probe"):
        info = probe(path)
    plan = plan_clips(info, model, settings)
    reader = _Reader(info, model, plan.clips, settings, on_progress, watch)
    passes = 1.0
    if target is None and method.class_specific and len(plan.clips) > 1:
        # The class must be known before its part in a clip can be; one more pass finds it.
        target, passes = _most_probable(reader, model), 2.0
    probabilities, attributions = _attribute(reader, model, method, options, target)
    pooled = pool(probabilities, model.info.background)
    target = int(pooled.argmax()) if target is None else target
    each = [Prediction(row, target, reason, model.labels) for row in probabilities]
    attributions = [
        replace(a, forward_equivalents=a.forward_equivalents * passes) for a in attributions
    ]
    with watch("stitch"):
        pieces = _pieces(plan.clips, attributions, each, settings)
        scores = stitch_scores(pieces, info.times_s)
        frames = smooth_scores(scores, settings.post.smooth, settings.post.smooth_s)
        maps = stitch_maps(pieces, model.view_box(info.height, info.width))
        temporal = measure(pieces, settings.post.flat_below)
    prediction = Prediction(pooled, target, reason, model.labels)
    info = facts.with_decoding(info, reader.report)
    return VideoExplanation(
        video=info,
        model=model.info,
        settings=facts.relevant(settings),
        strategy=plan.strategy,
        clips=plan.clips,
        prediction=prediction,
        clip_predictions=tuple(each),
        attributions=tuple(attributions),
        frames=frames,
        maps=maps,
        moments=() if temporal.flat and len(pieces) == 1 else find_moments(frames, maps),
        temporal=temporal,
        warnings=(
            *plan.warnings,
            *facts.warnings(info, model.info, prediction, temporal, reader.report),
            *facts.method_warnings(method, settings),
        ),
        fingerprint=facts.fingerprint(info.sha256, model.info.weights_sha256, settings),
        run=facts.run(model, watch),
    )


def plan_clips(info: VideoInfo, model: LoadedModel, settings: Settings) -> sampling.Plan:
    """Which frames of a video the model is to see."""
    own = model.input
    stride = settings.sampling.stride or own.stride
    return sampling.plan(
        info.times_s,
        frames=settings.sampling.frames or own.frames,
        interval_s=stride / own.rate,
        settings=settings.sampling,
        model_interval_s=own.interval_s,
    )


def find_target(wanted: str | int | None, labels: Sequence[str]) -> tuple[int | None, Any]:
    """A class name or index in, (index, why it was chosen) out; (None, top-1) for no name.

    Raises:
        UsageError: there is no such class.
    """
    if wanted is None:
        return None, "top-1"
    folded = [label.casefold() for label in labels]
    text = str(wanted)
    if text.casefold() in folded:
        return folded.index(text.casefold()), "named"
    if text.isdecimal() and int(text) < len(labels):
        return int(text), "index"
    hint = did_you_mean(text, labels) or f"there are {len(labels)}, such as {', '.join(labels[:5])}"
    raise UsageError(f"the model has no class {text!r}", hint)


def method_options(settings: MethodSettings) -> Options:
    """Settings of a method as the method wants them."""
    return Options(settings.layers, settings.combine, settings.seed)


def pool(probabilities: Sequence[Float32], background: int | None) -> Float32:
    """Probabilities of clips [C, classes] in, of the video [classes] out: their mean.

    Where a class stands for "nothing happens here", a clip counts the less the more it is of that
    class: otherwise a short event would drown in the time before and after it.
    """
    rows = np.asarray(probabilities, dtype=np.float64)
    weights = np.ones(len(rows)) if background is None else 1.0 - rows[:, background] + 1e-6
    return np.asarray((weights @ rows) / weights.sum(), np.float32)


def _merge(settings: Settings, target: str | int | None, method: str | None) -> Settings:
    if target is not None:
        settings = replace(settings, target=str(target))
    if method is not None:
        settings = replace(settings, method=replace(settings.method, name=method))
    return settings


def _ignore(stage: str, done: int, total: int) -> None:
    """Progress that nobody watches."""


def _attend(
    model: LoadedModel,
    inputs: Tensor,
    method: Method,
    options: Options,
    target: int | None,
    clip_indices: Sequence[int],
) -> Explained:
    layout = facts.layout_for(model.layout, inputs)
    return explain_batch(
        model.module,
        layout,
        model.place(inputs),
        method,
        options,
        target=target,
        clip_indices=clip_indices,
    )


def _attributions(
    explained: Explained, model: LoadedModel, method: Method, options: Options
) -> list[Attribution]:
    return [
        Attribution(
            values=values,
            method=method.name,
            target=target if method.class_specific else None,
            layers=method.blocks(model.layout, options),
            units=method.units,
            signed=method.signed,
            forward_equivalents=method.forward_equivalents,
            cls_self_mass=mass,
        )
        for values, target, mass in zip(
            explained.values, explained.targets, explained.cls_self_mass, strict=True
        )
    ]


class _Reader:
    """Clips of a video as batches for the model; each pass decodes every frame once."""

    def __init__(
        self,
        info: VideoInfo,
        model: LoadedModel,
        clips: Sequence[Clip],
        settings: Settings,
        on_progress: OnProgress,
        watch: facts.Stopwatch,
    ) -> None:
        self.report = DecodeReport()
        self.watch = watch
        self._info, self._model, self._clips = info, model, clips
        self._size = settings.batch_size or facts.batch_size(model)
        self._on_progress = on_progress

    def batches(self, stage: str) -> Iterator[tuple[tuple[int, ...], Tensor]]:
        """(numbers of the clips [B], normalised float [B, T, 3, h, w])."""
        batch: list[tuple[int, Tensor]] = []
        for number, clip in self._read():
            batch.append((number, clip))
            if len(batch) == self._size:
                yield self._join(batch, stage)
                batch = []
        if batch:
            yield self._join(batch, stage)

    def _join(self, batch: list[tuple[int, Tensor]], stage: str) -> tuple[tuple[int, ...], Tensor]:
        numbers = tuple(number for number, _ in batch)
        self._on_progress(stage, numbers[-1] + 1, len(self._clips))
        return numbers, torch.stack([clip for _, clip in batch])

    def _read(self) -> Iterator[tuple[int, Tensor]]:
        """Clips in order of their last frame; a frame is kept as long as a clip still needs it."""
        order = sorted(range(len(self._clips)), key=lambda i: self._clips[i].frame_indices[-1])
        last_use = {i: clip for clip in order for i in self._clips[clip].frame_indices}
        kept: dict[int, Tensor] = {}
        waiting = list(order)
        pictures = iter_frames(self._info, sorted(last_use), self.report)
        while waiting:
            clip = self._clips[waiting[0]]
            with self.watch("decode"):
                while clip.frame_indices[-1] not in kept:
                    index, picture = next(pictures)
                    kept[index] = self._model.preprocess_frame(picture)
            yield waiting[0], torch.stack([kept[i] for i in clip.frame_indices])
            for i in {i for i in clip.frame_indices if last_use[i] == waiting[0]}:
                del kept[i]
            waiting.pop(0)


def _most_probable(reader: _Reader, model: LoadedModel) -> int:
    rows: dict[int, Float32] = {}
    for numbers, inputs in reader.batches("predicting"):
        with reader.watch("forward"):
            rows |= zip(numbers, predict_batch(model.module, model.place(inputs)), strict=True)
    return int(pool([rows[i] for i in sorted(rows)], model.info.background).argmax())


def _attribute(
    reader: _Reader, model: LoadedModel, method: Method, options: Options, target: int | None
) -> tuple[list[Float32], list[Attribution]]:
    """Probabilities and attributions of all clips, in the order of the plan."""
    rows: dict[int, tuple[Float32, Attribution]] = {}
    for numbers, inputs in reader.batches("explaining"):
        with reader.watch("forward"):
            explained = _attend(model, inputs, method, options, target, numbers)
        found = _attributions(explained, model, method, options)
        rows |= zip(numbers, zip(explained.probabilities, found, strict=True), strict=True)
    ordered = [rows[i] for i in sorted(rows)]
    return [row for row, _ in ordered], [attribution for _, attribution in ordered]


def _pieces(
    clips: Sequence[Clip],
    attributions: Sequence[Attribution],
    predictions: Sequence[Prediction],
    settings: Settings,
) -> list[Piece]:
    post = asdict(settings.post)
    rules = {k: post[k] for k in ("threshold", "threshold_value", "focus_sigma", "focus_gamma")}
    return [
        Piece.of(clip, attribution, postprocess(attribution.values, **rules), each.confidence)
        for clip, attribution, each in zip(clips, attributions, predictions, strict=True)
    ]
