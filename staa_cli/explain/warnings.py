"""What the reader of a result should know before believing it: coded warnings."""

from __future__ import annotations

from collections.abc import Callable, Iterator

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
"""Probability below which the model hardly says the class: where each class is by itself, the side
of no. A raw value is as sure as any other."""

SPARSE = 0.9
"""Share of time below which clips leave much out."""


def result_warnings(
    info: VideoInfo,
    model: ModelInfo,
    prediction: Prediction,
    temporal: TemporalStats,
    spatial: SpatialStats,
    report: DecodeReport,
) -> tuple[ReportWarning, ...]:
    """What the reader of a report should know about the video, the prediction, and the curve.

    Args:
        info: of the video, with what decoding met.
        model: that was asked.
        prediction: for the whole video.
        temporal: of the whole video.
        spatial: of the whole video.
        report: of the pass that was explained.
    """
    warnings = [*_decode_warnings(info, len(report.missing))]
    short = min(info.width, info.height)
    if short < min(model.input.size):
        done = "padded with black" if model.input.resize is None else "scaled up"
        text = f"the picture ({short} px) is smaller than the model's input and was {done}"
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
        text = "spatial attention is indistinguishable from uniform: no place stands out"
        warnings.append(ReportWarning("flat-spatial", text))
    if model.note:
        warnings.append(ReportWarning("model-note", model.note))
    return tuple(warnings)


def coverage_warnings(
    coverage: Coverage, plan: sampling.Plan, dense: Callable[[], int]
) -> tuple[ReportWarning, ...]:
    """That clips reach little of what was to be looked at, and what reaches all of it.

    Args:
        coverage: of that stretch.
        plan: its clips.
        dense: tells how many clips would leave nothing out.
    """
    if coverage.covered_share >= SPARSE:
        return ()
    line = "--hop 1" if plan.strategy in sampling.DENSE else "--sampling dense"
    text = (
        f"the clips cover {percent(coverage.covered_share)} of the video, and the model saw "
        f"{coverage.frames_seen:,} of its {len(plan.part):,} frames; frames it did "
        f"not see have no score. {line} covers all of it with {dense():,} clips "
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
        known = info.frames_declared > info.frames
        count = f"{info.frames} of {info.frames_declared}" if known else f"{info.frames}"
        yield ReportWarning("truncated", f"the file ends early: it holds {count} frames")
    if info.times_repaired:
        text = "timestamps in the file contradict the frame order and were repaired"
        yield ReportWarning("times-repaired", text)
    if info.color_guessed:
        text = "the file's color matrix is not supported; the nearest one was used"
        yield ReportWarning("color-guessed", text)


def method_warnings(
    method: Method, options: Options, named: bool, of_class: bool, measured: bool = False
) -> tuple[ReportWarning, ...]:
    """What the reader should know about the method, which speaks of one class or of none.

    `named` says whether somebody named a class, `measured` whether faithfulness is measured, for
    which something is replaced by whatever method.
    """
    warnings, defaults = [], Options()
    used = method.supported_options | ({"replacement"} if measured else set())
    if named and not of_class:
        text = f"{method.name} is class-blind: its maps are the same for every class"
        warnings.append(ReportWarning("class-blind-method", text))
    for name in ("layers", "combine", "replacement", "samples"):
        asked = getattr(options, name)
        if asked != getattr(defaults, name) and name not in used:
            text = f"{method.name} does not use {name}: {asked!r} has no effect"
            warnings.append(ReportWarning("setting-without-effect", text))
    return tuple(warnings)


def setting_warnings(settings: Settings) -> tuple[ReportWarning, ...]:
    """That somebody has set what another setting gives nothing to do."""
    given, post = settings.sampling, settings.post
    idle = {  # setting: whether it is, and what it belongs to
        "sampling.stride": (given.strategy == "uniform", "every --sampling except uniform"),
        "sampling.hop": (given.strategy not in sampling.DENSE, "--sampling dense or range"),
        "sampling.clips": (
            given.strategy not in ("segments", "random"),
            "--sampling segments or random",
        ),
        "sampling.keep_rest": (given.start is None and given.end is None, "--start and --end"),
        "post.threshold_value": (
            post.threshold not in ("percentile", "mean_std"),
            "--threshold percentile or mean_std",
        ),
        "post.smooth_s": (post.smooth == "none", "--smooth average or exponential"),
    }
    return tuple(
        ReportWarning(
            "setting-without-effect", f"{key.flag} has no effect: it applies only to {home}"
        )
        for name, (is_idle, home) in idle.items()
        if is_idle and value_of(settings, name) != (key := keys()[name]).default
    )


def threshold_warnings(rule: str, maps: HeatMaps) -> tuple[ReportWarning, ...]:
    """That a threshold has left nothing of the maps that are drawn."""
    if rule == "none" or maps.values.any():
        return ()
    text = f"--threshold {rule} removed everything from the maps: nothing is left to draw"
    return (ReportWarning("nothing-left", text),)


def fit_warnings(trained: ModelInput, used: ModelInput) -> tuple[ReportWarning, ...]:
    """That clips have another length or size than those which the model learned from."""
    if (trained.frames, trained.size) == (used.frames, used.size):
        return ()
    text = (
        f"clips have {_size(used)}, but the model was trained on {_size(trained)}: "
        "its position embeddings are interpolated or extended as in its authors' code"
    )
    return (ReportWarning("untrained-size", text),)


def _size(given: ModelInput) -> str:
    return f"{counted(given.frames, 'frame')} of {given.size[1]} x {given.size[0]}"


def faithfulness_warnings(
    faithfulness: Faithfulness | None, output: Output
) -> tuple[ReportWarning, ...]:
    """That the model does not need what the explanation points to; None where nobody asked."""
    if faithfulness is None or not faithfulness.beaten_by:
        return ()
    explained, *others = faithfulness.rows
    beside = ", ".join(
        f"{row.method} {with_interval(row.srg, row.srg_low, row.srg_high, output)}"
        for row in others
        if row.method in faithfulness.beaten_by
    )
    text = (
        f"removing what {explained.method} highlights changes the answer no more than "
        "removing what a baseline highlights: symmetric relevance gain "
        f"{with_interval(explained.srg, explained.srg_low, explained.srg_high, output)}, {beside}"
        + (
            " (a quick check; --faithfulness runs five times as many passes)"
            if faithfulness.quick
            else ""
        )
    )
    return (ReportWarning("not-faithful", text),)


def batch_warnings(reduced_to: int | None) -> tuple[ReportWarning, ...]:
    """What became of the batches; None where they stayed as large as they were."""
    if reduced_to is None:
        return ()
    text = f"memory ran out; batches were reduced to {reduced_to} clips (--batch-size {reduced_to})"
    return (ReportWarning("batch-size-reduced", text),)
