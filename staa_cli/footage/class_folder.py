"""A folder of videos with classes, split by where they come from.

Clips of one source (a film, a camera, a person) look alike: a model that was taught on one of them
knows something of the others. So a source is in one split as a whole.
"""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple, cast, overload

from staa_cli.config.settings import OutputSettings
from staa_cli.errors import InputError, NothingMatched
from staa_cli.footage.clips import middle_clip, read_clip
from staa_cli.schema import ModelInput, UInt8, VideoInfo
from staa_cli.video.folders import absolute, walk_videos
from staa_cli.video.probe import probe

ClassSplit = Literal["train", "test"]
SPLITS: tuple[ClassSplit, ClassSplit] = ("train", "test")
TEST_SHARE = 0.3
LIST = "clips.csv"
LAYOUT = f"a class is a subfolder with videos, or {LIST} has columns file,class,source"
HEAD = f"the first line of {LIST} is file,class,source or file,class,source,split, with commas"
_KEPT_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class ClassVideo:
    """A video of the folder."""

    path: Path
    label: int
    """Position of its class among `ClassFolder.classes`."""
    source: str
    """Where it comes from."""
    split: ClassSplit


class LabeledClip(NamedTuple):
    """A clip to learn from, or to be tested on."""

    frames: UInt8
    """[T, h, w, 3], as the model sees them, before normalization."""
    label: int


@dataclass(frozen=True, slots=True)
class _Row:
    file: str
    label: str
    source: str
    split: str | None
    place: str
    """Where it stands, for messages."""


class ClassFolder:
    """A folder of videos with classes: ``DIR/<class>/*.mp4``, or as its clips.csv says.

    The list has columns file, class, and source, and may have one more, split: train or test. Where
    it has none, about 30 % of every class are for the test, as far as sources allow. Which, depends
    on the names of the sources and the seed alone. Without a list every video is its own source.

    Args:
        folder: of the classes.
        seed: another one is another split, so a model must be tested with the one that it was
            taught with.

    Raises:
        NothingMatched: there is no class.
        InputError: the list is no such list, or names what is not there; there is only one class; a
            source is in both splits; a split lacks a class.
    """

    def __init__(self, folder: Path, seed: int = 0) -> None:
        self.folder = folder
        rows = _read_list(folder) if (folder / LIST).is_file() else _walk(folder)
        self.classes = tuple(sorted({row.label for row in rows}))
        """Names of the classes, sorted."""
        if not self.classes:
            raise NothingMatched(f"no class in {folder}", LAYOUT)
        if len(self.classes) == 1:
            raise InputError(f"{folder} has only one class, {self.classes[0]!r}", LAYOUT)
        splits = _told_splits(rows) or _drawn_splits(rows, seed)
        self.videos = tuple(
            ClassVideo(
                folder / row.file, self.classes.index(row.label), row.source, splits[row.source]
            )
            for row in rows
        )
        """In the order of the list, or of their paths."""
        for split in SPLITS:
            there = {video.label for video in self.videos if video.split == split}
            if lacking := [name for n, name in enumerate(self.classes) if n not in there]:
                raise InputError(
                    f"{folder}: no video of class {lacking[0]!r} is in the {split} split",
                    "a class needs videos of two sources at least, or a column split that has both",
                )

    def of_split(self, split: ClassSplit) -> tuple[ClassVideo, ...]:
        """The videos of a split."""
        return tuple(video for video in self.videos if video.split == split)

    def clips(
        self, split: ClassSplit, given: ModelInput, kept_bytes: int = _KEPT_BYTES
    ) -> ClassClips:
        """The middle clip of every video of a split, as a model of such an input sees it.

        Args:
            split: train or test.
            given: how many frames, how far apart, and of which size; `mean` and `std` do not count.
            kept_bytes: room for clips that are kept after they were decoded.
        """
        return ClassClips(self.of_split(split), given, kept_bytes)


class ClassClips(Sequence[LabeledClip]):
    """Clips by number, decoded when they are first asked for: 300 of 16 x 96 x 96 take 130 MB.

    Args:
        videos: one a clip.
        given: what a model of which the clips are for takes.
        kept_bytes: room for clips that are kept; what finds no room is decoded each time.
    """

    def __init__(self, videos: Sequence[ClassVideo], given: ModelInput, kept_bytes: int) -> None:
        self.videos, self._given, self._room = videos, given, kept_bytes
        self._kept: dict[int, UInt8] = {}
        self._infos: dict[int, VideoInfo] = {}

    def __len__(self) -> int:
        return len(self.videos)

    @overload
    def __getitem__(self, number: int) -> LabeledClip: ...

    @overload
    def __getitem__(self, number: slice) -> list[LabeledClip]: ...

    def __getitem__(self, number: int | slice) -> LabeledClip | list[LabeledClip]:
        """A clip, or several.

        Raises:
            VideoError: its video does not open or decode.
        """
        if isinstance(number, slice):
            return [self[n] for n in range(*number.indices(len(self)))]
        video = self.videos[number]
        number %= len(self)
        frames = self._kept.get(number)
        if frames is None:
            info = self.info(number)
            frames = read_clip(info, middle_clip(info, self._given), self._given)
            if frames.nbytes <= self._room:
                self._room -= frames.nbytes
                self._kept[number] = frames
        return LabeledClip(frames, video.label)

    def info(self, number: int) -> VideoInfo:
        """What the video of a clip is.

        Raises:
            VideoError: it does not open.
        """
        if number not in self._infos:
            self._infos[number] = probe(self.videos[number].path)
        return self._infos[number]


def _walk(folder: Path) -> list[_Row]:
    """The videos in the subfolders, each its own source."""
    results = absolute(folder / OutputSettings().dir)
    names = sorted(path.name for path in folder.iterdir() if path.is_dir())
    rows = []
    for name in names:
        if name.startswith(".") or absolute(folder / name) == results:
            continue
        for path in walk_videos(folder / name, recursive=True):
            file = path.relative_to(folder).as_posix()
            rows.append(_Row(file, name, file, None, file))
    return rows


def _read_list(folder: Path) -> list[_Row]:
    path = folder / LIST
    try:
        with path.open(encoding="utf-8-sig", newline="") as text:
            reader = csv.DictReader(text, strict=True)
            columns = reader.fieldnames or []
            lines = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"cannot read {path}: {error}", LAYOUT) from error
    for column in ("file", "class", "source"):
        if column not in columns:
            head = f"its first line is {','.join(columns)[:80]!r}" if columns else "it is empty"
            raise InputError(f"{path} has no column {column!r}: {head}", HEAD)
    rows, seen = [], set()
    for number, line in lines:
        place = f"{path}, line {number}"
        file, label, source = ((line[name] or "").strip() for name in ("file", "class", "source"))
        split = (line["split"] or "").strip() if "split" in columns else None
        for name, value in (("file", file), ("class", label), ("source", source)):
            if not value:
                raise InputError(f"{place}: {file or 'the row'} has no {name}", LAYOUT)
        inside = PurePosixPath(file)
        if inside.is_absolute() or ".." in inside.parts or "\0" in file:
            raise InputError(f"{place}: {file!r} is not inside the folder", LAYOUT)
        if not (folder / file).is_file():
            what = "is a folder" if (folder / file).is_dir() else "does not exist"
            raise InputError(f"{place}: {file!r} {what}", f"paths start from {folder}")
        if inside in seen:
            raise InputError(f"{place}: {file!r} is listed twice", "list every video once")
        if split is not None and split not in SPLITS:
            raise InputError(
                f"{place}: unknown split {split!r}", f"a split is {' or '.join(SPLITS)}"
            )
        seen.add(inside)
        rows.append(_Row(file, label, source, split, place))
    return rows


def _told_splits(rows: Sequence[_Row]) -> dict[str, ClassSplit] | None:
    """Source to split, as the list says it; None where it does not."""
    told: dict[str, _Row] = {}
    for row in rows:
        if row.split is None:
            return None
        first = told.setdefault(row.source, row)
        if first.split != row.split:
            raise InputError(
                f"{row.place}: source {row.source!r} is in both splits: {first.file} is for "
                f"{first.split}, and {row.file} for {row.split}",
                "a model would be tested on what it was taught: put a source into one split",
            )
    return {source: cast(ClassSplit, row.split) for source, row in told.items()}


def _drawn_splits(rows: Sequence[_Row], seed: int) -> dict[str, ClassSplit]:
    """Source to split: in an order by chance, one goes to the test where that comes nearer to 30 %.

    That is, of every class: the sum of squares of what is missing, as shares, becomes smaller.
    """
    totals = Counter(row.label for row in rows)
    inside: dict[str, Counter[str]] = {}
    for row in rows:
        inside.setdefault(row.source, Counter())[row.label] += 1
    taken: Counter[str] = Counter()

    def gap(counts: Counter[str]) -> float:
        return sum((counts[name] / totals[name] - TEST_SHARE) ** 2 for name in totals)

    splits: dict[str, ClassSplit] = {}
    for source in sorted(inside, key=lambda source: _draw(source, seed)):
        more = taken + inside[source]
        test = gap(more) < gap(taken)
        splits[source] = "test" if test else "train"
        taken = more if test else taken
    return splits


def _draw(source: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}\n{source}".encode("utf-8", "surrogateescape")).digest()
