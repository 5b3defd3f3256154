"""A folder of videos with classes, split by source.

Clips of one source (a film, a camera, a person) look alike: a model that was trained on one of them
has an advantage on the others. So each source is in one split only.
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
    """A video in the folder."""

    path: Path
    label: int
    """Index of its class in `ClassFolder.classes`."""
    source: str
    """Its origin, such as a film, a camera, or a person."""
    split: ClassSplit


class LabeledClip(NamedTuple):
    """A clip for training or testing."""

    frames: UInt8
    """[T, h, w, 3], preprocessed for the model, before normalization."""
    label: int


@dataclass(frozen=True, slots=True)
class _Row:
    file: str
    label: str
    source: str
    split: str | None
    place: str
    """Its place in the list, for messages."""


class ClassFolder:
    """A folder of videos with classes: ``DIR/<class>/*.mp4``, or as listed in its clips.csv.

    The list has columns file, class, and source, and optionally split: train or test. Without that
    column, about 30 % of every class are for the test, as far as sources allow; the choice depends
    only on the names of the sources and the seed. Without a list, every video is its own source.

    Args:
        folder: of the classes.
        seed: of the split; a model must be tested with the seed that it was trained with.

    Raises:
        NothingMatched: there is no video, or the list is empty.
        InputError: the folder does not exist or cannot be read; the list is invalid or names a
            missing file; there is only one class; a source is in both splits; a split lacks a
            class.
    """

    def __init__(self, folder: Path, seed: int = 0) -> None:
        self.folder = folder
        rows = _read_list(folder) if (folder / LIST).is_file() else _walk(folder)
        self.classes = tuple(sorted({row.label for row in rows}))
        """Names of the classes, sorted."""
        if not self.classes:
            raise NothingMatched(f"no video in a class folder of {folder}", LAYOUT)
        if len(self.classes) == 1:
            raise InputError(f"{folder} has only one class, {self.classes[0]!r}", LAYOUT)
        splits = _listed_splits(rows) or _random_splits(rows, seed)
        self.videos = tuple(
            ClassVideo(
                folder / row.file, self.classes.index(row.label), row.source, splits[row.source]
            )
            for row in rows
        )
        """In the order of the list, or of their paths."""
        for split in SPLITS:
            present = {video.label for video in self.videos if video.split == split}
            if missing := [name for n, name in enumerate(self.classes) if n not in present]:
                raise InputError(
                    f"{folder}: no video of class {missing[0]!r} is in the {split} split",
                    "a class needs videos of at least two sources, or a column split with both",
                )

    def of_split(self, split: ClassSplit) -> tuple[ClassVideo, ...]:
        """The videos of a split."""
        return tuple(video for video in self.videos if video.split == split)

    def clips(
        self, split: ClassSplit, given: ModelInput, kept_bytes: int = _KEPT_BYTES
    ) -> ClassClips:
        """The middle clip of every video of a split, preprocessed for a model.

        Args:
            split: train or test.
            given: number, interval, and size of the frames; `mean` and `std` are not used.
            kept_bytes: limit of the memory for decoded clips that are kept.
        """
        return ClassClips(self.of_split(split), given, kept_bytes)


class ClassClips(Sequence[LabeledClip]):
    """Clips by number, decoded on first access: 300 of 16 x 96 x 96 take 130 MB.

    Args:
        videos: one per clip.
        given: input format of the model.
        kept_bytes: limit of the memory for kept clips; others are decoded each time.
    """

    def __init__(self, videos: Sequence[ClassVideo], given: ModelInput, kept_bytes: int) -> None:
        self.videos, self._given, self._free_bytes = videos, given, kept_bytes
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
            if frames.nbytes <= self._free_bytes:
                self._free_bytes -= frames.nbytes
                self._kept[number] = frames
        return LabeledClip(frames, video.label)

    def info(self, number: int) -> VideoInfo:
        """The facts of a clip's video.

        Raises:
            VideoError: it does not open.
        """
        if number not in self._infos:
            self._infos[number] = probe(self.videos[number].path)
        return self._infos[number]


def _walk(folder: Path) -> list[_Row]:
    """The videos in the subfolders, each its own source."""
    results = absolute(folder / OutputSettings().dir)
    try:
        names = sorted(path.name for path in folder.iterdir() if path.is_dir())
    except OSError as error:
        raise InputError(f"{folder}: {(error.strerror or str(error)).lower()}", LAYOUT) from error
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
        if columns and column not in columns:
            head = f"its first line is {','.join(columns)[:80]!r}"
            raise InputError(f"{path} has no column {column!r}: {head}", HEAD)
    if not lines:
        raise NothingMatched(f"{path} lists no video", HEAD)
    rows, files = [], set()
    for number, line in lines:
        place = f"{path}, line {number}"
        file, label, source = ((line[name] or "").strip() for name in ("file", "class", "source"))
        split = (line["split"] or "").strip() if "split" in columns else None
        for name, value in (("file", file), ("class", label), ("source", source)):
            if not value:
                raise InputError(f"{place}: {file or 'the row'} has no {name}", LAYOUT)
        relative = PurePosixPath(file)
        if relative.is_absolute() or ".." in relative.parts or "\0" in file:
            raise InputError(f"{place}: {file!r} is not inside the folder", LAYOUT)
        if not (folder / file).is_file():
            what = "is a folder" if (folder / file).is_dir() else "does not exist"
            raise InputError(f"{place}: {file!r} {what}", f"paths start from {folder}")
        if relative in files:
            raise InputError(f"{place}: {file!r} is listed twice", "list every video once")
        if split is not None and split not in SPLITS:
            raise InputError(
                f"{place}: unknown split {split!r}", f"a split is {' or '.join(SPLITS)}"
            )
        files.add(relative)
        rows.append(_Row(file, label, source, split, place))
    return rows


def _listed_splits(rows: Sequence[_Row]) -> dict[str, ClassSplit] | None:
    """Source to split, from the list; None if it has no such column."""
    first_rows: dict[str, _Row] = {}
    for row in rows:
        if row.split is None:
            return None
        first = first_rows.setdefault(row.source, row)
        if first.split != row.split:
            raise InputError(
                f"{row.place}: source {row.source!r} is in both splits: {first.file} is for "
                f"{first.split}, and {row.file} for {row.split}",
                "put each source into one split, so that the test is independent of training",
            )
    return {source: cast(ClassSplit, row.split) for source, row in first_rows.items()}


def _random_splits(rows: Sequence[_Row], seed: int) -> dict[str, ClassSplit]:
    """Source to split: in random order, a source is for the test if that brings it nearer to 30 %.

    Nearer means a smaller sum over classes of the squared differences from that share.
    """
    totals = Counter(row.label for row in rows)
    by_source: dict[str, Counter[str]] = {}
    for row in rows:
        by_source.setdefault(row.source, Counter())[row.label] += 1
    tested: Counter[str] = Counter()

    def gap(counts: Counter[str]) -> float:
        return sum((counts[name] / totals[name] - TEST_SHARE) ** 2 for name in totals)

    splits: dict[str, ClassSplit] = {}
    for source in sorted(by_source, key=lambda source: _draw(source, seed)):
        with_source = tested + by_source[source]
        test = gap(with_source) < gap(tested)
        splits[source] = "test" if test else "train"
        tested = with_source if test else tested
    return splits


def _draw(source: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}\n{source}".encode("utf-8", "surrogateescape")).digest()
