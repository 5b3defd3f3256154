"""Several explanations of one video side by side: methods, or classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from staa_cli.config.settings import Depth, Settings
from staa_cli.errors import UsageError
from staa_cli.evaluation.measure import measure_faithfulness
from staa_cli.explain.attribution import most_probable
from staa_cli.explain.clips import FrameCache
from staa_cli.explain.pipeline import (
    check_settings,
    explain_classes,
    method_options,
    plan_video,
)
from staa_cli.explain.timing import Stopwatch
from staa_cli.methods import choose_method
from staa_cli.models.load import LoadedModel
from staa_cli.schema import (
    Explanation,
    Faithfulness,
    FaithfulnessRow,
    Float64,
    OnProgress,
)
from staa_cli.statistics import rank_correlation
from staa_cli.video.frame_source import SeekableSource


@dataclass(frozen=True, slots=True, eq=False)
class ComparisonRow:
    """What an explanation, or a baseline beside them, is worth, and what it took."""

    name: str
    """Of the panel; of a baseline the method's, with the class where each class has its own."""
    method: str
    faithfulness: FaithfulnessRow | None
    """None where it was not measured."""
    explanation: Explanation | None = None
    """None for a baseline."""
    passes: float = 0.0
    """Of its map, in forward passes of one clip."""
    seconds: float = 0.0
    """In the model's passes; those that several classes share count for each."""


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Explanations of one video, and how they stand to each other."""

    names: tuple[str, ...]
    """What each panel is of: a method's or a class's name."""
    explanations: tuple[Explanation, ...]
    faithfulness: tuple[Faithfulness, ...]
    """One for all methods, or one for each class; none where it was not measured."""
    agreement: Float64
    """[n, n] rank correlation of raw attributions, mean over clips; NaN where one has no order."""
    passes: float
    """What all maps took together, in forward passes of one clip; a backward pass counts as two."""

    @property
    def rows(self) -> tuple[ComparisonRow, ...]:
        """A row a panel, then one a baseline."""
        of_classes = len(self.faithfulness) > 1
        measured: list[FaithfulnessRow | None] = []
        baselines: list[ComparisonRow] = []
        for panel, faithfulness in zip(self.names, self.faithfulness, strict=False):
            explained = 1 if of_classes else len(self.names)
            measured += faithfulness.rows[:explained]
            for row in faithfulness.rows[explained:]:
                name = f"{row.method}, {panel}" if of_classes else row.method
                baselines.append(ComparisonRow(name, row.method, row))
        panels = [
            ComparisonRow(
                name,
                explanation.attributions[0].method,
                areas,
                explanation,
                _passes(explanation),
                explanation.run.seconds.get("forward", 0.0) if explanation.run else 0.0,
            )
            for name, explanation, areas in zip(
                self.names,
                self.explanations,
                measured or [None] * len(self.names),
                strict=True,
            )
        ]
        return (*panels, *baselines)


def compare_video(
    video: str | Path | SeekableSource,
    model: LoadedModel,
    *,
    methods: Sequence[str] = (),
    classes: Sequence[str] = (),
    settings: Settings | None = None,
    depth: Depth | None = "quick",
    on_progress: OnProgress = lambda stage, done, total: None,
) -> Comparison:
    """Explain one video by several methods, or for several classes.

    The video is probed and planned once, and, unless its clips take much memory, decoded once.

    Args:
        video: path of a file, or a source that is open.
        model: from `load_model`.
        methods: names of at least one method; they explain the same class.
        classes: names or indices of at least two classes, in place of methods. Where one pass
            serves every class, they cost what one costs.
        settings: everything else; the method is that of `classes`.
        depth: how faithfulness is measured, None for not at all: for each method, baseline, and
            one of at most four clips, a full check asks about 98 perturbed copies, a quick one 18.
        on_progress: called with (stage, done, total).

    Raises:
        UsageError: nothing to compare, an unknown name, or a method that speaks of no class.
        VideoError: the file does not open or decode.
    """
    settings = settings or Settings()
    output = replace(settings.output, faithfulness=False, quick_faithfulness=False)
    settings = replace(settings, output=output)  # all are measured together, not each by itself
    options = method_options(settings.method)
    fitted = model.fitted(settings.sampling.frames, settings.sampling.size)
    variants = _variants(methods, classes, model, settings)
    names = tuple(variants)
    serves_all = {
        name: choose_method(variant.method.name, model.module, model.layout, options).serves_all
        for name, variant in variants.items()
    }
    planned = plan_video(video, model, settings, on_progress, Stopwatch(), FrameCache())
    reader = planned.reader(fitted, settings, on_progress, Stopwatch())

    if classes and all(serves_all.values()):
        progress = _named(" and ".join(names), on_progress)
        explanations = explain_classes(planned, model, [*variants.values()], progress)
        passes = _passes(explanations[0])
    else:
        # Methods speak of one class: that which the first finds that need not know it beforehand.
        # None is charged for finding it, should that take passes of its own.
        asks = not (classes or settings.target or any(serves_all.values()))
        probable = most_probable(reader, fitted) if asks else None
        by_name: dict[str, Explanation] = {}
        for name in sorted(names, key=lambda name: not serves_all[name]):
            progress = _named(name, on_progress)
            (by_name[name],) = explain_classes(
                planned, model, [variants[name]], progress, probable=probable
            )
            probable = by_name[name].prediction.target
        explanations = [by_name[name] for name in names]
        passes = sum(map(_passes, explanations)) + asks * len(reader)

    faithfulness = [
        measure_faithfulness(
            reader,
            fitted,
            group[0].clip_predictions,
            [explanation.attributions for explanation in group],
            options,
            depth,
        )
        for group in ([[one] for one in explanations] if classes else [explanations])
        if depth is not None
    ]
    return Comparison(
        names, tuple(explanations), tuple(faithfulness), agreement(explanations), passes
    )


def agreement(explanations: Sequence[Explanation]) -> Float64:
    """Rank correlation of every pair's raw attributions, mean over clips: [n, n].

    Of clips in which both have an order; NaN where there are none.
    """
    size = len(explanations)
    means = np.ones((size, size))
    for i in range(size):
        for j in range(i):
            pairs = zip(explanations[i].attributions, explanations[j].attributions, strict=True)
            by_clip = np.array([rank_correlation(a.values, b.values) for a, b in pairs])
            ordered = by_clip[~np.isnan(by_clip)]
            means[i, j] = means[j, i] = ordered.mean() if ordered.size else np.nan
    return means


def _variants(
    methods: Sequence[str], classes: Sequence[str], model: LoadedModel, settings: Settings
) -> dict[str, Settings]:
    """The settings of each explanation by its name, all of which the model can be asked."""
    options = method_options(settings.method)
    if classes:
        variants = {name: replace(settings, target=name) for name in classes}
    else:
        chosen = [choose_method(name, model.module, model.layout, options) for name in methods]
        variants = {
            method.name: replace(settings, method=replace(settings.method, name=method.name))
            for method in chosen
        }
    if len(variants) < (2 if classes else 1):
        raise UsageError("there is nothing to compare", "--methods A,B or --class A --class B")
    for variant in variants.values():
        check_settings(model, variant)
    if classes:
        method = choose_method(settings.method.name, model.module, model.layout, options)
        if not method.is_class_specific(model.layout, options):
            raise UsageError(
                f"{method.name} is class-blind: its maps are the same for every class",
                "add --method staa-class",
            )
    return variants


def _passes(explanation: Explanation) -> float:
    return sum(attribution.passes for attribution in explanation.attributions)


def _named(name: str, on_progress: OnProgress) -> OnProgress:
    return lambda stage, done, total: on_progress(f"{name}: {stage}", done, total)
