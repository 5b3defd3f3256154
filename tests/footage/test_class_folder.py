"""Folders with classes: what is split how, what is refused, and the clips that one learns from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_videos import film
from torch.utils.data import DataLoader

from staa_cli.errors import ExitCode, StaaError, VideoError
from staa_cli.footage.class_folder import SPLITS, ClassFolder
from staa_cli.models.load import load_model
from staa_cli.schema import ModelInput
from staa_cli.video.decode import iter_frames
from staa_cli.video.probe import probe

GIVEN = ModelInput(6, (24, 24), stride=1, rate=6.0, mean=(0.5,) * 3, std=(0.5,) * 3, resize=28)


def listed(folder: Path, *rows: str, head: str = "file,class,source") -> Path:
    """A clips.csv, and an empty file for every row of it."""
    for row in rows:
        path = folder / row.split(",")[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (folder / "clips.csv").write_text("\n".join((head, *rows)) + "\n")
    return folder


def many(folder: Path, sources: int = 40) -> Path:
    """Three classes; a source has some clips of one of them, and often of another."""
    random = np.random.default_rng(1)
    rows: list[str] = []
    for source in range(sources):
        for name in random.choice(["a", "b", "c"], 2):
            rows += [
                f"{name}/{source}-{len(rows) + n}.mp4,{name},{source}"
                for n in range(random.integers(1, 6))
            ]
    return listed(folder, *rows)


def test_a_source_is_in_one_split_and_every_class_has_its_share(tmp_path: Path) -> None:
    folder = many(tmp_path)
    splits = []
    for seed in range(5):
        found = ClassFolder(folder, seed)
        train, test = ({v.source for v in found.of_split(split)} for split in SPLITS)
        assert not train & test
        assert len(train | test) == 40
        totals = Counter(v.label for v in found.videos)
        tested = Counter(v.label for v in found.of_split("test"))
        assert all(0.2 < tested[label] / totals[label] < 0.4 for label in range(3))
        splits.append(frozenset(test))
    assert len(set(splits)) == 5
    assert {v.source for v in ClassFolder(folder, 0).of_split("test")} == splits[0]


def test_the_order_of_the_list_does_not_matter(tmp_path: Path) -> None:
    folder = many(tmp_path)
    first = {(v.path, v.split) for v in ClassFolder(folder).videos}
    head, *rows = (folder / "clips.csv").read_text().splitlines()
    (folder / "clips.csv").write_text("\n".join(["\ufeff" + head, *rows[::-1]]))
    assert {(v.path, v.split) for v in ClassFolder(folder).videos} == first


def test_without_a_list_the_subfolders_are_the_classes(tmp_path: Path) -> None:
    for name in ("walk/1.mp4", "walk/2.mp4", "walk/more/3.MOV", "run/1.mp4", "run/2.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for ignored in ("walk/notes.txt", ".hidden/1.mp4", "staa-out/1/annotated.mp4", "0.mp4"):
        (tmp_path / ignored).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / ignored).touch()
    found = ClassFolder(tmp_path)
    assert found.classes == ("run", "walk")
    assert len(found.videos) == len({v.source for v in found.videos}) == 5
    assert {v.label for v in found.of_split("test")} == {0, 1}


def test_a_split_that_is_told_is_taken(tmp_path: Path) -> None:
    rows = ("x/1.mp4,x,1,train", "y/1.mp4,y,1,train", "x/2.mp4,x,2,test", "y/2.mp4,y,3,test")
    found = ClassFolder(listed(tmp_path, *rows, head="file,class,source,split"))
    assert [v.split for v in found.videos] == ["train", "train", "test", "test"]


GOOD = ("x/1.mp4,x,1", "x/2.mp4,x,2", "y/1.mp4,y,1", "y/2.mp4,y,2")
SPLIT = "file,class,source,split"


def without(file: str) -> Callable[[Path], object]:
    def write(folder: Path) -> None:
        listed(folder, *GOOD)
        (folder / file).unlink()

    return write


def rows(*wanted: str, head: str = "file,class,source") -> Callable[[Path], object]:
    return lambda folder: listed(folder, *wanted, head=head)


def of_text(content: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / "clips.csv").write_bytes(content)


BAD: dict[str, tuple[Callable[[Path], object], ExitCode, str]] = {
    "no folder": (Path.rmdir, ExitCode.INPUT_FAILED, "set: no such file or directory"),
    "nothing": (lambda folder: None, ExitCode.NOTHING_MATCHED, "no video in a class folder of"),
    "classes without videos": (
        lambda folder: (folder / "x").mkdir(),
        ExitCode.NOTHING_MATCHED,
        "no video in a class folder of",
    ),
    "an empty list": (rows(), ExitCode.NOTHING_MATCHED, "clips.csv lists no video"),
    "one class": (rows(*GOOD[:2]), ExitCode.INPUT_FAILED, "only one class, 'x'"),
    "a missing file": (without("x/2.mp4"), ExitCode.INPUT_FAILED, "line 3: 'x/2.mp4' does not"),
    "no class in a row": (rows(*GOOD, "y/3.mp4,,1"), ExitCode.INPUT_FAILED, "y/3.mp4 has no class"),
    "a short row": (rows(*GOOD, "y/3.mp4,y"), ExitCode.INPUT_FAILED, "y/3.mp4 has no source"),
    "no column": (
        rows(*GOOD, head="file,class,camera"),
        ExitCode.INPUT_FAILED,
        "no column 'source'",
    ),
    "semicolons": (
        of_text(b"file;class;source\nx/1.mp4;x;1\n"),
        ExitCode.INPUT_FAILED,
        "no column 'file': its first line is 'file;class;source'",
    ),
    "no head": (
        of_text(b"x/1.mp4,x,1\ny/1.mp4,y,1\n"),
        ExitCode.INPUT_FAILED,
        "no column 'file': its first line is 'x/1.mp4,x,1'",
    ),
    "an empty file": (of_text(b""), ExitCode.NOTHING_MATCHED, "clips.csv lists no video"),
    "a folder": (rows(*GOOD, ".,x,1"), ExitCode.INPUT_FAILED, "'.' is a folder"),
    "a file twice": (rows(*GOOD, GOOD[0]), ExitCode.INPUT_FAILED, "line 6: 'x/1.mp4' is listed"),
    "outside": (rows(*GOOD, "../z.mp4,x,1"), ExitCode.INPUT_FAILED, "is not inside the folder"),
    "a leak": (
        rows("x/1.mp4,x,1,train", "y/1.mp4,y,1,test", head=SPLIT),
        ExitCode.INPUT_FAILED,
        "source '1' is in both splits: x/1.mp4 is for train, and y/1.mp4 for test",
    ),
    "another split": (
        rows("x/1.mp4,x,1,val", "y/1.mp4,y,1,test", head=SPLIT),
        ExitCode.INPUT_FAILED,
        "unknown split 'val'",
    ),
    "half a split": (
        rows("x/1.mp4,x,1,train", "y/1.mp4,y,2,", head=SPLIT),
        ExitCode.INPUT_FAILED,
        "unknown split ''",
    ),
    "one source": (
        rows("x/1.mp4,x,1", "y/1.mp4,y,2", "y/2.mp4,y,3"),
        ExitCode.INPUT_FAILED,
        "no video of class 'x' is in the t",
    ),
    "no text": (of_text(b"\xff\xfe\x00"), ExitCode.INPUT_FAILED, "cannot read"),
}


@pytest.mark.parametrize("fault", BAD)
def test_what_cannot_be_split_is_told(fault: str, tmp_path: Path) -> None:
    write, code, words = BAD[fault]
    folder = tmp_path / "set"
    folder.mkdir()
    write(folder)
    with pytest.raises(StaaError) as caught:
        ClassFolder(folder)
    assert caught.value.exit_code == code
    assert words in caught.value.cause
    assert str(folder) in caught.value.cause
    assert "\n" not in caught.value.cause
    assert caught.value.hint
    of_list = "no column" in words or "lists no video" in words
    assert ("file,class,source,split, with commas" in caught.value.hint) == of_list


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> ClassFolder:
    folder = tmp_path_factory.mktemp("small")
    for number in range(8):
        film(folder / "xy"[number % 2] / f"{number}.mp4", 18, seed=number)
    return ClassFolder(folder)


def test_a_clip_is_what_the_model_is_given_of_the_middle_of_the_video(small: ClassFolder) -> None:
    clips = small.clips("train", GIVEN)
    assert len(clips) == len(small.of_split("train"))
    model = load_model("test_timesformer")
    model = replace(model, info=replace(model.info, input=GIVEN))
    for (frames, label), video in zip(clips, small.of_split("train"), strict=True):
        assert (frames.dtype, frames.shape) == (np.uint8, (6, 24, 24, 3))
        assert label == video.label
        info = probe(video.path)
        middle = [3, 5, 7, 9, 11, 13]  # of 18, at 12 a second: six, at 6 a second
        pictures = np.stack([picture for _, picture in iter_frames(info, middle)])
        given = model.preprocess(pictures)[0]
        normalized = torch.tensor(frames).permute(0, 3, 1, 2) / 255 * 2 - 1
        assert torch.allclose(given, normalized, atol=1e-5)


def test_clips_are_decoded_once_as_long_as_there_is_room(
    small: ClassFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = 6 * 24 * 24 * 3
    plenty, narrow = (small.clips("train", GIVEN, size * room) for room in (100, 1))
    first = [list(clips) for clips in (plenty, narrow)]

    def refuse(*_: object) -> Any:
        raise VideoError("read again")

    monkeypatch.setattr("staa_cli.footage.class_folder.read_clip", refuse)
    assert all(a.frames is b.frames for a, b in zip(first[0], plenty, strict=True))
    assert narrow[0].frames is first[1][0].frames
    assert plenty[-1].frames is first[0][-1].frames
    assert [clip.label for clip in plenty[1:3]] == [clip.label for clip in first[0][1:3]]
    with pytest.raises(VideoError):
        _ = narrow[1]
    with pytest.raises(IndexError):
        _ = plenty[len(plenty)]


def test_clips_go_into_batches(small: ClassFolder) -> None:
    clips: Any = small.clips("train", GIVEN)
    batch = next(iter(DataLoader(clips, batch_size=4, shuffle=True)))
    assert (batch.frames.dtype, batch.frames.shape) == (torch.uint8, (4, 6, 24, 24, 3))
    assert batch.label.shape == (4,)


def test_real_footage_is_split_by_source() -> None:
    folder = Path(__file__).resolve().parents[2].parent / "shared" / "footage"
    if not folder.is_dir():
        pytest.skip("the folder with real footage is not here")
    found = ClassFolder(folder)
    assert found.classes == ("fight", "other")
    assert len(found.videos) == 300
    train, test = ({v.source for v in found.of_split(split)} for split in SPLITS)
    assert (len(train | test), train & test) == (46, set())
    counts = Counter(v.label for v in found.of_split("test"))
    assert all(0.27 < counts[label] / 150 < 0.33 for label in (0, 1))
    clips = found.clips("test", replace(GIVEN, frames=16, rate=8.0, size=(96, 96), resize=96))
    assert clips[0].frames.shape == (16, 96, 96, 3)
