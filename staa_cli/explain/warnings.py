"""Coded warnings for the reader of a result."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

import numpy as np

from staa_cli.config.settings import Settings, keys, value_of
from staa_cli.explain import sampling
from staa_cli.formatting import counted, percent, with_interval
from staa_cli.methods import Method, Options
from staa_cli.schema import (
    Coverage,
    Faithfulness,
    HeatMaps,
    ModelInfo,
    ModelInput,
    Output,
    Prediction,
    ReportWarning,
    SpatialStats,
    TemporalStats,
    VideoInfo,
)
from staa_cli.video.table import DecodeReport

LOW_CONFIDENCE = {"softmax": 0.3, "sigmoid": 0.5}
"""Probability below which confidence is low; for independent classes, that of a negative answer.
Raw outputs have no confidence."""

SPARSE = 0.9
"""Share of covered time below which sampling counts as sparse."""


def result_warnings(
    info: VideoInfo,
    model: ModelInfo,
    prediction: Prediction,
    temporal: TemporalStats,
    spatial: SpatialStats,
    report: DecodeReport,
    uniform_below: float,
) -> tuple[ReportWarning, ...]:
    """Warnings about the video, the prediction, the curve, and the attention.

    Args:
        info: of the video, with decoding problems.
        model: the explained model.
        prediction: for the whole video.
        temporal: of the whole video.
        spatial: of the whole video.
        report: of the pass that was explained.
        uniform_below: coefficient of variation below which attention counts as uniform.
    """
    warnings = [*_decode_warnings(info, len(report.missing))]
    shorter_px = min(info.width, info.height)
    if shorter_px < min(model.input.size):
        adjustment = "padded with black" if model.input.resize is None else "scaled up"
        text = (
            f"the picture ({shorter_px} px) is smaller than the model's input and was {adjustment}"
        )
        warnings.append(ReportWarning("upsampled-input", text))
    if prediction.score < LOW_CONFIDENCE.get(prediction.output, -np.inf):
        text = f"{prediction.label} has a probability of only {percent(prediction.score)}"
        warnings.append(ReportWarning("low-confidence", text))
    if temporal.flat:
        text = "the temporal scores are indistinguishable from uniform: they do not rank moments"
        if temporal.still:
            text = (
                "nothing moves in the frames that the model saw, so no moment can "
                "matter more than another"
            )
        warnings.append(ReportWarning("flat-temporal", text))
    if spatial.flat:
        text = "the model's attention to places is indistinguishable from uniform"
        warnings.append(ReportWarning("flat-spatial", text))
    if spatial.uninformative(uniform_below):
        text = (
            "the model's attention is almost uniform over space and time, so it does not tell what "
            "the model uses; --method occlusion does not read it, and --faithfulness tests the map"
        )
        warnings.append(ReportWarning("attention-uninformative", text))
    if model.note:
        warnings.append(ReportWarning("model-note", model.note))
    return tuple(warnings)


def coverage_warnings(
    coverage: Coverage, plan: sampling.Plan, dense: Callable[[], int]
) -> tuple[ReportWarning, ...]:
    """Warn if clips cover little of the time range, and name an option that covers all of it.

    Args:
        coverage: of the time range.
        plan: its clips.
        dense: returns the number of clips that would cover everything.
    """
    if coverage.covered_share >= SPARSE:
        return ()
    option = "--hop 1" if plan.strategy in sampling.DENSE else "--sampling dense"
    text = (
        f"the clips cover {percent(coverage.covered_share)} of the video, and the model saw "
        f"{coverage.frames_seen:,} of its {len(plan.part):,} frames; frames it did "
        f"not see have no score. {option} covers all of it with {dense():,} clips "
        f"instead of {len(plan.clips):,}"
    )
    return (ReportWarning("sparse-sampling", text),)


def _decode_warnings(info: VideoInfo, missing: int) -> Iterator[ReportWarning]:
    if info.packets_bad or missing:
        text = (
            f"{info.packets_bad} damaged packets were skipped or concealed; {missing} "
            "frames were replaced by a neighbor"
        )
        yield ReportWarning("decode-errors", text)
    if info.truncated:
        declares_more = info.frames_declared > info.frames
        count = f"{info.frames} of {info.frames_declared}" if declares_more else f"{info.frames}"
        yield ReportWarning("truncated", f"the file ends early: it holds {count} frames")
    if info.times_repaired:
        text = "timestamps in the file contradict the frame order and were repaired"
        yield ReportWarning("times-repaired", text)
    if info.color_guessed:
        text = "the file's color matrix is not supported; the nearest one was used"
        yield ReportWarning("color-guessed", text)


def method_warnings(
    method: Method,
    options: Options,
    named: bool,
    of_class: bool,
    used_elsewhere: Collection[str] = (),
) -> tuple[ReportWarning, ...]:
    """Warnings about a method: class-blind, or options without effect.

    `named` says whether the user named a class; `used_elsewhere` are options that have an effect
    for every method.
    """
    warnings, defaults = [], Options()
    used = method.options_used(options).union(used_elsewhere)
    if named and not of_class:
        text = f"{method.name} is class-blind: its maps are the same for every class"
        warnings.append(ReportWarning("class-blind-method", text))
    for name in ("layers", "combine", "seed", "replacement", "samples"):
        value = getattr(options, name)
        if value != getattr(defaults, name) and name not in used:
            text = f"{method.name} does not use {name}: {value!r} has no effect"
            warnings.append(ReportWarning("setting-without-effect", text))
    return tuple(warnings)


def setting_warnings(settings: Settings) -> tuple[ReportWarning, ...]:
    """Warn about settings that have no effect because of another setting."""
    sample, post = settings.sampling, settings.post
    idle = {  # setting: whether it has no effect, and where it applies
        "sampling.stride": (sample.strategy == "uniform", "every --sampling except uniform"),
        "sampling.hop": (sample.strategy not in sampling.DENSE, "--sampling dense or range"),
        "sampling.clips": (
            sample.strategy not in ("segments", "random"),
            "--sampling segments or random",
        ),
        "sampling.keep_rest": (sample.start is None and sample.end is None, "--start and --end"),
        "post.threshold_value": (
            post.threshold not in ("percentile", "mean_std"),
            "--threshold percentile or mean_std",
        ),
        "post.smooth_s": (post.smooth == "none", "--smooth average or exponential"),
    }
    return tuple(
        ReportWarning(
            "setting-without-effect", f"{key.flag} has no effect: it applies only to {scope}"
        )
        for name, (is_idle, scope) in idle.items()
        if is_idle and value_of(settings, name) != (key := keys()[name]).default
    )


def threshold_warnings(rule: str, maps: HeatMaps) -> tuple[ReportWarning, ...]:
    """Warn if a threshold has removed everything from the maps."""
    if rule == "none" or maps.values.any():
        return ()
    text = f"--threshold {rule} removed everything from the maps: nothing is left to draw"
    return (ReportWarning("nothing-left", text),)


def fit_warnings(trained: ModelInput, used: ModelInput) -> tuple[ReportWarning, ...]:
    """Warn if clips have another length or size than in training."""
    if (trained.frames, trained.size) == (used.frames, used.size):
        return ()
    text = (
        f"clips have {_size(used)}, but the model was trained on {_size(trained)}: "
        "its position embeddings are interpolated or extended as in its authors' code"
    )
    return (ReportWarning("untrained-size", text),)


def _size(model_input: ModelInput) -> str:
    return (
        f"{counted(model_input.frames, 'frame')} of {model_input.size[1]} x {model_input.size[0]}"
    )


def faithfulness_warnings(
    faithfulness: Faithfulness | None, output: Output
) -> tuple[ReportWarning, ...]:
    """Warn if an explanation is not more faithful than a baseline, or than its reverse order.

    None was not measured.
    """
    if faithfulness is None or (faithfulness.gains and not faithfulness.beaten_by):
        return ()
    row, *others = faithfulness.rows
    gain = with_interval(row.srg, row.srg_low, row.srg_high, output)
    baselines = ", ".join(
        f"{other.method} {with_interval(other.srg, other.srg_low, other.srg_high, output)}"
        for other in others
        if other.method in faithfulness.beaten_by
    )
    compared = "what a baseline highlights" if baselines else "the rest"
    text = (
        f"removing what {row.method} highlights changes the answer no more than removing "
        f"{compared}: symmetric relevance gain {', '.join(filter(None, [gain, baselines]))}"
        + (
            " (a quick check; --faithfulness runs five times as many passes)"
            if faithfulness.quick
            else ""
        )
    )
    return (ReportWarning("not-faithful", text),)


def batch_warnings(reduced_to: int | None) -> tuple[ReportWarning, ...]:
    """Warn about reduced batches; None means that they were not reduced."""
    if reduced_to is None:
        return ()
    text = f"memory ran out; batches were reduced to {reduced_to} clips (--batch-size {reduced_to})"
    return (ReportWarning("batch-size-reduced", text),)
