"""Inputs: which files are taken, in which order, and where their results go."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from staa_cli.errors import NothingMatched, UsageError
from staa_cli.jobs.inputs import find_jobs


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def touch(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()


def laid_out(arguments: Iterable[str], *, recursive: bool = False) -> dict[str, str]:
    jobs = find_jobs(list(arguments), Path("out"), recursive=recursive)
    return {str(job.source): job.folder.as_posix() for job in jobs}


def test_a_file_goes_to_its_name_without_the_ending(here: Path) -> None:
    assert laid_out(["clips/video.tar.mp4"]) == {"clips/video.tar.mp4": "out/video.tar"}


def test_a_folder_keeps_its_relative_paths_sorted(here: Path) -> None:
    touch("in/b.mp4", "in/a.MOV", "in/sub/deep/c.mkv", "in/notes.txt", "in/.hidden.mp4")
    assert laid_out(["in"]) == {"in/a.MOV": "out/a", "in/b.mp4": "out/b"}
    assert list(laid_out(["in"], recursive=True).items()) == [
        ("in/a.MOV", "out/a"),
        ("in/b.mp4", "out/b"),
        ("in/sub/deep/c.mkv", "out/sub/deep/c"),
    ]


def test_results_of_an_earlier_run_are_no_inputs(here: Path) -> None:
    touch("a.mp4", "out/a/annotated.mp4", ".cache/b.mp4")
    assert laid_out(["."], recursive=True) == {"a.mp4": "out/a"}


def test_an_explicit_file_is_taken_whatever_its_ending_or_absence(here: Path) -> None:
    touch("data.bin")
    assert list(laid_out(["data.bin", "missing.mp4"])) == ["data.bin", "missing.mp4"]


def test_patterns_are_expanded_unless_a_file_has_that_very_name(here: Path) -> None:
    touch("in/b.mp4", "in/a.mp4", "in/x/c.mp4", "clip[1].mp4")
    assert list(laid_out(["in/*.mp4"])) == ["in/a.mp4", "in/b.mp4"]
    assert list(laid_out(["in/**/*.mp4"])) == ["in/a.mp4", "in/b.mp4", "in/x/c.mp4"]
    assert list(laid_out(["clip[1].mp4"])) == ["clip[1].mp4"]


def test_duplicates_are_removed_and_the_given_order_is_kept(here: Path) -> None:
    touch("b.mp4", "a.mp4")
    assert list(laid_out(["b.mp4", "./b.mp4", str(here / "b.mp4"), "*.mp4"])) == ["b.mp4", "a.mp4"]


def problems(*arguments: str, **how: Any) -> dict[str, str]:
    jobs = find_jobs(arguments, Path("out"), **how)
    return {str(job.source): job.problem[0] for job in jobs if job.problem}


def test_what_matched_nothing_is_a_job_that_fails_in_its_place(here: Path) -> None:
    touch("a.mp4", "b.mp4", "empty/readme.txt", "deep/sub/c.mp4")
    jobs = find_jobs(["a.mp4", "*.mkv", "empty", "deep", "clip[1].mp4", "b.mp4"], Path("out"))
    assert [str(job.source) for job in jobs] == [
        *("a.mp4", "*.mkv", "empty", "deep", "clip[1].mp4", "b.mp4")
    ]
    assert [bool(job.problem) for job in jobs] == [False, True, True, True, True, False]
    assert jobs[3].problem is not None
    assert jobs[3].problem[1] == "add -r to look into subfolders"
    assert jobs[4].problem is not None
    assert "no such file" in jobs[4].problem[0]
    assert problems("a.mp4", "deep", recursive=True) == {}


def test_a_pattern_takes_a_broken_link_as_a_shell_would(here: Path) -> None:
    touch("a.mp4")
    Path("b.mp4").symlink_to("nowhere.mp4")
    Path("c.mp4").mkdir()
    assert list(laid_out(["*.mp4"])) == ["a.mp4", "b.mp4"]


def test_a_folder_that_cannot_be_read_is_told(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch("in/a.mp4", "in/secret/b.mp4")
    real = os.scandir

    def scandir(path: Any) -> Any:
        if str(path).endswith("secret"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    told = "cannot read this folder: permission denied"
    assert problems("in", recursive=True) == {"in/secret": told}
    assert problems("in/a.mp4", "in/secret") == {"in/secret": told}


def test_a_name_that_is_too_long_is_a_file_like_any_other(here: Path) -> None:
    name = "n" * 300 + ".mp4"
    assert list(laid_out([name])) == [name]


def test_an_empty_argument_is_not_the_current_folder(here: Path) -> None:
    touch("a.mp4")
    with pytest.raises(UsageError):
        find_jobs(["a.mp4", ""], Path("out"))


def test_a_listed_name_is_no_pattern(here: Path) -> None:
    touch("a.mp4", "b.mp4", "in/c.mp4")
    listed = ["*.mp4", "clip[1].mp4", "in", "a.mp4", " a.mp4 ", "~", "-r"]
    jobs = find_jobs([], Path("out"), listed=listed)
    assert [str(job.source) for job in jobs] == [
        *("*.mp4", "clip[1].mp4", "in/c.mp4", "a.mp4", " a.mp4 ", "~", "-r")
    ]
    assert not any(job.problem for job in jobs)
    with pytest.raises(NothingMatched):
        find_jobs([], Path("out"), listed=[])


@pytest.mark.parametrize("arguments", [[], ["*.mkv"], ["empty"]])
def test_nothing_at_all_is_an_error(here: Path, arguments: list[str]) -> None:
    touch("empty/readme.txt", "empty/sub/a.mp4")
    with pytest.raises(NothingMatched):
        find_jobs(arguments, Path("out"))


def test_a_folder_without_videos_of_its_own_points_to_r(here: Path) -> None:
    touch("in/sub/a.mp4")
    with pytest.raises(NothingMatched) as caught:
        find_jobs(["in"], Path("out"))
    assert "-r" in str(caught.value.hint)


def test_what_staa_wrote_among_the_inputs_is_no_input(tmp_path: Path) -> None:
    """Or the same line again would explain its own annotated videos, one level deeper each time."""
    for name in ("a.mp4", "a/annotated.mp4", "a/b.mp4", "c/annotated.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"video")
    (tmp_path / "a" / "report.json").write_text('{\n  "schema_version": 1,\n  "staa_version": "1"}')
    (tmp_path / "c" / "report.json").write_text('{"somebody": "else"}')
    jobs = find_jobs([str(tmp_path)], tmp_path, recursive=True)
    names = [str(job.source.relative_to(tmp_path)) for job in jobs]
    assert names == ["a.mp4", "a/b.mp4", "c/annotated.mp4"]


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("rtsp://localhost/x", "rtsp://localhost/x is a URL"),
        ("file:///a.mp4?b=[1]", "is a URL"),
        ("0", "0 is a camera"),
        ("/dev/video99", "/dev/video99 is a camera"),
        ("-", "standard input"),
        ("", "input name is empty"),
    ],
)
def test_what_is_no_file_is_told_as_it_was_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, argument: str, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=re.escape(words)) as caught:
        find_jobs([argument], tmp_path / "out")
    assert caught.value.hint


@pytest.mark.parametrize("argument", ["rtsp://example.org/a.mp4", "0", "-"])
def test_what_is_no_file_is_a_failure_of_its_own_beside_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, argument: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for jobs in (
        find_jobs(["a.mp4", argument], tmp_path / "out"),
        find_jobs(["a.mp4"], tmp_path / "out", listed=[argument]),
    ):
        good, bad = jobs
        assert good.problem is None
        assert bad.problem is not None
        assert "staa reads only files" in bad.problem[0]
    with pytest.raises(UsageError, match="input name is empty"):
        find_jobs(["a.mp4", ""], tmp_path / "out")


def test_a_file_of_any_name_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("0", "-", "1984"):
        Path(name).write_bytes(b"video")
    assert [str(job.source) for job in find_jobs(["0", "-", "1984"], tmp_path / "out")] == [
        "0", "-", "1984",
    ]  # fmt: skip
