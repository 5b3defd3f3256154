"""What is told about a stream as plain data: its windows, and its summary."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

import msgspec

from staa_cli.explain.stitch import center_of_mass
from staa_cli.live.overlay import LatestMaps
from staa_cli.results.conversion import convert
from staa_cli.results.document import Moment, Temporal
from staa_cli.results.report import from_part, score_key, top_classes
from staa_cli.results.stream_rows import (
    JudgedWindow,
    Row,
    SummaryRow,
    TokenScores,
    WindowDelay,
    WindowPlace,
    WindowRow,
)
from staa_cli.schema import SCHEMA_VERSION

if TYPE_CHECKING:
    from staa_cli.live.run import Live

_DIGITS = 6


def window_row(latest: LatestMaps, windows_dropped: int) -> WindowRow:
    """A window that was explained: when, what the model answered, and where it looked."""
    explained, recent = latest.explained, latest.recent
    window, prediction = explained.window, explained.prediction
    center = center_of_mass(explained.piece.maps.mean(axis=0), recent.maps.box)
    score: dict[str, Any] = {score_key(prediction): prediction.score}
    return WindowRow(
        schema_version=SCHEMA_VERSION,
        number=window.number,
        start_s=window.clip.start_s,
        end_s=window.clip.end_s,
        frame_indices=list(window.clip.frame_indices),
        times_s=list(window.clip.times_s),
        label=prediction.label,
        class_index=prediction.target,
        top_k=top_classes(prediction),
        scores=TokenScores(explained.piece.times_s.tolist(), explained.piece.scores.tolist()),
        moments=[from_part(Moment, moment) for moment in recent.moments],
        temporal=from_part(Temporal, recent.temporal),
        spatial=WindowPlace(center, recent.spatial.flat),
        warnings=sorted({warning.code for warning in recent.warnings}),
        delay=WindowDelay(
            explained.prepare_s,
            explained.model_s,
            time.monotonic() - window.completed.arrived_s,
        ),
        windows_dropped=windows_dropped,
        **score,
    )


def judged(row: WindowRow) -> JudgedWindow:
    """A window for conditions."""
    fields = {name: getattr(row, name) for name in row.__struct_fields__}
    return JudgedWindow(**fields, p=row.probability)


def summary_row(live: Live) -> SummaryRow:
    """What happened in a stream, at its end."""
    said = {"kind": "summary", "schema_version": SCHEMA_VERSION, **rounded(live.summary())}
    return convert(said, SummaryRow)


def plain(row: Row) -> dict[str, Any]:
    """A row as JSON values, with numbers of six significant digits; NaN becomes null."""
    built: dict[str, Any] = rounded(msgspec.to_builtins(row))
    return {"schema_version": built.pop("schema_version"), **built}


def rounded(value: Any) -> Any:
    """Plain data with numbers of six significant digits; NaN becomes null."""
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    return value
