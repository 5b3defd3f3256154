"""The stages of an explanation: probe, plan, read, attend, stitch, and, if requested, measure.

This is the only module that knows all stages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from staa_cli.config.settings import Depth, MethodSettings, Settings
from staa_cli.errors import UsageError
from staa_cli.explain import sampling
from staa_cli.explain.assembly import Read, Subject, assemble
from staa_cli.explain.attribution import TOP, Attributed, attribute
from staa_cli.explain.clips import ClipReader, FrameCache
from staa_cli.explain.timing import Stopwatch
from staa_cli.explain.turns import Turns
from staa_cli.methods import Options, choose_method
from staa_cli.models.catalog.hub import Announce
from staa_cli.models.load import LoadedModel, load_model
from staa_cli.registry import did_you_mean
from staa_cli.schema import (
    Attribution,
    Explanation,
    Faithfulness,
    OnProgress,
    Prediction,
    Reason,
)
from staa_cli.video.frame_source import SeekableSource, open_source

PLANNING = "planning"
"""The first stage, reported once when the number of clips is known."""


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
    plan = sampling.plan_for(source.info.times_s, fitted.input, settings.sampling)
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
    subject = Subject(planned.source, planned.plan, model, trained, method, options)
    video = _Video(subject, reader, stopwatch)
    return [
        _explanation(video, variant, reason, of_class, measure)
        for variant, reason, of_class in zip(variants, reasons, attributed, strict=True)
    ]


@dataclass(frozen=True, slots=True, eq=False)
class _Video:
    """What explanations of one video for several classes have in common."""

    subject: Subject
    reader: ClipReader
    stopwatch: Stopwatch


def _explanation(
    video: _Video,
    settings: Settings,
    reason: Reason,
    attributed: Attributed,
    measure: Measure | None,
) -> Explanation:
    """The explanation of one class, from its attributions."""
    subject, reader, stopwatch = video.subject, video.reader, video.stopwatch
    faithfulness = None
    if measure is not None and (depth := settings.output.depth) is not None:
        with stopwatch("faithfulness"):
            faithfulness = measure(
                reader,
                subject.model,
                attributed.predictions(subject.model, reason),
                [attributed.attributions],
                subject.options,
                depth,
            )
    read = Read(reader.report, reader.motion, reader.batch_size if reader.backed_off else None)
    return assemble(subject, settings, reason, attributed, read, stopwatch, faithfulness)


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
