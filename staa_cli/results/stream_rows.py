"""The lines of JSON that `staa stream` writes: windows, alerts, and a summary."""

from __future__ import annotations

from typing import Any, Literal

from staa_cli.results.document import Moment, Part, Point, Scored, Temporal


class Row(Part, frozen=True, tag_field="kind"):
    """A line about a stream."""

    schema_version: Literal[1]
    """Version of this schema."""


class TokenScores(Part, frozen=True):
    """Raw temporal scores of a window."""

    times_s: list[float]
    """Times of the steps of the token grid in seconds."""
    score: list[float]
    """Score of each step."""


class WindowPlace(Part, frozen=True):
    """Where the model looked in a window."""

    center: Point
    """Center of mass of its mean map: x and y as shares of the picture."""
    flat: bool
    """Whether the maps of the last seconds are indistinguishable from uniform ones."""


class WindowDelay(Part, frozen=True):
    """How late a window was explained, in seconds."""

    prepare_s: float
    """Resizing its new frames."""
    model_s: float
    """The passes of the model."""
    capture_to_maps_s: float
    """From the arrival of its last frame to the maps."""


class WindowRow(Row, frozen=True, tag="window"):
    """A window of a stream that was explained."""

    number: int
    """From 0 on; numbers of dropped windows are missing."""
    start_s: float
    """Time of its first frame, in seconds of the stream."""
    end_s: float
    """Time of its last frame."""
    frame_indices: list[int]
    """Numbers of its frames in the stream."""
    times_s: list[float]
    """Times of its frames."""
    label: str
    """Name of the explained class."""
    class_index: int
    """Index of that class."""
    top_k: list[Scored]
    """The classes with the highest scores, highest first."""
    scores: TokenScores
    moments: list[Moment]
    """Moments of the last seconds."""
    temporal: Temporal
    """How informative the scores of the last seconds are."""
    spatial: WindowPlace
    warnings: list[str]
    """Codes of warnings."""
    delay: WindowDelay
    windows_dropped: int
    """Windows of the stream that were dropped so far."""
    probability: float | None = None
    """Probability of the explained class."""
    value: float | None = None
    """Raw value of the explained class; replaces the probability where there is none."""


class JudgedWindow(WindowRow, frozen=True, tag="window"):
    """A window as conditions of alerts see it."""

    p: float | None = None
    """The probability, in short."""


class AlertRow(Row, frozen=True, tag="alert"):
    """A condition that was met."""

    alert: str
    """The condition as given."""
    since_s: float
    """Since when it holds, in seconds of the stream."""
    time_s: float
    """End of the window that met it."""
    window: int
    """Number of that window."""
    label: str
    """Name of the explained class."""
    probability: float | None = None
    """Probability of that class."""
    value: float | None = None
    """Raw value of that class; replaces the probability where there is none."""


class KeptRow(Row, frozen=True, tag="kept"):
    """What became of an alert."""

    alert: str
    """The condition as given."""
    window: int
    """Number of the window that met it."""
    result: str | None = None
    """Folder of the result; absent if it could not be kept."""
    error: str | None = None
    """What failed: keeping it, or the command."""
    exit_code: int | None = None
    """Of the command; absent if there was none, or if it was ended."""


class StageDelay(Part, frozen=True):
    """Durations of a stage, in seconds."""

    count: int
    """How many."""
    p50: float
    """Median, within 1.2 %, as the other quantiles."""
    p95: float
    """95 % are not above."""
    p99: float
    """99 % are not above."""
    max: float
    """The longest."""


class SummaryRow(Row, frozen=True, tag="summary"):
    """What happened in a stream: its last line."""

    seconds: float
    """Since it was started."""
    frames: int
    """Frames that arrived."""
    frames_shown: int
    """Frames that were drawn."""
    frames_dropped: int
    """Frames that were not drawn, as newer ones had come."""
    windows: int
    """Windows that were explained."""
    windows_dropped: int
    """Windows that were due by --hop, and replaced by newer ones."""
    windows_per_second: float
    """Windows that were explained each second."""
    connections: int
    """How often the source was connected."""
    packets_bad: int
    """Packets that did not decode."""
    times_repaired: int
    """Frames with timestamps that could not be used."""
    delay: dict[str, StageDelay]
    """By stage."""
    sinks: list[dict[str, Any]]
    """What each output says about itself."""


StreamRow = WindowRow | AlertRow | KeptRow | SummaryRow
"""Any line of a stream."""
