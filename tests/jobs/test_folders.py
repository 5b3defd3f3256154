"""Folders of results: told by a video and the argument that named it, whatever else there is."""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from staa_cli.errors import UsageError
from staa_cli.jobs.folders import ResultFolders
from staa_cli.jobs.inputs import Job, Shard, find_jobs

OUT = Path("out")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def touch(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()


def laid_out(
    *arguments: str, listed: Sequence[str] = (), root: str | None = None
) -> dict[str, str]:
    below = None if root is None else Path(root)
    jobs = find_jobs(arguments, OUT, recursive=True, listed=listed, root=below)
    assert not any(job.problem for job in jobs)
    return {str(job.source): job.folder.relative_to(OUT).as_posix() for job in jobs}


def test_a_file_gives_its_name_and_a_folder_its_tree(here: Path) -> None:
    touch("in/a.mp4", "in/x/b.tar.mp4", "in/x/y/c.mp4")
    assert laid_out("in/x/y/c.mp4", "in/x/b.tar.mp4") == {
        "in/x/y/c.mp4": "c", "in/x/b.tar.mp4": "b.tar",
    }  # fmt: skip
    tree = {"in/a.mp4": "a", "in/x/b.tar.mp4": "x/b.tar", "in/x/y/c.mp4": "x/y/c"}
    assert laid_out("in") == laid_out("./in/") == tree
    for same in ("in/x/../../in/.", str(here / "in")):
        assert list(laid_out(same).values()) == list(tree.values())
    assert laid_out("in/x") == {"in/x/b.tar.mp4": "b.tar", "in/x/y/c.mp4": "y/c"}
    assert laid_out("in/x/*.mp4", "in/**/c.mp4") == {"in/x/b.tar.mp4": "b.tar", "in/x/y/c.mp4": "c"}


def test_a_list_mirrors_the_paths_below_its_root(here: Path) -> None:
    touch("in/a.mp4", "in/x/b.mp4", "c.mp4")
    listed = ["in/a.mp4", "in/x/b.mp4", "c.mp4", str(here / "in" / "a.mp4")]
    mirrored = {"in/a.mp4": "in/a", "in/x/b.mp4": "in/x/b", "c.mp4": "c"}
    assert laid_out(listed=listed) == mirrored
    assert laid_out(listed=["in", "c.mp4"]) == mirrored
    below = laid_out(listed=["in/a.mp4", "in/x"], root="in")
    assert below == laid_out(listed=["in/a.mp4", "in/x"], root=str(here / "in"))
    assert below == {"in/a.mp4": "a", "in/x/b.mp4": "x/b"}


def test_what_lies_outside_of_the_root_is_mirrored_from_the_file_system_s(here: Path) -> None:
    touch("in/a.mp4", "b.mp4")
    outside = here.relative_to(here.anchor).as_posix()
    assert laid_out(listed=["b.mp4", "in/../in/a.mp4"], root="in") == {
        "b.mp4": f"{outside}/b", "in/../in/a.mp4": "a",
    }  # fmt: skip


def test_an_ending_stays_where_it_tells_two_videos_apart(here: Path) -> None:
    touch("x/a.mp4", "x/a.avi", "x/b.mp4", "x/b.srt", "x/.b.mov", "y/a.mp4")
    folder = {"x/a.avi": "a.avi", "x/a.mp4": "a.mp4", "x/b.mp4": "b"}
    assert laid_out("x") == folder
    for video, name in folder.items():
        assert laid_out(video) == {video: name}
    assert laid_out("y") == {"y/a.mp4": "a"}
    touch("x/a.mp4.mkv")  # without its ending it is the whole name of another one
    assert laid_out("x") == {**folder, "x/a.mp4.mkv": "a.mp4.mkv"}


def test_a_listing_is_seen_to_have_changed(here: Path) -> None:
    touch("a.mp4")
    folders = ResultFolders()
    assert folders.name(Path("a.mp4"), Path()) == Path("a")
    touch("a.avi")
    os.utime(here, ns=(1, 1))  # clocks of file systems may stand still for some milliseconds
    assert folders.name(Path("a.mp4"), Path()) == Path("a.mp4")


def test_a_link_is_a_name_of_its_own(here: Path) -> None:
    touch("in/a.mp4")
    Path("in/b.mp4").symlink_to("a.mp4")
    Path("other").symlink_to("in")
    assert laid_out("in") == {"in/a.mp4": "a", "in/b.mp4": "b"}
    assert laid_out(listed=["other/b.mp4"]) == {"other/b.mp4": "other/b"}


def test_names_that_some_file_systems_hold_to_be_one_are_marked(here: Path) -> None:
    names = ["x/A.mp4", "x/a.mp4", "x/\u00e9.mp4", "x/e\u0301.mp4", "D/a.mp4", "d/a.mp4"]
    touch(*names)
    if len(os.listdir("x")) < 4:  # noqa: PTH208
        pytest.skip("this file system holds them to be one")
    folders = laid_out(".")
    assert len({folder.casefold() for folder in folders.values()}) == len(names)
    assert all("~" in folder for folder in folders.values())
    for name, folder in folders.items():
        assert laid_out(listed=[name]) == {name: folder}


def test_a_byte_that_is_no_text_is_told_apart_by_the_name_alone(here: Path) -> None:
    folders = [
        next(iter(laid_out(os.fsdecode(name)).values()))
        for name in (b"a\xff.mp4", b"a\xfe.mp4", b"a\n.mp4", b"a_.mp4", b"d\xff/a.mp4")
    ]
    assert len(set(folders)) == len(folders)
    assert all(folder.isprintable() for folder in folders)
    trees = laid_out(listed=[os.fsdecode(b"d\xff/a.mp4"), os.fsdecode(b"d\xfe/a.mp4")])
    assert len(set(trees.values())) == 2


def test_two_inputs_of_one_folder_fail_but_for_the_first(here: Path) -> None:
    touch("x/a.mp4", "y/a.mp4", "y/b.mp4")
    for arguments in (["x/a.mp4", "y/a.mp4", "y/b.mp4"], ["*/*.mp4"], ["x", "y"]):
        first, second, third = find_jobs(arguments, OUT)
        assert (first.problem, third.problem) == (None, None)
        assert (str(first.source), str(second.source)) == ("x/a.mp4", "y/a.mp4")
        assert second.problem is not None
        assert "x/a.mp4" in second.problem.cause
        assert "out/a" in second.problem.cause
        assert second.problem.hint is not None
        for way in ("folder", "--root", "--output-dir"):
            assert way in second.problem.hint


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
    (job,) = find_jobs([str(Path("../../etc") / name)], Path("out"))
    job.folder.mkdir(parents=True)
    inside = job.folder.resolve().relative_to((here / "out").resolve())
    assert len(inside.parts) == 1
    assert "\n" not in str(job.folder)


components = st.text(st.sampled_from("aAb.~\n\u00e9"), min_size=1, max_size=3).filter(
    lambda name: name not in (".", "..")
)
endings = st.sampled_from([".mp4", ".avi", ".bin", ""])
paths = st.tuples(st.lists(components, min_size=1, max_size=3), endings).map(
    lambda parts: "/".join([f"{name}_" for name in parts[0][:-1]] + parts[0][-1:]) + parts[1]
)


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(names=st.lists(paths, min_size=1, max_size=8, unique=True))
def test_no_two_files_of_a_tree_ever_share_a_folder(here: Path, names: list[str]) -> None:
    with TemporaryDirectory(dir=here) as root:
        touch(*(f"{root}/{name}" for name in names))
        listed = [f"{root}/{name}" for name in names]
        jobs = find_jobs([], OUT, listed=listed, root=Path(root))
        videos = [job for job in jobs if job.source.suffix in (".mp4", ".avi")]
        folders = {str(job.folder).casefold() for job in videos}
        assert not any(job.problem for job in videos)
        assert len(folders) == len(videos)
        for job in jobs:
            (alone,) = find_jobs([], OUT, listed=[str(job.source)], root=Path(root))
            assert job.problem or alone == job
            assert ".." not in alone.folder.parts
            assert alone.folder != OUT


def test_shards_and_single_calls_find_what_one_call_over_all_has_named(here: Path) -> None:
    touch("in/a.mp4", "in/a.avi", "in/x/a.mp4", "in/x/A.mp4", "in/y/a.mp4", "in/b\n.mp4")
    listed = [str(job.source) for job in find_jobs(["in"], OUT, recursive=True)]
    hows: list[dict[str, Any]] = [
        {"arguments": ["in"]},
        {"arguments": [], "listed": listed, "root": Path("in")},
    ]
    for how in hows:
        whole = find_jobs(**how, output_dir=OUT, recursive=True)
        assert len(whole) == 6
        for count in (1, 2, 3, 4, 7):
            shards = [
                list(Shard(index, count).of(find_jobs(**how, output_dir=OUT, recursive=True)))
                for index in range(1, count + 1)
            ]
            assert [len(shard) for shard in shards] == sorted(map(len, shards), reverse=True)
            turns = itertools.zip_longest(*shards)
            assert [job for turn in turns for job in turn if job is not None] == list(whole)
        singly: list[Job] = []
        random.Random(0).shuffle(listed)
        for name in listed:
            singly += find_jobs([], OUT, listed=[name], root=Path("in"))
        assert set(singly) == set(whole)


@pytest.mark.parametrize(
    "text", ["0/3", "4/3", "1", "a/b", "1/0", "-1/3", "1/3/5", "", " 1/3", "\u0661/3"]
)
def test_what_is_no_shard_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match="--shard: expected i/n"):
        Shard.parse(text)
