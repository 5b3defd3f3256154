"""Results in an object store from end to end: what is uploaded, when, and what is left alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from remote_files import Bucket
from small_videos import wandering_square

from staa_cli.errors import ExitCode

LINE = ("explain", "-o", "s3://results/out", "--no-html", "--no-annotated")
PLACE = "results/out/walk"
MARK = f"{PLACE}/.staa-writing"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bucket: dict[str, bytes]) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STAA_THREADS", "1")
    monkeypatch.setenv("STAA_MODEL", "test_timesformer")
    monkeypatch.setenv("STAA_CACHE_DIR", "cache")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "tmp").mkdir()
    wandering_square("walk.mkv")


def report(bucket: dict[str, bytes]) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(bucket[f"{PLACE}/report.json"])
    return content


def test_the_uploaded_files_are_those_of_a_local_run(
    run: Callable[..., Any], bucket: dict[str, bytes]
) -> None:
    options = ("--no-html", "--reproducible", "--csv")
    local = run("explain", "walk.mkv", "-o", "local", *options)
    done = run("explain", "walk.mkv", "-o", "s3://results/out/", *options)
    assert done.code == ExitCode.OK
    assert done.out == local.out.replace("local/", "s3://results/out/")
    names = {path.name: path.read_bytes() for path in Path("local/walk").iterdir()}
    assert {key: bucket[key] for key in bucket} == {
        f"{PLACE}/{name}": content for name, content in names.items()
    }
    assert list(Path("tmp").iterdir()) == []
    assert not Path("staa-out").exists()


def test_the_marker_comes_first_and_the_report_last(
    run: Callable[..., Any], bucket: dict[str, bytes]
) -> None:
    run(*LINE, "walk.mkv", "--csv")
    written = [opened for opened in Bucket.opened if opened.startswith("wb")]
    assert written[0] == f"wb {MARK}"
    assert written[-1] == f"wb {PLACE}/report.json"
    assert len(written) == 4
    assert MARK not in bucket


def test_what_is_finished_there_is_skipped(
    run: Callable[..., Any], bucket: dict[str, bytes]
) -> None:
    first = run(*LINE, "walk.mkv")
    Bucket.opened.clear()
    again = run(*LINE, "walk.mkv")
    assert (again.code, again.out) == (ExitCode.OK, first.out)
    assert "skipped, already finished" in again.err
    assert not any(opened.startswith("wb") for opened in Bucket.opened)
    del bucket[f"{PLACE}/maps.npz"]
    assert "skipped" not in run(*LINE, "walk.mkv").err
    assert f"{PLACE}/maps.npz" in bucket


def test_other_settings_replace_the_result_and_its_stale_files(
    run: Callable[..., Any], bucket: dict[str, bytes]
) -> None:
    bucket[f"{PLACE}/notes.txt"] = b"mine"
    run(*LINE, "walk.mkv", "--csv")
    before = report(bucket)["fingerprint"]
    done = run(*LINE, "walk.mkv", "--class", "1")
    assert done.code == ExitCode.OK
    assert report(bucket)["fingerprint"] != before
    names = {key.rpartition("/")[2] for key in bucket}
    assert names == {"notes.txt", "maps.npz", "report.json"}


@pytest.mark.parametrize("name", ["maps.npz", "report.json"])
def test_a_failed_upload_is_a_failure_of_its_input_and_is_repeated(
    run: Callable[..., Any], bucket: dict[str, bytes], name: str
) -> None:
    Bucket.broken[f"wb {PLACE}/{name}"] = PermissionError("denied")
    wandering_square("other.mkv", 20)
    done = run(*LINE, "walk.mkv", "other.mkv")
    assert done.code == ExitCode.INPUT_FAILED
    assert f"error: walk.mkv: s3://{PLACE} cannot be written: access denied" in done.err
    assert "s3://results/out/other/report.json" in done.out
    assert MARK in bucket
    assert f"{PLACE}/report.json" not in bucket
    Bucket.broken.clear()
    again = run(*LINE, "walk.mkv", "other.mkv")
    assert again.code == ExitCode.OK
    assert again.err.count("skipped") == 2  # of one, and in the summary
    assert MARK not in bucket


def test_a_store_that_cannot_be_written_is_found_out_before_the_work(
    run: Callable[..., Any], bucket: dict[str, bytes]
) -> None:
    Bucket.broken[f"wb {MARK}"] = PermissionError("denied")
    done = run(*LINE, "walk.mkv", STAA_MODEL="none.pth")  # not even opened
    assert done.code == ExitCode.INPUT_FAILED
    assert "cannot be written: access denied" in done.err
    assert list(bucket) == []


def test_a_video_that_fails_leaves_nothing_there(
    run: Callable[..., Any], bucket: dict[str, bytes]
) -> None:
    Path("broken.mkv").write_bytes(b"no video")
    done = run(*LINE, "broken.mkv", "missing.mkv")
    assert done.code == ExitCode.INPUT_FAILED
    assert list(bucket) == []


def test_foreign_files_and_results_of_other_videos_are_left_alone(
    run: Callable[..., Any], bucket: dict[str, bytes]
) -> None:
    bucket[f"{PLACE}/maps.npz"] = b"mine"
    done = run(*LINE, "walk.mkv")
    assert done.code == ExitCode.INPUT_FAILED
    assert f"s3://{PLACE}/maps.npz is in the way and was not written by staa" in done.err
    assert bucket[f"{PLACE}/maps.npz"] == b"mine"
    del bucket[f"{PLACE}/maps.npz"]
    run(*LINE, "walk.mkv")
    Path("sub").mkdir()
    wandering_square("sub/walk.mkv", 20)
    other = run(*LINE, "sub/walk.mkv")
    assert other.code == ExitCode.INPUT_FAILED
    assert f"s3://{PLACE} holds the results of another video" in other.err
    assert run(*LINE, "sub/walk.mkv", "--force").code == ExitCode.OK


def test_from_a_bucket_into_the_same_bucket(
    run: Callable[..., Any], bucket: dict[str, bytes]
) -> None:
    bucket["results/sub/walk.mkv"] = Path("walk.mkv").read_bytes()
    line = ("explain", "s3://results", "-r", "-o", "s3://results/out", "--no-html")
    assert run(*line).code == ExitCode.OK
    assert "results/out/sub/walk/annotated.mp4" in bucket
    again = run(*line)
    assert again.code == ExitCode.OK
    assert again.out.count("report.json") == 1  # its own results are no inputs


def test_a_dry_run_reads_and_changes_nothing(
    run: Callable[..., Any], bucket: dict[str, bytes]
) -> None:
    planned = run(*LINE, "walk.mkv", "--dry-run")
    assert f"walk.mkv -> s3://{PLACE}" in planned.out
    assert list(bucket) == []
    run(*LINE, "walk.mkv")
    row = json.loads(run(*LINE, "walk.mkv", "--dry-run", "--json").out)
    assert (row["status"], row["folder"]) == ("skip", f"s3://{PLACE}")


@pytest.mark.parametrize(
    ("output", "options", "words"),
    [
        ("https://example.org/out", (), "takes no results"),
        ("file:///tmp/out", (), "staa reads only files"),
        ("s3://results/out", ("--offline",), "contradict each other"),
    ],
)
def test_other_output_urls_are_refused(
    run: Callable[..., Any], output: str, options: tuple[str, ...], words: str
) -> None:
    done = run("explain", "walk.mkv", "-o", output, *options)
    assert done.code == ExitCode.USAGE
    assert words in done.err
    assert run("compare", "walk.mkv", "-o", output).code == ExitCode.USAGE
    assert not Path("file:").exists()


@pytest.mark.parametrize("option", ["--summary-md", "--junit"])
def test_what_is_read_from_a_local_folder_is_refused(
    run: Callable[..., Any], bucket: dict[str, bytes], option: str
) -> None:
    done = run("explain", "walk.mkv", "-o", "s3://results/out", option, "there")
    assert done.code == ExitCode.USAGE
    assert "local folder" in done.err
    assert bucket == {}
