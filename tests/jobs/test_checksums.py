"""Checksums of large files are remembered, and never trusted for a file that may have changed."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest
from job_runs import job, run, statuses
from small_videos import asked

from staa_cli.files import sha256_of
from staa_cli.jobs import checksums
from staa_cli.jobs.checksums import FILE, Checksums

CONTENT = bytes(range(256)) * (1 << 13)  # 2 MB
OTHER = CONTENT[1:] + b"x"


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were read as a whole; all are as if they had been written long ago."""
    files: list[Path] = []

    def noted(path: Path) -> str:
        files.append(path)
        return sha256_of(path)

    monkeypatch.setattr(checksums, "sha256_of", noted)
    monkeypatch.setattr(checksums, "_RECENT_S", -1e9)
    return files


def written(path: Path, content: bytes = CONTENT) -> Path:
    path.write_bytes(content)
    return path


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_an_unchanged_file_is_read_once(tmp_path: Path, read: list[Path]) -> None:
    video = written(tmp_path / "video")
    for _ in range(3):  # each as in a call of its own
        assert Checksums(tmp_path / "cache").of(video) == sha256(CONTENT)
    assert read == [video]
    moved = video.rename(tmp_path / "moved")  # which changes the time of the inode
    assert Checksums(tmp_path / "cache").of(moved) == sha256(CONTENT)
    assert read == [video, moved]
    assert Checksums(tmp_path / "cache", verify=True).of(moved) == sha256(CONTENT)
    assert read == [video, moved, moved]


@pytest.mark.parametrize("replaced", [True, False])
def test_other_content_of_equal_size_and_time_is_noticed(
    tmp_path: Path, read: list[Path], replaced: bool
) -> None:
    video = written(tmp_path / "video")
    known = Checksums(tmp_path / "cache")
    assert known.of(video) == sha256(CONTENT)
    before = video.stat()
    time.sleep(0.05)
    if replaced:
        written(tmp_path / "new", OTHER).replace(video)
    else:
        written(video, OTHER)
    os.utime(video, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert video.stat().st_mtime_ns == before.st_mtime_ns
    assert known.of(video) == sha256(OTHER)


def test_what_has_just_been_written_is_not_remembered(
    tmp_path: Path, read: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within the clock's resolution, another write would leave the times as they are."""
    monkeypatch.setattr(checksums, "_RECENT_S", 60.0)
    video = written(tmp_path / "video")
    for _ in range(2):
        Checksums(tmp_path / "cache").of(video)
    assert read == [video, video]


def test_small_files_are_read(tmp_path: Path, read: list[Path]) -> None:
    video = written(tmp_path / "video", b"small")
    for _ in range(2):
        assert Checksums(tmp_path / "cache").of(video) == sha256(b"small")
    assert len(read) == 2
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("broken", ["text", "folder", "a file in place of the folder"])
def test_without_a_database_files_are_read(tmp_path: Path, read: list[Path], broken: str) -> None:
    video, cache = written(tmp_path / "video"), tmp_path / "cache"
    if broken == "a file in place of the folder":
        cache.write_text("a file")
    else:
        cache.mkdir()
        if broken == "text":
            (cache / FILE).write_text("no database" * 1000)
        else:
            (cache / FILE).mkdir()
    for _ in range(3):
        assert Checksums(cache).of(video) == sha256(CONTENT)
    if broken == "text":  # it was replaced
        assert len(read) == 2
    else:
        assert len(read) == 3


def of_all(cache: Path, videos: list[Path]) -> list[str]:
    return [Checksums(cache).of(video) for video in videos]


def test_processes_share_what_they_know(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    videos = [written(tmp_path / str(n), CONTENT + bytes([n])) for n in range(12)]
    for video in videos:
        os.utime(video, (1, 1))
    monkeypatch.setattr(checksums, "_RECENT_S", -1e9)
    with multiprocessing.get_context("fork").Pool(3) as pool:
        found = pool.starmap(of_all, [(tmp_path / "cache", videos)] * 3)
    assert found == [[sha256(CONTENT + bytes([n])) for n in range(12)]] * 3

    def unread(path: Path) -> str:
        raise AssertionError(f"{path} was read")

    monkeypatch.setattr(checksums, "sha256_of", unread)
    assert of_all(tmp_path / "cache", videos) == found[0]


def test_a_finished_video_is_not_read_again_unless_asked(
    tmp_path: Path, read: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checksums, "_LARGE", 1)
    settings, video = replace(asked(), cache_dir=str(tmp_path / "cache")), job(tmp_path)
    run(video, settings)
    read.clear()
    for _ in range(2):
        assert statuses(run(video, settings)) == ["skipped"]
    assert len(read) == 1
    assert statuses(run(video, settings, verify=True)) == ["skipped"]
    assert len(read) == 2
