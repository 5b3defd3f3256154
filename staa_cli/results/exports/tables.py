"""The tables of the exports: their columns, and the rows of a result.

Tidy: one observation a row, one kind of observation a table. The column `result` names the result
in all tables, so that they can be joined.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from staa_cli.paths import as_text
from staa_cli.results.exports.base import Result, Rows

Kind = Literal["text", "number", "count", "truth", "texts"]
Columns = dict[str, Kind]
Value = str | float | int | bool | list[str] | None
Row = dict[str, Value]

_KEYS: Columns = {"result": "text", "video": "text"}
COLUMNS: dict[Rows, Columns] = {
    "frames": _KEYS
    | {
        "frame": "count",
        "time_s": "number",
        "score": "number",
        "weighted_score": "number",
        "seen": "truth",
    },
    "moments": _KEYS
    | {
        "rank": "count",
        "start_s": "number",
        "peak_s": "number",
        "end_s": "number",
        "peak_score": "number",
        "share": "number",
        "center_x": "number",
        "center_y": "number",
        "left": "number",
        "top": "number",
        "right": "number",
        "bottom": "number",
    },
    "videos": _KEYS
    | {
        "video_sha256": "text",
        "duration_s": "number",
        "frames": "count",
        "rate": "number",
        "width": "count",
        "height": "count",
        "model": "text",
        "weights_sha256": "text",
        "output": "text",
        "method": "text",
        "label": "text",
        "confidence": "number",
        "target": "text",
        "target_confidence": "number",
        "peak_s": "number",
        "moments": "count",
        "temporal_flat": "truth",
        "temporal_minimum": "number",
        "temporal_maximum": "number",
        "temporal_mean": "number",
        "temporal_variation": "number",
        "temporal_entropy": "number",
        "spatial_flat": "truth",
        "spatial_variation": "number",
        "spatial_entropy": "number",
        "attention_variation": "number",
        "center_x": "number",
        "center_y": "number",
        "covered_share": "number",
        "seen_share": "number",
        "srg": "number",
        "srg_low": "number",
        "srg_high": "number",
        "deletion": "number",
        "insertion": "number",
        "beaten_by": "texts",
        "warnings": "texts",
    },
}
"""Columns of every table in their order, with the kind of their values; all but `result` and
`video` may be null where the report has no value."""


def rows_of(result: Result, rows: Rows) -> Iterator[Row]:
    """The rows of a result in a table, with a value for every column."""
    keys: Row = {"result": as_text(result.name), "video": as_text(result.report.video.path)}
    found = {"frames": _frames, "moments": _moments, "videos": _videos}[rows](result)
    yield from (keys | row for row in found)


def _frames(result: Result) -> Iterator[Row]:
    frames = result.report.frames
    columns = (frames.index, frames.time_s, frames.score, frames.weighted_score, frames.seen)
    names = ("frame", "time_s", "score", "weighted_score", "seen")
    for values in zip(*columns, strict=True):
        yield dict(zip(names, values, strict=True))


def _moments(result: Result) -> Iterator[Row]:
    for rank, moment in enumerate(result.report.moments, 1):
        (center_x, center_y), (left, top, right, bottom) = moment.center, moment.box
        yield {
            "rank": rank,
            "start_s": moment.start_s,
            "peak_s": moment.peak_s,
            "end_s": moment.end_s,
            "peak_score": moment.peak_score,
            "share": moment.share,
            "center_x": center_x,
            "center_y": center_y,
            "left": left,
            "top": top,
            "right": right,
            "bottom": bottom,
        }


def _videos(result: Result) -> Iterator[Row]:
    report = result.report
    video, temporal, spatial = report.video, report.temporal, report.spatial
    first, target = report.prediction.top_k[0], report.prediction.target
    row: Row = {
        "video_sha256": video.sha256,
        "duration_s": video.duration_s,
        "frames": video.frames,
        "rate": video.rate,
        "width": video.width,
        "height": video.height,
        "model": report.model.name,
        "weights_sha256": report.model.weights_sha256,
        "output": report.model.output,
        "method": report.method.name,
        "label": first.label,
        "confidence": first.score,
        "target": target.label,
        "target_confidence": target.score,
        "peak_s": temporal.peak_s,
        "moments": len(report.moments),
        "temporal_flat": temporal.flat,
        "temporal_minimum": temporal.minimum,
        "temporal_maximum": temporal.maximum,
        "temporal_mean": temporal.mean,
        "temporal_variation": temporal.coefficient_of_variation,
        "temporal_entropy": temporal.entropy,
        "spatial_flat": spatial.flat,
        "spatial_variation": spatial.coefficient_of_variation,
        "spatial_entropy": spatial.entropy,
        "attention_variation": spatial.attention_variation,
        "center_x": spatial.center[0],
        "center_y": spatial.center[1],
        "covered_share": report.coverage.covered_share,
        "seen_share": report.coverage.seen_share,
    }
    yield row | _faithfulness(result) | {"warnings": [row.code for row in report.warnings]}


def _faithfulness(result: Result) -> dict[str, Any]:
    names = ("srg", "srg_low", "srg_high", "deletion", "insertion")
    faithfulness = result.report.faithfulness
    if faithfulness is None or not faithfulness.rows:
        return dict.fromkeys((*names, "beaten_by"))
    measured = faithfulness.rows[0]  # the explanation's method
    return {name: getattr(measured, name) for name in names} | {"beaten_by": faithfulness.beaten_by}
