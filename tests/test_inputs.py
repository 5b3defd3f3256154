"""Inputs: which files are taken, in which order, and where their results go."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from staa_cli.errors import NothingMatched, UsageError
from staa_cli.inputs import find_jobs, read_list


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def touch(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()


def laid_out(arguments: Iterable[str], *, recursive: bool = False) -> dict[str, str]:
    found = find_jobs(list(arguments), Path("out"), recursive=recursive)
    return {str(job.source): job.folder.as_posix() for job in found.jobs}


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


def test_what_matched_nothing_is_told(here: Path) -> None:
    touch("a.mp4", "empty/readme.txt")
    assert find_jobs(["a.mp4", "*.mkv", "empty"], Path("out")).unmatched == ("*.mkv", "empty")


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


def test_colliding_names_get_their_endings_then_parents(here: Path) -> None:
    assert laid_out(["a.mp4", "a.avi", "b.mp4"]) == {
        "a.mp4": "out/a.mp4",
        "a.avi": "out/a.avi",
        "b.mp4": "out/b",
    }
    assert laid_out(["x/a.mp4", "y/a.mp4"]) == {"x/a.mp4": "out/x/a", "y/a.mp4": "out/y/a"}
    assert laid_out(["p/x/a.mp4", "q/x/a.mp4"]) == {
        "p/x/a.mp4": "out/p/x/a",
        "q/x/a.mp4": "out/q/x/a",
    }


def test_folders_do_not_depend_on_the_order_of_the_inputs(here: Path) -> None:
    names = ["x/a.mp4", "y/a.mp4", "y/a.avi", "a.mp4.mkv", "b.mp4"]
    assert laid_out(names) == laid_out(reversed(names))


def test_names_that_differ_in_case_only_never_share_a_folder(here: Path) -> None:
    folders = [folder.casefold() for folder in laid_out(["A.mp4", "a.mp4"]).values()]
    assert len(set(folders)) == 2


HOSTILE = [
    "..mp4",
    "...mp4",
    "....mp4",
    "-r.mp4",
    "new\nline.mp4",
    "bell\x07.mp4",
    "\u202egpj.mp4",
    "n" * 251 + ".mp4",
    "byte\udcff.mp4",
    " .mp4",
    "~.mp4",
    "a\\b.mp4",
]


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_a_hostile_name_stays_inside_the_output_folder(here: Path, name: str) -> None:
    (job,) = find_jobs([str(Path("../../etc") / name)], Path("out")).jobs
    job.folder.mkdir(parents=True)
    inside = job.folder.resolve().relative_to((here / "out").resolve())
    assert len(inside.parts) == 1
    assert "\n" not in str(job.folder)


def test_an_absolute_path_does_not_replace_the_output_folder(here: Path) -> None:
    touch("in/a.mp4")
    assert laid_out([str(here / "in" / "a.mp4")]) == {str(here / "in" / "a.mp4"): "out/a"}


components = st.text(st.sampled_from("aAb.~\n"), min_size=1, max_size=3).filter(
    lambda name: name not in (".", "..")
)
paths = st.lists(components, min_size=1, max_size=3).map(lambda parts: "/".join(parts) + ".mp4")


@settings(max_examples=150, deadline=None)
@given(st.lists(paths, min_size=1, max_size=8, unique=True))
def test_no_two_inputs_ever_share_a_folder(names: list[str]) -> None:
    jobs = find_jobs(names, Path("out")).jobs
    assert len({str(job.folder).casefold() for job in jobs}) == len(jobs) == len(names)
    for job in jobs:
        assert ".." not in job.folder.parts
        assert job.folder != Path("out")


def test_a_list_is_read_by_lines_or_by_nul(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("list").write_bytes(b"a.mp4\n\nb c.mp4\r\n\xff.mp4\n")
    assert read_list("list") == ["a.mp4", "b c.mp4", os.fsdecode(b"\xff.mp4")]
    Path("nul").write_bytes(b"a\nb.mp4\0c.mp4\0")
    assert read_list("nul") == ["a\nb.mp4", "c.mp4"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"x.mp4\n")))
    assert read_list("-") == ["x.mp4"]


def test_a_missing_list_is_a_usage_error(here: Path) -> None:
    with pytest.raises(UsageError, match="--from-file nowhere"):
        read_list("nowhere")
