"""Several explanations of one video side by side: methods, or classes."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from staa_cli import __version__
from staa_cli.config.settings import Depth, Settings
from staa_cli.errors import UsageError
from staa_cli.evaluation.measure import measure_faithfulness
from staa_cli.explain.attribution import most_probable
from staa_cli.explain.pipeline import (
    explain_classes,
    explain_one,
    find_target,
    method_options,
    open_clips,
)
from staa_cli.explain.timing import Stopwatch
from staa_cli.files import COMPARED, COMPARED_STILL, COMPARISON, atomic_path
from staa_cli.methods import choose_method
from staa_cli.models.load import LoadedModel
from staa_cli.paths import path_fields
from staa_cli.results.document import plain, score_key
from staa_cli.results.files import json_text
from staa_cli.results.folder import OF_COMPARISON, ResultFolder, Source
from staa_cli.schema import SCHEMA_VERSION, Explanation, Faithfulness, Float64, OnProgress
from staa_cli.statistics import rank_correlation


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
    seconds: tuple[float, ...]
    """In the model's passes, of each explanation; those that several classes share are in each."""
    passes: float
    """What all maps took together, in forward passes of one clip; a backward pass counts as two."""


def compare_video(
    path: str | Path,
    model: LoadedModel,
    *,
    methods: Sequence[str] = (),
    classes: Sequence[str] = (),
    settings: Settings | None = None,
    depth: Depth | None = "quick",
    on_progress: OnProgress = lambda stage, done, total: None,
) -> Comparison:
    """A video in, its explanations by several methods, or for several classes, out.

    Args:
        path: of the video.
        model: from `load_model`.
        methods: names of at least one method; they explain the same class.
        classes: names or indices of at least two classes, in place of methods. Where one pass
            serves every class, they cost what one costs.
        settings: everything else; the method is that of `classes`.
        depth: how faithfulness is measured, None for not at all: for each method, baseline, and
            one of at most four clips, a full check asks about 102 perturbed copies, a quick one 22.
        on_progress: called with (stage, done, total).

    Raises:
        UsageError: nothing to compare, an unknown name, or a method that speaks of no class.
        VideoError: the file does not open or decode.
    """
    settings = settings or Settings()
    unchecked = replace(
        settings.output, faithfulness=False, quick_faithfulness=False
    )  # all are, together
    settings = replace(settings, output=unchecked)
    options = method_options(settings.method)
    chosen = [choose_method(name, model.module, model.layout, options).name for name in methods]
    names = tuple(dict.fromkeys(classes or chosen))
    wanted = _variants(names, bool(classes), model, settings)
    fitted = model.fitted(settings.sampling.frames, settings.sampling.size)
    _, _, reader = open_clips(path, fitted, settings, on_progress, Stopwatch())
    serves_all = {
        name: choose_method(each.method.name, model.module, model.layout, options).serves_all
        for name, each in zip(names, wanted, strict=True)
    }
    if classes and all(serves_all.values()):
        found = explain_classes(path, model, wanted, _named(" and ".join(names), on_progress))
        passes = _passes(found[0])
    else:
        # Methods speak of one class: that which the first finds that need not know it beforehand.
        # None is charged for finding it, should that take passes of its own.
        ask = not (classes or settings.target or any(serves_all.values()))
        probable = most_probable(reader, fitted) if ask else None
        told = {}
        for name in sorted(names, key=lambda name: not serves_all[name]):
            each = wanted[names.index(name)]
            told[name] = explain_one(path, model, each, _named(name, on_progress), probable)
            probable = told[name].prediction.target
        found = [told[name] for name in names]
        passes = sum(map(_passes, found)) + ask * len(reader)
    faithfulness = [
        measure_faithfulness(
            reader,
            fitted,
            group[0].clip_predictions,
            [each.attributions for each in group],
            options,
            depth,
        )
        for group in ([[each] for each in found] if classes else [found])
        if depth is not None
    ]
    seconds = tuple(each.run["seconds"].get("forward", 0.0) for each in found)
    return Comparison(names, tuple(found), tuple(faithfulness), agreement(found), seconds, passes)


def _passes(explanation: Explanation) -> float:
    return sum(each.passes for each in explanation.attributions)


def _variants(
    names: tuple[str, ...], classes: bool, model: LoadedModel, settings: Settings
) -> list[Settings]:
    """The settings of each explanation."""
    if not names or (classes and len(names) < 2):
        raise UsageError("there is nothing to compare", "--methods A,B or --class A --class B")
    if not classes:
        return [replace(settings, method=replace(settings.method, name=name)) for name in names]
    for name in names:
        find_target(name, model.labels)
    options = method_options(settings.method)
    method = choose_method(settings.method.name, model.module, model.layout, options)
    if not method.is_class_specific(model.layout, options):
        raise UsageError(
            f"{method.name} is class-blind: its maps are the same for every class",
            "add --method staa-class",
        )
    return [replace(settings, target=name) for name in names]


def _named(name: str, on_progress: OnProgress) -> OnProgress:
    return lambda stage, done, total: on_progress(f"{name}: {stage}", done, total)


def agreement(explanations: Sequence[Explanation]) -> Float64:
    """Rank correlation of every pair's raw attributions, mean over clips: [n, n].

    Of clips in which both have an order; NaN where there are none.
    """
    size = len(explanations)
    found = np.ones((size, size))
    for i in range(size):
        for j in range(i):
            pairs = zip(explanations[i].attributions, explanations[j].attributions, strict=True)
            each = np.array([rank_correlation(a.values, b.values) for a, b in pairs])
            told = each[~np.isnan(each)]
            found[i, j] = found[j, i] = told.mean() if told.size else np.nan
    return found


def rows(comparison: Comparison) -> list[dict[str, Any]]:
    """A row a panel, then one a baseline, as plain data."""
    found: list[dict[str, Any]] = []
    for name, each, seconds in zip(
        comparison.names, comparison.explanations, comparison.seconds, strict=True
    ):
        found.append(
            {
                "name": name,
                "method": each.attributions[0].method,
                "label": each.prediction.label,
                score_key(each.prediction): each.prediction.score,
                "peak_s": each.temporal.peak_s,
                "flat": each.temporal.flat,
                "passes": _passes(each),
                "seconds": seconds,
            }
        )
    panels, of_classes = iter(tuple(found)), len(comparison.faithfulness) > 1
    for group, checked in enumerate(comparison.faithfulness):
        own = 1 if of_classes else len(comparison.names)
        for index, row in enumerate(checked.rows):
            areas = {
                "insertion": row.insertion_area,
                "deletion": row.deletion_area,
                "faithfulness": row.faithfulness,
            }
            if index < own:
                next(panels).update(areas)
            else:
                name = f"{row.method}, {comparison.names[group]}" if of_classes else row.method
                found.append({"name": name, "method": row.method, **areas})
    return found


def document(comparison: Comparison) -> dict[str, Any]:
    """A comparison as the plain data of compare.json."""
    first, checked = comparison.explanations[0], next(iter(comparison.faithfulness), None)
    names = comparison.names
    warnings = dict.fromkeys(w for each in comparison.explanations for w in each.warnings)
    asked = first.settings
    facts = {
        "schema_version": SCHEMA_VERSION,
        "staa_version": __version__,
        "video": path_fields(first.video.path) | {"sha256": first.video.sha256},
        "run": path_fields(Path.cwd(), "folder"),
        "model": {
            "name": first.model.name,
            "weights_sha256": first.model.weights_sha256,
            "output": first.model.output,
        },
        "sampling": asked["sampling"],
        "options": {name: value for name, value in asked["method"].items() if name != "name"},
        "replacement": checked.replacement if checked else None,
        "clips": list(checked.clips) if checked else [],
        "steps": checked.steps if checked else None,
        "quick": checked.quick if checked else None,
        "passes": comparison.passes,
        "rows": rows(comparison),
        "agreement": {
            one: {
                other: None if np.isnan(value) else value
                for other, value in zip(names, line, strict=True)
            }
            for one, line in zip(names, comparison.agreement, strict=True)
        },
        "warnings": [asdict(warning) for warning in warnings],
    }
    return {name: plain(fact, name) for name, fact in facts.items()}


def check_writable(folder: Path, settings: Settings, video: Path) -> None:
    """See that nothing of somebody else's stands where a comparison of a video would be written.

    Raises:
        OutputError: a file of such a name is there that staa did not write, or the folder holds the
            result of another video.
    """
    result = ResultFolder(folder, COMPARISON)
    result.check(_wanted_files(settings), Source.of_file(video))


def _wanted_files(settings: Settings) -> list[str]:
    return list(OF_COMPARISON) if settings.output.annotated else [COMPARISON]


def save(
    comparison: Comparison,
    folder: Path,
    settings: Settings,
    on_progress: OnProgress = lambda stage, done, total: None,
    *,
    shared: bool = True,
) -> tuple[Path, ...]:
    """Write the panels, where the settings want an annotated video, and the numbers.

    Panels come as a video and as a still of the first one's highest peak; on one scale where it is
    `shared`, else each on that of the settings.

    Raises:
        OutputError: a file cannot be written, one that is not staa's is in the way, or the folder
            holds the result of another video.
    """
    names, result = _wanted_files(settings), ResultFolder(folder, COMPARISON)
    before, facts = result.document(), document(comparison)
    source = Source.of_video(comparison.explanations[0].video)
    # So that the video never stands without the numbers.
    with result.writing(names, source), ExitStack() as both:
        if COMPARED in names:
            _draw(
                comparison,
                both.enter_context(atomic_path(folder / COMPARED)),
                both.enter_context(atomic_path(folder / COMPARED_STILL)),
                settings,
                on_progress,
                shared,
            )
        numbers = both.enter_context(atomic_path(folder / COMPARISON))
        numbers.write_text(json_text(facts) + "\n", encoding="utf-8")
    if before is not None and _content(before) != _content(facts):
        result.drop(set(OF_COMPARISON) - set(names))
    return tuple(folder / name for name in names)


def _content(facts: dict[str, Any]) -> list[Any]:
    """What a comparison is of, whether it was drawn and checked or not."""
    panels = [[row["name"], row["method"], row["label"]] for row in facts["rows"] if "label" in row]
    return [*(facts[name] for name in ("video", "model", "sampling", "options")), panels]


def _draw(
    comparison: Comparison,
    path: Path,
    still: Path,
    settings: Settings,
    on_progress: OnProgress,
    shared: bool,
) -> None:
    """The panels as a video, and as a picture of the most telling moment."""
    from PIL import Image

    from staa_cli.render.color import planes_to_rgb, rgb_to_planes
    from staa_cli.render.layer import Canvas
    from staa_cli.render.panels import Panels
    from staa_cli.render.stills import write_png
    from staa_cli.render.storyboard import highest, shown_size
    from staa_cli.video.annotate import annotate
    from staa_cli.video.decode import iter_frames

    first = comparison.explanations[0]
    info = first.video
    panels = Panels(comparison.explanations, settings.render, shared)
    index = highest(first)
    ((_, frame),) = iter_frames(info, [index])
    drawn = panels.paint(float(info.times_s[index]), Canvas(*rgb_to_planes(frame, False)), False)
    picture = Image.fromarray(planes_to_rgb(*drawn, hd=False))
    write_png(picture.resize(shown_size(first, np.asarray(picture))), still)
    steps, part = count(1), first.part
    annotate(
        info,
        path,
        panels.draw,
        size=panels.size,
        preset=settings.render.preset,
        crf=settings.render.crf,
        frames=part,
        on_frame=lambda _: on_progress("drawing", next(steps), len(part)),
    )
