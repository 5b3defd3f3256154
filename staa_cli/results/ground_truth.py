"""Types of ground_truth.json: the classes, times, and places of events in a user's videos.

Docstrings of types and fields appear in the JSON Schema that ships with staa, as for `document`.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from msgspec import Meta

from staa_cli.errors import InputError
from staa_cli.results.document import Amount, Part, Share
from staa_cli.results.report import load_document

FILE = "ground_truth.json"
HINT = (
    'it begins {"schema_version": 1, "videos": [{"file": ...; '
    "`staa schema ground-truth` prints all that it may hold"
)
_PICTURE = "coordinates are shares of the upright picture's width and height, 0 to 1, not pixels"
_COORDINATE = re.compile(r"\.(x|y|width|height): expected float [<>]|the box ends outside")

_ROUNDING = 1e-6

Side = Annotated[float, Meta(gt=0, le=1)]
RelativePath = Annotated[str, Meta(min_length=1)]


class Event(Part, frozen=True, forbid_unknown_fields=True):
    """A time interval in which the labeled event happens."""

    start_s: Amount
    """Start in seconds from the video's first frame."""
    end_s: Amount
    """End in seconds, exclusive: frames that start at or after it are not part of the event."""

    def __post_init__(self) -> None:
        if self.end_s <= self.start_s:
            raise ValueError(f"end_s ({self.end_s:g}) must be after start_s ({self.start_s:g})")


class Box(Part, frozen=True, forbid_unknown_fields=True):
    """A bounding box of the object.

    Coordinates are fractions of the upright picture's width and height, with x to the right and y
    down from its top left corner.
    """

    time_s: Amount
    """Time in seconds from which the box holds. It is not interpolated: it holds until the next
    time at which the video has a box, or until end_s. Several boxes of the same time all hold."""
    x: Share
    """Left edge."""
    y: Share
    """Top edge."""
    width: Side
    """Width."""
    height: Side
    """Height."""
    end_s: Amount | None = None
    """Time at which the object leaves the picture; absent if it stays until the next box, or until
    the end of the video."""

    def __post_init__(self) -> None:
        _check_end(self.time_s, self.end_s)
        for name, start, length in (("x", self.x, self.width), ("y", self.y, self.height)):
            if start + length > 1 + _ROUNDING:
                side = "width" if name == "x" else "height"
                raise ValueError(
                    f"the box ends outside the picture: {name} + {side} is {start + length:g}, "
                    "and the picture ends at 1"
                )


class Mask(Part, frozen=True, forbid_unknown_fields=True):
    """A segmentation mask: a PNG file that is nonzero at the object's pixels.

    It covers the whole upright picture, at any size.
    """

    time_s: Amount
    """Time in seconds from which the mask holds: until the next mask, or until end_s."""
    file: RelativePath
    """Path of the PNG file, relative to the folder of ground_truth.json and inside it."""
    end_s: Amount | None = None
    """Time at which the object leaves the picture; absent if it stays until the next mask, or until
    the end of the video."""

    def __post_init__(self) -> None:
        _check_end(self.time_s, self.end_s)
        _check_inside(self.file)


class TrueVideo(Part, frozen=True, forbid_unknown_fields=True):
    """Ground truth of one video; with a file alone, it is scored by faithfulness alone."""

    file: RelativePath
    """Path of the video, relative to the folder of ground_truth.json and inside it."""
    label: str | None = None
    """Name of its class; absent if unknown. A class that the model does not have is treated as if
    it were absent."""
    events: Annotated[list[Event], Meta(min_length=1)] | None = None
    """Times of the labeled event; absent if unknown."""
    boxes: Annotated[list[Box], Meta(min_length=1)] | None = None
    """Bounding boxes of the object; absent if unknown, or if masks are given."""
    masks: Annotated[list[Mask], Meta(min_length=1)] | None = None
    """Segmentation masks of the object; absent if unknown, or if boxes are given."""
    about: dict[str, Any] | None = None
    """Anything else; staa does not read it."""

    def __post_init__(self) -> None:
        _check_inside(self.file)
        if self.boxes is not None and self.masks is not None:
            raise ValueError("a video has boxes or masks, not both")
        for name in ("events", "boxes"):
            if (second := _repeated(getattr(self, name) or ())) is not None:
                raise ValueError(f"{name}[{second}] is listed twice")
        if (second := _repeated([mask.time_s for mask in self.masks or ()])) is not None:
            raise ValueError(f"masks[{second}] has the time of another mask")

    @property
    def places(self) -> tuple[Box | Mask, ...]:
        """The boxes or the masks; empty if neither is known."""
        return (*(self.boxes or ()), *(self.masks or ()))

    def times_s(self) -> Iterator[tuple[str, float]]:
        """Names and values of all time fields."""
        for name, rows in (("events", self.events), ("boxes", self.boxes), ("masks", self.masks)):
            for number, row in enumerate(rows or ()):
                for field in ("start_s", "time_s", "end_s"):
                    if (time_s := getattr(row, field, None)) is not None:
                        yield f"{name}[{number}].{field}", time_s


class GroundTruth(Part, frozen=True, forbid_unknown_fields=True):
    """The content of ground_truth.json, which belongs in a folder of videos.

    It gives the known classes, times, and places of events in them. Times are seconds from the
    video's first frame.
    """

    schema_version: Literal[1]
    """Version of this schema."""
    videos: Annotated[list[TrueVideo], Meta(min_length=1)]
    """The videos. Others in the folder are ignored."""
    about: dict[str, Any] | None = None
    """Anything else, such as the origin of the videos; staa does not read it."""

    def __post_init__(self) -> None:
        if (second := _repeated([PurePosixPath(video.file) for video in self.videos])) is not None:
            raise ValueError(f"{self.videos[second].file!r} is listed twice")


def load_ground_truth(path: Path) -> GroundTruth:
    """Load a ground_truth.json and validate it without reading the videos.

    Raises:
        InputError: the file cannot be read, is invalid, or has another schema version.
    """
    try:
        return load_document(path, GroundTruth, "valid ground truth", HINT)
    except InputError as error:
        if _COORDINATE.search(error.cause):
            raise InputError(error.cause, _PICTURE) from error
        raise


def _check_end(start_s: float, end_s: float | None) -> None:
    if end_s is not None and end_s <= start_s:
        raise ValueError(f"end_s ({end_s:g}) must be after time_s ({start_s:g})")


def _check_inside(file: str) -> None:
    """Require a path inside the folder: an untrusted document must not reach other files."""
    path = PurePosixPath(file)
    if path.is_absolute() or ".." in path.parts or "\0" in file or "\\" in file:
        raise ValueError(f"{file!r} must be a path inside the folder, with / between its parts")


def _repeated(rows: Sequence[Hashable]) -> int | None:
    """Position of the first row that equals an earlier one; None if all differ."""
    seen: set[Hashable] = set()
    for number, row in enumerate(rows):
        if row in seen:
            return number
        seen.add(row)
    return None
