"""The stages of an explanation: probe, plan, read, attend, stitch, and, if requested, measure.

This is the only module that knows all stages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

from staa_cli.config.settings import Depth, MethodSettings, PostSettings, Settings
from staa_cli.errors import UsageError
from staa_cli.explain import provenance, sampling
from staa_cli.explain.attribution import TOP, Attributed, attribute
from staa_cli.explain.clips import STILL, ClipReader, FrameCache
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
from staa_cli.explain.turns import Turns
from staa_cli.explain.warnings import (
    batch_warnings,
    coverage_warnings,
    faithfulness_warnings,
    fit_warnings,
    method_warnings,
    result_warnings,
    setting_warnings,
    threshold_warnings,
)
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
    Float32,
    ModelInput,
    OnProgress,
    Prediction,
    VideoInfo,
)
from staa_cli.video.frame_source import SeekableSource, VideoFile, open_source

PLANNING = "planning"
"""The first stage, reported once when the number of clips is known."""

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
        """Measure all clips, given their predictions and one row of attributions per method."""


def open_model(settings: Settings, announce: Announce = lambda line: None) -> LoadedModel:
    """Load the model of the settings; `announce` is called before a download."""
    return load_model(
        settings.model,
        arch=settings.arch,
        labels=settings.labels,
        device=settings.device,
        precision=settings.precision,
        compile=settings.compile,
        offline=settings.offline,
        announce=announce,
    )


def check_settings(model: LoadedModel, settings: Settings) -> None:
    """Check that the settings fit a model, independently of the video.

    Raises:
        UsageError: an unknown class or method, or one that does not fit the model or its clips.
        UnavailableError: a package that the method needs is not installed.
    """
    model = model.fitted(settings.sampling.frames, settings.sampling.size)
    options = method_options(settings.method)
    method = choose_method(settings.method.name, model.module, model.layout, options)
    method.perturbations(model.layout, options)
    find_target(settings.target, model.labels)


@dataclass(frozen=True, slots=True, eq=False)
class PlannedVideo:
    """A video with its planned clips."""

    source: SeekableSource
    plan: sampling.Plan
    cache: FrameCache | None = None
    """Set if several explanations read the same frames."""
    turns: Turns | None = None
    """Set if other threads use the same model."""

    def reader(
        self,
        model: LoadedModel,
        settings: Settings,
        on_progress: OnProgress,
        stopwatch: Stopwatch,
    ) -> ClipReader:
        """A reader of the clips for the model that they were planned for."""
        return ClipReader(
            self.source,
            model,
            self.plan.clips,
            batch_size=settings.batch_size,
            on_progress=on_progress,
            stopwatch=stopwatch,
            cache=self.cache,
            turns=self.turns,
        )


def plan_video(
    video: str | Path | SeekableSource,
    model: LoadedModel,
    settings: Settings,
    on_progress: OnProgress,
    stopwatch: Stopwatch,
    cache: FrameCache | None = None,
    turns: Turns | None = None,
) -> PlannedVideo:
    """Probe a video and plan its clips.

    Raises:
        VideoError: the file does not open.
        InputError: the video has no frame in the selected time range.
    """
    fitted = model.fitted(settings.sampling.frames, settings.sampling.size)
    with stopwatch("probe"):
        source = open_source(video)
    plan = plan_clips(source.info, fitted.input, settings)
    on_progress(PLANNING, len(plan.clips), len(plan.clips))
    return PlannedVideo(source, plan, cache, turns)


def explain_one(
    video: str | Path | SeekableSource,
    model: LoadedModel,
    settings: Settings,
    on_progress: OnProgress,
    measure: Measure | None = None,
    turns: Turns | None = None,
) -> Explanation:
    """Explain a video, with a score for every frame. Writes nothing.

    Args:
        video: path of a file, or an open source.
        model: to explain.
        settings: of the explanation.
        on_progress: called with (stage, done, total); first the number of clips, as `planning`.
        measure: measures faithfulness, if the settings request it.
        turns: shared by threads that use the same model with the same settings.

    Raises:
        VideoError: the file does not open or decode.
        UsageError: an unknown class or method, or a method that does not fit the model.
    """
    check_settings(model, settings)
    stopwatch = Stopwatch()
    planned = plan_video(video, model, settings, on_progress, stopwatch, turns=turns)
    (explanation,) = explain_classes(
        planned, model, [settings], on_progress, measure=measure, stopwatch=stopwatch
    )
    return explanation


def explain_classes(
    planned: PlannedVideo,
    model: LoadedModel,
    variants: Sequence[Settings],
    on_progress: OnProgress,
    *,
    probable: int | None = None,
    measure: Measure | None = None,
    stopwatch: Stopwatch | None = None,
) -> list[Explanation]:
    """Explain a planned video for several classes.

    Uses the same passes for all classes if the method allows it.

    Args:
        planned: from `plan_video`, for this model and these settings.
        model: to explain.
        variants: settings of each explanation; only their targets differ.
        on_progress: called with (stage, done, total).
        probable: the most probable class, if known.
        measure: measures faithfulness, if the settings request it.
        stopwatch: of the earlier stages.

    Raises:
        VideoError: the file does not decode.
        UsageError: an unknown class or method, or a method that does not fit the model.
    """
    model = model.of_this_moment()
    trained, settings, stopwatch = model.input, variants[0], stopwatch or Stopwatch()
    model = model.fitted(settings.sampling.frames, settings.sampling.size)
    options = method_options(settings.method)
    method = choose_method(settings.method.name, model.module, model.layout, options)
    targets, reasons = zip(
        *(find_target(variant.target, model.labels) for variant in variants), strict=True
    )
    reader = planned.reader(model, settings, on_progress, stopwatch)
    attributed = attribute(
        reader,
        model,
        method,
        options,
        [probable if target is None else target for target in targets],
        top=TOP if settings.output.npz else 0,
    )
    shared = _Shared(planned, trained, model, method, options, reader, stopwatch)
    return [
        _explanation(shared, variant, reason, of_class, measure)
        for variant, reason, of_class in zip(variants, reasons, attributed, strict=True)
    ]


class _Shared(NamedTuple):
    """Shared data of explanations of one video for several classes."""

    planned: PlannedVideo
    trained: ModelInput
    """Input that the model was trained on, before `fitted`."""
    model: LoadedModel
    method: Method
    options: Options
    reader: ClipReader
    stopwatch: Stopwatch


def _explanation(
    shared: _Shared,
    settings: Settings,
    reason: Reason,
    attributed: Attributed,
    measure: Measure | None,
) -> Explanation:
    """The explanation of one class, from its attributions."""
    planned, trained, model, method, options, reader, stopwatch = shared
    source, plan = planned.source, planned.plan
    info = provenance.with_decoding(source.info, reader.report)

    def prediction_of(scores: Float32) -> Prediction:
        return Prediction(scores, attributed.target, reason, model.labels, model.info.output)

    prediction = prediction_of(attributed.pooled)
    clip_predictions = tuple(prediction_of(scores) for scores in attributed.scores)
    with stopwatch("stitch"):
        pieces = _pieces(plan.clips, attributed.attributions, clip_predictions, settings.post)
        scores = stitch_scores(pieces, info.times_s, plan.part, info.duration_s)
        frames = smooth_scores(scores, settings.post.smooth, settings.post.smooth_s)
        coverage = frames.coverage
        if settings.sampling.keep_rest:
            frames = with_rest(frames, info.times_s, info.duration_s)
        still = reader.motion < STILL
        temporal = temporal_stats(pieces, frames, settings.post.flat_below, still)
        spatial = spatial_stats(attributed.attributions, settings.post.flat_space_below)
        maps = stitch_maps(pieces, model.view_box(info.height, info.width))
    faithfulness = None
    if measure is not None and (depth := settings.output.depth) is not None:
        with stopwatch("faithfulness"):
            faithfulness = measure(
                reader, model, clip_predictions, [attributed.attributions], options, depth
            )
    return Explanation(
        video=info,
        model=model.info,
        settings=provenance.relevant(settings),
        strategy=plan.strategy,
        clips=plan.clips,
        prediction=prediction,
        clip_predictions=clip_predictions,
        attributions=attributed.attributions,
        frames=frames,
        maps=maps,
        moments=()
        if temporal.still
        else find_moments(frames, maps, flat_below=settings.post.flat_below),
        temporal=temporal,
        spatial=spatial,
        warnings=(
            *plan.warnings,
            *coverage_warnings(coverage, plan, lambda: _dense_clips(info, model.input, settings)),
            *fit_warnings(trained, model.input),
            *result_warnings(
                info,
                model.info,
                prediction,
                temporal,
                spatial,
                reader.report,
                settings.post.flat_below,
            ),
            *method_warnings(
                method,
                options,
                settings.target is not None,
                method.is_class_specific(model.layout, options),
                _used_for_every_method(settings),
            ),
            *setting_warnings(settings),
            *threshold_warnings(settings.post.threshold, maps),
            *faithfulness_warnings(faithfulness, model.info.output),
            *batch_warnings(reader.batch_size if reader.backed_off else None),
        ),
        fingerprint=provenance.fingerprint(
            info.sha256, model.info.weights_sha256, model.info.output, model.labels, settings
        ),
        run=provenance.run_details(model, stopwatch),
        faithfulness=faithfulness,
        by_class=attributed.by_class,
        source=None if isinstance(source, VideoFile) else source,
    )


def plan_clips(info: VideoInfo, model_input: ModelInput, settings: Settings) -> sampling.Plan:
    """Plan the clips of a video for a model with that input."""
    stride = settings.sampling.stride or model_input.stride
    return sampling.plan(
        info.times_s,
        frames=settings.sampling.frames or model_input.frames,
        interval_s=stride / model_input.rate,
        settings=settings.sampling,
        model_interval_s=model_input.interval_s,
    )


def _dense_clips(info: VideoInfo, model_input: ModelInput, settings: Settings) -> int:
    """Number of clips that would cover everything."""
    dense = replace(settings.sampling, strategy="dense", hop=min(settings.sampling.hop, 1.0))
    return len(plan_clips(info, model_input, replace(settings, sampling=dense)).clips)


def find_target(target: str | int | None, labels: Sequence[str]) -> tuple[int | None, Reason]:
    """Look up a class by name or index; returns (index, reason), or (None, top-1) for no name.

    Raises:
        UsageError: there is no such class, or several have that name.
    """
    if target is None:
        return None, "top-1"
    text = str(target)
    matches = [n for n, label in enumerate(labels) if label == text] or [
        n for n, label in enumerate(labels) if label.casefold() == text.casefold()
    ]
    if len(matches) > 1:
        raise UsageError(
            f"{len(matches)} classes are called {text!r}: {', '.join(map(str, matches))}",
            f"give its index, for example --class {matches[0]}",
        )
    if matches:
        return matches[0], "named"
    if text.isdecimal() and int(text) < len(labels):
        return int(text), "index"
    hint = (
        did_you_mean(text, labels)
        or f"it has {len(labels)} classes, such as {', '.join(labels[:5])}"
    )
    raise UsageError(f"the model has no class {text!r}", hint)


def method_options(settings: MethodSettings) -> Options:
    """The options of a method from its settings."""
    return Options(
        settings.layers, settings.combine, settings.seed, settings.replacement, settings.samples
    )


def _used_for_every_method(settings: Settings) -> set[str]:
    """Method options that have an effect besides the method, by --seed or through faithfulness."""
    measured, drawn = settings.output.depth is not None, settings.sampling.strategy == "random"
    return ({"replacement"} if measured else set()) | ({"seed"} if measured or drawn else set())


def _pieces(
    clips: Sequence[Clip],
    attributions: Sequence[Attribution],
    predictions: Sequence[Prediction],
    post: PostSettings,
) -> list[Piece]:
    pieces = []
    for clip, attribution, prediction in zip(clips, attributions, predictions, strict=True):
        maps = postprocess(
            attribution.values,
            threshold=post.threshold,
            threshold_value=post.threshold_value,
            focus_sigma=post.focus_sigma,
            focus_gamma=post.focus_gamma,
        )
        pieces.append(Piece.of(clip, attribution, maps, prediction.weight))
    return pieces
