"""An explanation of a video from the attributions of its clips: stitched, measured, and judged."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from staa_cli.config.settings import PostSettings, Settings
from staa_cli.explain import provenance, sampling
from staa_cli.explain.attribution import Attributed
from staa_cli.explain.clips import STILL
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
from staa_cli.methods import Method, Options
from staa_cli.methods.postprocess import postprocess
from staa_cli.models.load import LoadedModel
from staa_cli.schema import (
    Attribution,
    Clip,
    Explanation,
    Faithfulness,
    ModelInput,
    Prediction,
    Reason,
    VideoInfo,
)
from staa_cli.video.frame_source import SeekableSource, VideoFile
from staa_cli.video.table import DecodeReport


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """What is explained, and how."""

    source: SeekableSource
    plan: sampling.Plan
    model: LoadedModel
    """Fitted to the length and size of the clips."""
    trained: ModelInput
    """Input that the model was trained on, before it was fitted."""
    method: Method
    options: Options


class Read(NamedTuple):
    """What reading the clips has shown."""

    report: DecodeReport
    motion: float
    """As `ClipReader.motion`."""
    reduced_batch: int | None = None
    """Clips per batch, if it was reduced as memory ran out."""


def assemble(
    subject: Subject,
    settings: Settings,
    reason: Reason,
    attributed: Attributed,
    read: Read,
    stopwatch: Stopwatch,
    faithfulness: Faithfulness | None = None,
) -> Explanation:
    """The explanation of one class, from the attributions of the clips of the plan.

    Args:
        subject: what was explained.
        settings: of the explanation.
        reason: for the explained class.
        attributed: scores and attributions of all clips.
        read: what reading them has shown.
        stopwatch: of all stages so far; that of stitching is added.
        faithfulness: if it was measured.
    """
    source, plan, model, trained = subject.source, subject.plan, subject.model, subject.trained
    method, options = subject.method, subject.options
    info = provenance.with_decoding(source.info, read.report)
    prediction = attributed.prediction(model, reason)
    clip_predictions = attributed.predictions(model, reason)
    with stopwatch("stitch"):
        pieces = [
            piece_of(clip, attribution, of_clip, settings.post)
            for clip, attribution, of_clip in zip(
                plan.clips, attributed.attributions, clip_predictions, strict=True
            )
        ]
        scores = stitch_scores(pieces, info.times_s, plan.part, info.duration_s)
        frames = smooth_scores(scores, settings.post.smooth, settings.post.smooth_s)
        coverage = frames.coverage
        if settings.sampling.keep_rest:
            frames = with_rest(frames, info.times_s, info.duration_s)
        still = read.motion < STILL
        temporal = temporal_stats(pieces, frames, settings.post.flat_below, still)
        spatial = spatial_stats(attributed.attributions, settings.post.flat_space_below)
        maps = stitch_maps(pieces, model.view_box(info.height, info.width))
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
                read.report,
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
            *batch_warnings(read.reduced_batch),
        ),
        fingerprint=provenance.fingerprint(
            info.sha256, model.info.weights_sha256, model.info.output, model.labels, settings
        ),
        run=provenance.run_details(model, stopwatch),
        faithfulness=faithfulness,
        by_class=attributed.by_class,
        source=None if isinstance(source, VideoFile) else source,
    )


def piece_of(
    clip: Clip, attribution: Attribution, prediction: Prediction, post: PostSettings
) -> Piece:
    """A clip on the time axis, with its maps postprocessed."""
    maps = postprocess(
        attribution.values,
        threshold=post.threshold,
        threshold_value=post.threshold_value,
        focus_sigma=post.focus_sigma,
        focus_gamma=post.focus_gamma,
    )
    return Piece.of(clip, attribution, maps, prediction.weight)


def _dense_clips(info: VideoInfo, model_input: ModelInput, settings: Settings) -> int:
    """Number of clips that would cover everything."""
    dense = replace(settings.sampling, strategy="dense", hop=min(settings.sampling.hop, 1.0))
    everywhere = replace(settings, sampling=dense)
    return len(sampling.plan_for(info.times_s, model_input, everywhere.sampling).clips)


def _used_for_every_method(settings: Settings) -> set[str]:
    """Method options that have an effect besides the method, by --seed or through faithfulness."""
    measured, drawn = settings.output.depth is not None, settings.sampling.strategy == "random"
    return ({"replacement"} if measured else set()) | ({"seed"} if measured or drawn else set())
