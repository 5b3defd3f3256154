"""Comparison of explanations of one video: by several methods, or for several classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from staa_cli.config.settings import Depth, Settings
from staa_cli.errors import UsageError
from staa_cli.evaluation.base import BASELINES
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
    """Faithfulness and cost of an explanation or a baseline."""

    name: str
    """Of the panel; for a baseline, of the method, with the class if each class has its own."""
    method: str
    faithfulness: FaithfulnessRow | None
    """None if not measured."""
    explanation: Explanation | None = None
    """None for a baseline."""
    passes: float = 0.0
    """Of its map, in forward passes of one clip."""
    seconds: float = 0.0
    """Time of the model's passes; passes shared by several classes count for each."""
    beaten_by: tuple[str, ...] = ()
    """Baselines that are at least as faithful; none for a baseline itself, or if not measured."""


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Explanations of one video, with their faithfulness and agreement."""

    names: tuple[str, ...]
    """Of the panels: names of methods or of classes."""
    explanations: tuple[Explanation, ...]
    faithfulness: tuple[Faithfulness, ...]
    """One for all methods, or one for each class; none if not measured."""
    agreement: Float64
    """[n, n] rank correlation of raw attributions, mean over clips; NaN if one is constant."""
    passes: float
    """Cost of all maps together, in forward passes of one clip; a backward pass counts as two."""

    @property
    def rows(self) -> tuple[ComparisonRow, ...]:
        """One row per panel, then one per baseline."""
        of_classes = len(self.faithfulness) > 1
        measured: list[FaithfulnessRow | None] = []
        beaten_by: list[tuple[str, ...]] = []
        baselines: list[ComparisonRow] = []
        for panel, faithfulness in zip(self.names, self.faithfulness, strict=False):
            explained = 1 if of_classes else len(self.names)
            measured += faithfulness.rows[:explained]
            beaten_by += [
                _beaten_by(row, faithfulness.rows) for row in faithfulness.rows[:explained]
            ]
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
                beaten,
            )
            for name, explanation, areas, beaten in zip(
                self.names,
                self.explanations,
                measured or [None] * len(self.names),
                beaten_by or [()] * len(self.names),
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
        video: path of a file, or an open source.
        model: from `load_model`.
        methods: names of at least one method; they explain the same class.
        classes: names or indices of at least two classes, instead of methods. If one pass serves
            every class, they cost as much as one.
        settings: everything else; its method is used for `classes`.
        depth: of the faithfulness check, None for no check: for each method or baseline and each
            of at most four clips, a full check passes 98 perturbed copies, a quick one 18.
        on_progress: called with (stage, done, total).

    Raises:
        UsageError: nothing to compare, an unknown name, or a class-blind method.
        VideoError: the file does not open or decode.
    """
    settings = settings or Settings()
    # All are measured together, but their warnings must know that they are.
    output = replace(
        settings.output, faithfulness=depth == "full", quick_faithfulness=depth == "quick"
    )
    settings = replace(settings, output=output)
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
        # All methods explain one class, predicted by a method that does not need it in advance.
        # If that takes extra passes, they are not part of any method's cost.
        predicts = not (classes or settings.target or any(serves_all.values()))
        probable = most_probable(reader, fitted) if predicts else None
        by_name: dict[str, Explanation] = {}
        for name in sorted(names, key=lambda name: not serves_all[name]):
            progress = _named(name, on_progress)
            (by_name[name],) = explain_classes(
                planned, model, [variants[name]], progress, probable=probable
            )
            probable = by_name[name].prediction.target
        explanations = [by_name[name] for name in names]
        passes = sum(map(_passes, explanations)) + predicts * len(reader)

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

    Over clips in which neither is constant; NaN if there are none.
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


def _beaten_by(row: FaithfulnessRow, rows: Sequence[FaithfulnessRow]) -> tuple[str, ...]:
    """The baselines of the rows, also those with a panel, that are at least as faithful as one."""
    if row.method in BASELINES:
        return ()
    return tuple(r.method for r in rows if r.method in BASELINES and not row.gains_over(r.srg))


def _variants(
    methods: Sequence[str], classes: Sequence[str], model: LoadedModel, settings: Settings
) -> dict[str, Settings]:
    """The settings of each explanation by name, checked to fit the model."""
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
