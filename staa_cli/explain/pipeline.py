"""A video's way through the program: probe, plan, read, attend, stitch, and, if asked, write.

The one room that knows all stages, and a summary of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

from torch import Tensor

from staa_cli.config.settings import Depth, MethodSettings, PostSettings, Settings
from staa_cli.errors import InputError, UsageError
from staa_cli.explain import provenance, sampling
from staa_cli.explain import warnings as cautions
from staa_cli.explain.attribution import TOP, Attributed, attend, attribute, attributions_of
from staa_cli.explain.clips import STILL, ClipReader
from staa_cli.explain.stitch import (
    Piece,
    find_moments,
    smooth_scores,
    spatial_stats,
    stitch_maps,
    stitch_scores,
    temporal_stats,
    with_rest,
)
from staa_cli.explain.timing import Stopwatch
from staa_cli.methods import Method, Options, choose_method
from staa_cli.methods.postprocess import postprocess
from staa_cli.models.catalog.hub import Announce
from staa_cli.models.load import LoadedModel, load_model
from staa_cli.registry import did_you_mean
from staa_cli.schema import (
    Attribution,
    Clip,
    Explanation,
    Faithfulness,
    ModelInput,
    OnProgress,
    Prediction,
    ReportWarning,
    UInt8,
    VideoInfo,
)
from staa_cli.video.probe import probe

PLANNING = "planning"
"""The stage that is told first, once, as soon as it is known how many clips there are."""

Reason = Literal["top-1", "named", "index"]


class Measure(Protocol):
    """Measures how faithful attributions are; `evaluation.measure.measure_faithfulness` does."""

    def __call__(
        self,
        reader: ClipReader,
        model: LoadedModel,
        predictions: Sequence[Prediction],
        attributions: Sequence[Sequence[Attribution]],
        options: Options,
        depth: Depth,
    ) -> Faithfulness:
        """Of all clips, their predictions, and a row of attributions for every method."""


@dataclass(frozen=True, slots=True, eq=False)
class ClipExplanation:
    """What one clip gave."""

    prediction: Prediction
    attribution: Attribution
    """Raw: `values` [T', h, w], for one class where the method speaks of one."""
    warnings: tuple[ReportWarning, ...] = ()
    """About the clip's length and size, and what was asked of the method."""


def explain_clip(
    model: LoadedModel,
    frames: UInt8 | Tensor,
    target: str | int | None = None,
    method: str = "auto",
    options: Options | None = None,
) -> ClipExplanation:
    """Explain one clip.

    Args:
        model: from `load_model`.
        frames: uint8 [T, H, W, 3] RGB, or a float tensor [1, T, 3, h, w] already preprocessed.
        target: class to explain, by name or index; the most probable where None.
        method: a name from `list_methods`, or auto: staa-class, or staa where that does not fit.
        options: of the method.

    Returns:
        `prediction`; `attribution`, whose `values` [T', h, w] are raw; and `warnings` as a report
        has them: that the model learned from clips of another length, that the method is the same
        for every class, or that it has no use for an option.

    Raises:
        UsageError: an unknown class or method, or a method that does not fit the model.
        InputError: the frames are something else.
    """
    inputs, trained = _as_input(frames, model), model.input
    model = model.fitted(frames=inputs.shape[1])
    options = options or Options()
    chosen = choose_method(method, model.module, model.layout, options)
    wanted, reason = find_target(target, model.labels)
    explained = attend(model, inputs, chosen, options, wanted, (0,))
    prediction = Prediction(
        explained.scores[0], explained.targets[0], reason, model.labels, model.info.output
    )
    (attribution,) = attributions_of(explained, model, chosen, options)
    of_class = chosen.is_class_specific(model.layout, options)
    warnings = (
        *cautions.fit_warnings(trained, model.input),
        *cautions.method_warnings(chosen, options, target is not None, of_class),
    )
    return ClipExplanation(prediction, attribution, warnings)


def open_model(settings: Settings, announce: Announce = lambda line: None) -> LoadedModel:
    """The model that the settings name, where they want it; `announce` is told of a download."""
    return load_model(
        settings.model,
        arch=settings.arch,
        labels=settings.labels,
        device=settings.device,
        precision=settings.precision,
        compile=settings.compile,
        announce=announce,
    )


def check_settings(model: LoadedModel, settings: Settings) -> None:
    """See that a model can be asked what the settings ask, of whatever video.

    Raises:
        UsageError: an unknown class or method, or one that does not fit the model or its clips.
        UnavailableError: the method needs what is not installed.
    """
    model = model.fitted(settings.sampling.frames, settings.sampling.size)
    options = method_options(settings.method)
    method = choose_method(settings.method.name, model.module, model.layout, options)
    method.perturbations(model.layout, options)
    find_target(settings.target, model.labels)


def open_clips(
    path: str | Path,
    model: LoadedModel,
    settings: Settings,
    on_progress: OnProgress,
    stopwatch: Stopwatch,
) -> tuple[VideoInfo, sampling.Plan, ClipReader]:
    """What a video is, which of its frames a fitted model is to see, and what reads those.

    Raises:
        VideoError: the file does not open.
    """
    with stopwatch("probe"):
        info = probe(path)
    plan = plan_clips(info, model.input, settings)
    reader = ClipReader(
        info,
        model,
        plan.clips,
        batch_size=settings.batch_size,
        on_progress=on_progress,
        stopwatch=stopwatch,
    )
    on_progress(PLANNING, len(plan.clips), len(plan.clips))
    return info, plan, reader


def explain_one(
    path: str | Path,
    model: LoadedModel,
    settings: Settings,
    on_progress: OnProgress,
    probable: int | None = None,
    measure: Measure | None = None,
) -> Explanation:
    """A video file in, an explanation with a score for every frame out. Writes nothing.

    Args:
        path: of the video.
        model: that is explained.
        settings: how.
        on_progress: told how far it is; first of all the number of clips, as the stage `planning`.
        probable: the most probable class, where it is known.
        measure: measures faithfulness, where the settings ask for that.

    Raises:
        VideoError: the file does not open or decode.
        UsageError: an unknown class or method, or a method that does not fit the model.
    """
    return explain_classes(path, model, [settings], on_progress, probable, measure)[0]


def explain_classes(
    path: str | Path,
    model: LoadedModel,
    variants: Sequence[Settings],
    on_progress: OnProgress,
    probable: int | None = None,
    measure: Measure | None = None,
) -> list[Explanation]:
    """As `explain_one`, for the class of each of some settings that differ in nothing else.

    From the same passes, where those of the method serve every class.
    """
    stopwatch, trained, settings = Stopwatch(), model.input, variants[0]
    model = model.fitted(settings.sampling.frames, settings.sampling.size)
    options = method_options(settings.method)
    method = choose_method(settings.method.name, model.module, model.layout, options)
    wanted = [find_target(each.target, model.labels) for each in variants]
    info, plan, reader = open_clips(path, model, settings, on_progress, stopwatch)
    opened = _Opened(trained, model, method, options, info, plan, reader, stopwatch)
    targets = [probable if target is None else target for target, _ in wanted]
    top = TOP if settings.output.npz else 0
    attributed = attribute(reader, model, method, options, targets, top)
    return [
        _explanation(opened, each, reason, found, measure)
        for each, (_, reason), found in zip(variants, wanted, attributed, strict=True)
    ]


class _Opened(NamedTuple):
    """What explanations of one video for several classes have in common."""

    trained: ModelInput
    model: LoadedModel
    method: Method
    options: Options
    info: VideoInfo
    plan: sampling.Plan
    reader: ClipReader
    stopwatch: Stopwatch


def _explanation(
    opened: _Opened,
    settings: Settings,
    reason: Reason,
    found: Attributed,
    measure: Measure | None,
) -> Explanation:
    """All that follows from the attributions of one class."""
    trained, model, method, options, info, plan, reader, stopwatch = opened
    told = (found.target, reason, model.labels, model.info.output)
    each = [Prediction(row, *told) for row in found.scores]
    with stopwatch("stitch"):
        pieces = _pieces(plan.clips, found.attributions, each, settings.post)
        scores = stitch_scores(pieces, info.times_s, plan.part, info.duration_s)
        frames = smooth_scores(scores, settings.post.smooth, settings.post.smooth_s)
        coverage = frames.coverage
        if settings.sampling.keep_rest:
            frames = with_rest(frames, info.times_s, info.duration_s)
        still = reader.motion < STILL
        temporal = temporal_stats(pieces, frames, settings.post.flat_below, still)
        spatial = spatial_stats(found.attributions, settings.post.flat_space_below)
        maps = stitch_maps(pieces, model.view_box(info.height, info.width))
    faithfulness = None
    if measure is not None and (depth := settings.output.depth) is not None:
        with stopwatch("faithfulness"):
            faithfulness = measure(reader, model, each, [found.attributions], options, depth)
    prediction = Prediction(found.pooled, *told)
    info = provenance.with_decoding(info, reader.report)
    return Explanation(
        video=info,
        model=model.info,
        settings=provenance.relevant(settings),
        strategy=plan.strategy,
        clips=plan.clips,
        prediction=prediction,
        clip_predictions=tuple(each),
        attributions=found.attributions,
        frames=frames,
        maps=maps,
        moments=()
        if temporal.still
        else find_moments(frames, maps, flat_below=settings.post.flat_below),
        temporal=temporal,
        spatial=spatial,
        warnings=(
            *plan.warnings,
            *cautions.coverage_warnings(
                coverage, plan, lambda: _dense_clips(info, model.input, settings)
            ),
            *cautions.fit_warnings(trained, model.input),
            *cautions.result_warnings(
                info, model.info, prediction, temporal, spatial, reader.report
            ),
            *cautions.method_warnings(
                method,
                options,
                settings.target is not None,
                method.is_class_specific(model.layout, options),
            ),
            *cautions.setting_warnings(settings),
            *cautions.threshold_warnings(settings.post.threshold, maps),
            *cautions.faithfulness_warnings(faithfulness, model.info.output),
            *cautions.batch_warnings(reader.batch_size if reader.backed_off else None),
        ),
        fingerprint=provenance.fingerprint(
            info.sha256, model.info.weights_sha256, model.info.output, model.labels, settings
        ),
        run=provenance.run_details(model, stopwatch),
        faithfulness=faithfulness,
        by_class=found.by_class,
    )


def plan_clips(info: VideoInfo, own: ModelInput, settings: Settings) -> sampling.Plan:
    """Which frames of a video a model of such an input is to see."""
    stride = settings.sampling.stride or own.stride
    return sampling.plan(
        info.times_s,
        frames=settings.sampling.frames or own.frames,
        interval_s=stride / own.rate,
        settings=settings.sampling,
        model_interval_s=own.interval_s,
    )


def _dense_clips(info: VideoInfo, own: ModelInput, settings: Settings) -> int:
    """Clips that would leave nothing out."""
    dense = replace(settings.sampling, strategy="dense", hop=min(settings.sampling.hop, 1.0))
    return len(plan_clips(info, own, replace(settings, sampling=dense)).clips)


def find_target(wanted: str | int | None, labels: Sequence[str]) -> tuple[int | None, Reason]:
    """A class name or index in, (index, why it was chosen) out; (None, top-1) for no name.

    Raises:
        UsageError: there is no such class, or several have that name.
    """
    if wanted is None:
        return None, "top-1"
    text = str(wanted)
    found = [n for n, label in enumerate(labels) if label == text] or [
        n for n, label in enumerate(labels) if label.casefold() == text.casefold()
    ]
    if len(found) > 1:
        raise UsageError(
            f"{len(found)} classes are called {text!r}: {', '.join(map(str, found))}",
            f"say which by its index, as in --class {found[0]}",
        )
    if found:
        return found[0], "named"
    if text.isdecimal() and int(text) < len(labels):
        return int(text), "index"
    hint = did_you_mean(text, labels) or f"there are {len(labels)}, such as {', '.join(labels[:5])}"
    raise UsageError(f"the model has no class {text!r}", hint)


def method_options(settings: MethodSettings) -> Options:
    """Settings of a method as the method wants them."""
    return Options(
        settings.layers, settings.combine, settings.seed, settings.replacement, settings.samples
    )


def _as_input(frames: UInt8 | Tensor, model: LoadedModel) -> Tensor:
    """Pictures, or what is preprocessed already, to normalized float [1, T, 3, h, w].

    Raises:
        InputError: it is neither.
    """
    if 0 in frames.shape:
        raise InputError("there are no frames to explain")
    if not isinstance(frames, Tensor):
        return model.preprocess(frames)
    height, width = model.input.size
    others = (*frames.shape[:1], *frames.shape[2:])
    if others != (1, 3, height, width) or not frames.is_floating_point():
        raise InputError(
            f"a tensor must be preprocessed already, float [1, T, 3, {height}, {width}], "
            f"not {frames.dtype} {list(frames.shape)}",
            "give uint8 [T, H, W, 3] as an array, or what model.preprocess makes of it",
        )
    return frames


def _pieces(
    clips: Sequence[Clip],
    attributions: Sequence[Attribution],
    predictions: Sequence[Prediction],
    post: PostSettings,
) -> list[Piece]:
    pieces = []
    for clip, attribution, each in zip(clips, attributions, predictions, strict=True):
        maps = postprocess(
            attribution.values,
            threshold=post.threshold,
            threshold_value=post.threshold_value,
            focus_sigma=post.focus_sigma,
            focus_gamma=post.focus_gamma,
        )
        pieces.append(Piece.of(clip, attribution, maps, each.weight))
    return pieces
