"""Inputs that are URLs: which videos they name, and where their results go."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from remote_files import Bucket

from staa_cli.errors import InputError, NothingMatched, UnavailableError, UsageError
from staa_cli.jobs.inputs import find_jobs


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bucket: dict[str, bytes]) -> None:
    monkeypatch.chdir(tmp_path)


def put(bucket: dict[str, bytes], *keys: str) -> None:
    for key in keys:
        bucket[key] = b"content"


def laid_out(*arguments: str, **how: Any) -> dict[str, str]:
    jobs = find_jobs(arguments, Path("out"), **how)
    return {job.title: job.folder.as_posix() for job in jobs if job.problem is None}


def problems(*arguments: str, **how: Any) -> dict[str, str]:
    jobs = find_jobs(arguments, Path("out"), **how)
    return {job.title: job.problem.cause for job in jobs if job.problem is not None}


def test_a_file_goes_to_its_name_and_is_not_looked_for() -> None:
    url = "s3://bucket/dir/walk.tar.mp4"
    assert laid_out(url) == {url: "out/walk.tar"}
    assert laid_out(url, offline=True) == {url: "out/walk.tar"}


def test_a_folder_is_mirrored_like_a_local_one(bucket: dict[str, bytes]) -> None:
    keys = (
        *("b/in/b.mp4", "b/in/a.MOV", "b/in/sub/deep/c.mkv", "b/in/notes.txt", "b/in/.hidden.mp4"),
        *("b/in/.git/a.mp4", "b/in/sub/a.avi", "b/in/sub/a.mp4", "b/inside.mp4"),
    )
    put(bucket, *keys)
    for key in keys:
        Path(key).parent.mkdir(parents=True, exist_ok=True)
        Path(key).touch()
    for recursive in (False, True):
        local = laid_out("b/in", recursive=recursive)
        expected = {f"s3://{path}": folder for path, folder in local.items()}
        assert len(expected) == (5 if recursive else 2)
        for argument in ("s3://b/in", "s3://b/in/"):
            remote = laid_out(argument, recursive=recursive)
            assert list(remote.items()) == sorted(expected.items())


def test_a_whole_bucket_is_a_folder(bucket: dict[str, bytes]) -> None:
    put(bucket, "b/a.mp4", "b/sub/c.mp4", "other/d.mp4")
    for argument in ("s3://b", "s3://b/"):
        assert laid_out(argument, recursive=True) == {
            "s3://b/a.mp4": "out/a",
            "s3://b/sub/c.mp4": "out/sub/c",
        }


def test_patterns_are_expanded_unless_a_file_has_that_very_name(bucket: dict[str, bytes]) -> None:
    put(bucket, "b/in/b.mp4", "b/in/a.mp4", "b/in/x/c.mp4", "b/clip[1].mp4", "b/clip1.mp4")
    assert list(laid_out("s3://b/in/*.mp4")) == ["s3://b/in/a.mp4", "s3://b/in/b.mp4"]
    assert laid_out("s3://b/in/**/c.mp4") == {"s3://b/in/x/c.mp4": "out/c"}
    assert list(laid_out("s3://b/clip[1].mp4")) == ["s3://b/clip[1].mp4"]
    assert problems("s3://b/in/*.mp4", "s3://b/in/*.mkv") == {"s3://b/in/*.mkv": "no video there"}


def test_results_of_staa_are_no_inputs(bucket: dict[str, bytes]) -> None:
    put(bucket, "b/a.mp4", "b/out/a/annotated.mp4", "b/out/a/report.json", "b/annotated.mp4")
    assert laid_out("s3://b", recursive=True) == {
        "s3://b/a.mp4": "out/a",
        "s3://b/annotated.mp4": "out/annotated",
    }


@pytest.mark.parametrize("key", ["../../x.mp4", "..", "a//b.mp4", "/etc/x.mp4", "a\\..\\b.mp4"])
def test_no_result_leaves_the_output_folder(bucket: dict[str, bytes], key: str) -> None:
    put(bucket, f"b/{key}", "b/other.mp4")
    url = f"s3://b/{key}"
    jobs = [
        *find_jobs(["s3://b/"], Path("out"), recursive=True),
        *find_jobs([url], Path("out"), offline=True),
        *find_jobs([], Path("out"), listed=[url]),
    ]
    assert {job.title for job in jobs} <= {url, "s3://b/other.mp4"}
    for job in jobs:
        inside = job.folder.relative_to("out")
        assert inside.parts
        assert ".." not in inside.parts
        assert "\\" not in str(inside)


def test_listed_urls_are_mirrored_below_their_bucket() -> None:
    listed = ["s3://b/x/a.mp4", "s3://b/y/a.mp4", "https://x.org:81/v%20w/a.mp4?id=1"]
    folders = list(laid_out(listed=listed).values())
    assert folders[:2] == ["out/b/x/a", "out/b/y/a"]
    assert folders[2].startswith("out/x.org_81/v w/a~")


def test_two_videos_of_one_name_are_not_mixed_up() -> None:
    assert list(problems("s3://b/x/a.mp4", "s3://b/y/a.mp4").values()) == [
        "its results would go to out/a, which is used for s3://b/x/a.mp4"
    ]
    signed = [f"https://me:word@example.org/a.mp4?token={n}" for n in (1, 2)]
    assert len(laid_out(*signed)) == 1  # both are shown as one
    assert "word" not in str(problems(*signed))


def test_a_url_that_is_named_twice_is_one_job() -> None:
    assert len(find_jobs(["s3://b/a.mp4", "S3://b/a.mp4"], Path("out"))) == 1


def test_a_url_with_a_query_has_a_folder_of_its_own() -> None:
    urls = [f"https://example.org/get?id={n}" for n in (1, 2)]
    folders = laid_out(*urls)
    assert len(set(folders.values())) == 2
    assert all(folder.startswith("out/get~") for folder in folders.values())


@pytest.mark.parametrize("argument", ["s3://b/in/", "s3://b", "s3://b/*.mp4"])
def test_nothing_is_listed_offline(bucket: dict[str, bytes], argument: str) -> None:
    put(bucket, "b/in/a.mp4")
    found = problems("s3://b/a.mp4", argument, offline=True)
    assert "cannot be listed offline" in found[argument]


def test_an_empty_folder_is_a_problem_of_its_own(bucket: dict[str, bytes]) -> None:
    put(bucket, "b/in/notes.txt", "b/in/sub/a.mp4")
    assert problems("s3://b/in/", "s3://b/x.mp4") == {"s3://b/in/": "no video there"}
    with pytest.raises(NothingMatched) as caught:
        find_jobs(["s3://b/in/"], Path("out"))
    assert "-r" in (caught.value.hint or "")


def test_a_folder_that_cannot_be_listed_is_a_problem_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*args: object, **how: object) -> None:
        raise PermissionError("denied")

    monkeypatch.setattr(Bucket, "find", refuse)
    assert problems("s3://b/in/", "s3://b/x.mp4") == {"s3://b/in/": "access denied"}
    with pytest.raises(InputError, match="s3://b/in/: access denied"):
        find_jobs(["s3://b/in/"], Path("out"))


@pytest.mark.parametrize(
    "arguments", [["rtsp://me:word@host/x"], ["file:///etc/passwd"], ["a::s3://b/x.mp4"]]
)
def test_other_protocols_are_an_error_of_the_call(arguments: Sequence[str]) -> None:
    with pytest.raises(UsageError, match="is a URL, but staa reads only files") as caught:
        find_jobs(arguments, Path("out"))
    assert "word" not in caught.value.cause
    assert len(problems(*arguments, "s3://b/x.mp4")) == 1


def test_a_missing_package_ends_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(UnavailableError, match="gcsfs"):
        find_jobs(["a.mp4", "gs://b/a.mp4"], Path("out"))
    assert laid_out("gs://b/a.mp4", offline=True) == {"gs://b/a.mp4": "out/a"}
