"""Write a comparison: the panels as a video and as a still, and the numbers."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from staa_cli import __version__
from staa_cli.config.settings import Settings
from staa_cli.files import COMPARED, COMPARED_STILL, COMPARISON, atomic_path
from staa_cli.paths import path_fields
from staa_cli.results.files import json_text
from staa_cli.results.folder import OF_COMPARISON, ResultFolder, Source
from staa_cli.results.report import plain, score_key
from staa_cli.schema import SCHEMA_VERSION, OnProgress

if TYPE_CHECKING:
    from staa_cli.evaluation.comparison import Comparison, ComparisonRow


def document(comparison: Comparison) -> dict[str, Any]:
    """The content of compare.json as plain data."""
    first, names = comparison.explanations[0], comparison.names
    faithfulness = next(iter(comparison.faithfulness), None)
    warnings = dict.fromkeys(
        warning for explanation in comparison.explanations for warning in explanation.warnings
    )
    content = {
        "schema_version": SCHEMA_VERSION,
        "staa_version": __version__,
        "video": path_fields(first.video.address) | {"sha256": first.video.sha256},
        "run": path_fields(Path.cwd(), "folder"),
        "model": {
            "name": first.model.name,
            "weights_sha256": first.model.weights_sha256,
            "output": first.model.output,
        },
        "sampling": first.settings["sampling"],
        "options": {
            name: value for name, value in first.settings["method"].items() if name != "name"
        },
        "replacement": faithfulness.replacement if faithfulness else None,
        "clips": list(faithfulness.clips) if faithfulness else [],
        "steps": faithfulness.steps if faithfulness else None,
        "quick": faithfulness.quick if faithfulness else None,
        "passes": comparison.passes,
        "rows": [_row(row) for row in comparison.rows],
        "agreement": {
            one: {
                other: None if np.isnan(value) else value
                for other, value in zip(names, row, strict=True)
            }
            for one, row in zip(names, comparison.agreement, strict=True)
        },
        "warnings": [asdict(warning) for warning in warnings],
    }
    return {name: plain(value, name) for name, value in content.items()}


def _row(row: ComparisonRow) -> dict[str, Any]:
    fields: dict[str, Any] = {"name": row.name, "method": row.method}
    if row.explanation is not None:
        prediction, temporal = row.explanation.prediction, row.explanation.temporal
        fields |= {
            "label": prediction.label,
            score_key(prediction): prediction.score,
            "peak_s": temporal.peak_s,
            "flat": temporal.flat,
            "passes": row.passes,
            "seconds": row.seconds,
        }
    if row.faithfulness is not None:
        fields |= {
            "insertion": row.faithfulness.insertion_area,
            "deletion": row.faithfulness.deletion_area,
            "srg": row.faithfulness.srg,
            "srg_low": row.faithfulness.srg_low,
            "srg_high": row.faithfulness.srg_high,
        }
        if row.explanation is not None:
            fields["beaten_by"] = list(row.beaten_by)
    return fields


def check_writable(folder: Path, settings: Settings, source: Source) -> None:
    """Check that a comparison would not overwrite foreign files or another video's result.

    Raises:
        OutputError: it would.
    """
    ResultFolder(folder, COMPARISON).check(_wanted_files(settings), source)


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
    """Write the numbers and, if the settings request an annotated video, the panels.

    The panels are written as a video and as a still at the first one's highest peak; on one scale
    if `shared`, otherwise each on the scale of the settings.

    Raises:
        OutputError: a file cannot be written, a foreign file is in the way, or the folder holds the
            result of another video.
    """
    names, result = _wanted_files(settings), ResultFolder(folder, COMPARISON)
    before, content = result.document(), document(comparison)
    source = Source.of_video(comparison.explanations[0].video)
    # All files appear together, so that there is never a video without its numbers.
    with result.writing(names, source), ExitStack() as files:
        if COMPARED in names:
            _draw(
                comparison,
                files.enter_context(atomic_path(folder / COMPARED)),
                files.enter_context(atomic_path(folder / COMPARED_STILL)),
                settings,
                on_progress,
                shared,
            )
        numbers = files.enter_context(atomic_path(folder / COMPARISON))
        numbers.write_text(json_text(content) + "\n", encoding="utf-8")
    if before is not None and _content(before) != _content(content):
        result.drop(set(OF_COMPARISON) - set(names))
    return tuple(folder / name for name in names)


def _content(content: dict[str, Any]) -> list[Any]:
    """What a comparison is about, independent of drawing and faithfulness."""
    panels = [
        [row["name"], row["method"], row["label"]] for row in content["rows"] if "label" in row
    ]
    return [*(content[name] for name in ("video", "model", "sampling", "options")), panels]


def _draw(
    comparison: Comparison,
    path: Path,
    still: Path,
    settings: Settings,
    on_progress: OnProgress,
    shared: bool,
) -> None:
    """Draw the panels as a video, and as a still at the highest peak."""
    from PIL import Image

    from staa_cli.render.color import planes_to_rgb, rgb_to_planes
    from staa_cli.render.layer import Canvas
    from staa_cli.render.panels import Panels
    from staa_cli.render.stills import write_png
    from staa_cli.render.storyboard import highest, shown_size
    from staa_cli.video.annotate import annotate
    from staa_cli.video.encoder_choice import encoders_for
    from staa_cli.video.encoders import Quality
    from staa_cli.video.frame_source import source_of

    first = comparison.explanations[0]
    source, info = source_of(first), first.video
    panels = Panels(comparison.explanations, settings.render, shared)
    index = highest(first)
    ((_, frame),) = source.read([index])
    drawn = panels.paint(float(info.times_s[index]), Canvas(*rgb_to_planes(frame, False)), False)
    picture = Image.fromarray(planes_to_rgb(*drawn, hd=False))
    write_png(picture.resize(shown_size(first, np.asarray(picture))), still)
    steps, part = count(1), first.part
    annotate(
        source,
        path,
        panels.draw,
        size=panels.size,
        encoders=encoders_for(settings.render.encoder),
        quality=Quality(settings.render.preset, settings.render.crf, threads=settings.threads),
        frames=part,
        on_frame=lambda _: on_progress("drawing", next(steps), len(part)),
    )
