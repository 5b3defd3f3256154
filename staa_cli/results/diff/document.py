"""The output of `staa diff --json` as types; `generate_schema` describes them.

`Measures` are what limits are set on, `Scope` is what an expression of `--fail-if` sees.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from staa_cli.results.document import (
    Amount,
    Count,
    Document,
    Failure,
    Part,
    Place,
    Report,
    Share,
    Target,
    WarningRow,
)

Correlation = Annotated[float, Meta(ge=-1, le=1)]
Status = Literal["passed", "failed", "unevaluated"]


class TemporalShift(Part, frozen=True):
    """How far the temporal score has moved; frames that no clip covers count as without score."""

    shift_s: Amount
    """Wasserstein distance of the two curves in seconds, each normalized to a distribution over
    time: the mean time by which importance has moved. Negative scores count as 0; a curve that is
    nowhere positive counts as uniform."""
    shift_share: Amount
    """shift_s as a share of the explained time."""
    rank_correlation: Correlation | None
    """Spearman's rank correlation of the scores of the frames that both runs cover; null where a
    curve is flat, as its ranks are noise, and where these frames are fewer than half of those that
    one of the runs covers."""


class SpatialShift(Part, frozen=True):
    """How far the maps have moved; negative values count as 0, a map without mass as uniform."""

    energy_moved: Share
    """Share of the mean map's energy that is elsewhere in the picture: half of the summed absolute
    difference of the two maps, each normalized to a sum of 1."""
    center_shift: Share
    """Distance of the mean maps' centers of mass as a share of the picture's diagonal."""
    energy_moved_by_time: Share | None
    """energy_moved of the maps at equal times, averaged with the energy of the maps as weights. It
    also sees what moves in the picture in another order. Null without maps.npz on both sides, and
    where the maps have less than half of their time in common."""


class Measures(Part, frozen=True):
    """How much one explanation of a video differs from another one."""

    temporal: TemporalShift
    spatial: SpatialShift
    label_changed: bool
    """Whether the class with the highest probability or value has another name."""
    confidence_change: float | None
    """Probability or value of the explained class, new minus old; null where one is a probability
    and the other a value."""
    warnings_added: list[str]
    """Codes of warnings that only the new report has."""
    warnings_removed: list[str]
    """Codes of warnings that only the old report has."""


class Scope(Measures, frozen=True, kw_only=True):
    """The fields of a pair that expressions can use."""

    old: Report
    """The old report."""
    new: Report
    """The new report."""
    noise: list[Measures]
    """The measures of every noise run against the old report."""


class Side(Place, frozen=True, kw_only=True):
    """One of the two reports of a video; path is that of report.json."""

    model: str
    """Name of the model."""
    weights_sha256: str
    """Hexadecimal hash of the weights."""
    method: str
    """Name of the attribution method."""
    label: str
    """Class with the highest probability or value."""
    target: Target
    """Class that is explained, as in the report."""
    peak_s: Amount | None
    """Time of the highest weighted score in seconds; null where there is none."""


class Pair(Measures, frozen=True, kw_only=True):
    """A video that has a report on both sides."""

    video: Place
    """Path of the video in the new report."""
    sha256: str
    """Hexadecimal hash of the video, by which reports are paired."""
    old: Side
    """The old report."""
    new: Side
    """The new report."""
    noise: list[Measures]
    """The measures of every noise run against the old report, in the order of the runs."""
    warnings: list[WarningRow]
    """Caveats about the comparison."""


class Unpaired(Place, frozen=True, kw_only=True):
    """A report without a counterpart; path is that of report.json."""

    video: Place
    """Path of the video in the report."""
    sha256: str
    """Hexadecimal hash of the video."""


class Finding(Part, frozen=True):
    """A pair that a gate does not accept, or would not without the noise runs."""

    pair: Count
    """Index in pairs."""
    value: float | None
    """Value that has a limit; null for a condition."""


class GateResult(Part, frozen=True):
    """The outcome of one gate."""

    gate: str
    """The option."""
    status: Status
    """Unevaluated if anything is missing that the gate needs, even if it has failed without."""
    allowed: Count
    """Number of findings that the gate accepts."""
    findings: list[Finding]
    """Pairs beyond the limit, or those that fulfill the condition."""
    within_noise: list[Finding]
    """Pairs beyond the limit, but not beyond the noise of the old run; they are accepted."""
    reasons: list[str]
    """Why it could not be evaluated."""


class Diff(Document, frozen=True):
    """The output of `staa diff --json`."""

    old: Place
    """The baseline."""
    new: Place
    """What is compared with it."""
    noise: list[Place]
    """Further runs of the old checkpoint."""
    status: Status | None
    """Unevaluated if a gate is, else failed if a gate has failed; null without gates."""
    gates: list[GateResult]
    """In the order of the options in the help."""
    pairs: list[Pair]
    """Videos with a report on both sides, in the order of the old paths."""
    missing: list[Unpaired]
    """Videos that only the old side has."""
    added: list[Unpaired]
    """Videos that only the new side has."""
    failures: list[Failure]
    """Reports that could not be used."""
