"""The content of index.json as types; `generate_schema` describes them."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from staa_cli.results.document import (
    Amount,
    Document,
    Failure,
    Part,
    Place,
    Share,
    Target,
    WarningRow,
)

Sha256 = Annotated[str, Meta(pattern="^([0-9a-f]{64})?$")]


class Measured(Part, frozen=True):
    """How faithful the explanation is, as in the report."""

    srg: float
    """Symmetric relevance gain: insertion minus deletion."""
    srg_low: float | None
    """Lower end of its 95 % interval; null for a single clip."""
    srg_high: float | None
    """Upper end of that interval."""
    quick: bool
    """Whether it was measured with a fifth of the passes."""
    beaten_by: list[str]
    """Baselines that are at least as faithful as the method."""


class Entry(Part, frozen=True, kw_only=True):
    """A result: the parts of its report that an overview needs."""

    folder: Place
    """Folder of the result, relative to that of index.json, with slashes; "." for the same."""
    fingerprint: str
    """Fingerprint of the report."""
    video: Place
    """Path of the video, as in the report."""
    sha256: Sha256
    """Hexadecimal hash of the video."""
    duration_s: Amount
    """Duration of the video in seconds."""
    aspect_ratio: Annotated[float, Meta(gt=0)]
    """Width of the upright picture divided by its height."""
    start_s: float
    """Start of the explained part in seconds."""
    end_s: float
    """End of the explained part in seconds."""
    model: str
    """Name of the model."""
    weights_sha256: str
    """Hexadecimal hash of the weights."""
    output: Literal["softmax", "sigmoid", "identity"]
    """Meaning of the scores, as in the report."""
    method: str
    """Name of the attribution method."""
    label: str
    """Class with the highest probability or value."""
    target: Target
    """Class that is explained."""
    peak_s: Amount | None
    """Time of the highest weighted score in seconds; null where there is none."""
    flat: bool
    """Whether the curve is indistinguishable from a uniform one."""
    covered_share: Share
    """Share of the explained time that clips cover."""
    curve: list[Share | None]
    """Highest weighted score in equal parts of the explained time, at most 48 of them, from 0 for
    the lowest score, or for zero if that is lower, to 1 for the highest; null where no clip
    reaches."""
    warnings: list[WarningRow]
    """Caveats, as in the report."""
    files: list[str]
    """Names of the result's files."""
    faithfulness: Measured | None = None
    """Present only if it was measured."""


class FailedInput(Part, frozen=True, kw_only=True):
    """An input that could not be explained."""

    input: Place
    """Path as given."""
    kind: str
    """Name of the error, such as VideoError."""
    cause: str
    """What is wrong."""
    hint: str | None
    """How to fix it."""
    folder: Place | None
    """Folder that its result would have, relative to that of index.json; null if it has none."""
    fingerprint: str | None = None
    """Fingerprint of an earlier result in that folder; absent if there was none."""


class BrokenReport(Failure, frozen=True, kw_only=True):
    """A report that could not be read."""

    report: Place
    """Path of the report, relative to the folder of index.json."""


class Index(Document, frozen=True):
    """The content of index.json, the results in a folder.

    As in report.json, properties are only added within a schema version, times are seconds from the
    video's first frame, and numbers have 6 significant digits.
    """

    files: list[str]
    """Names of the files of this overview, in the same folder: staa may replace them."""
    results: list[Entry]
    """In the order of their folders."""
    failed_inputs: list[FailedInput]
    """Inputs that `staa explain` could not explain and that have no result since then."""
    broken_reports: list[BrokenReport]
    """Reports that could not be read, in the order of their folders."""
