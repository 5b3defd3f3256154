"""Videos at URLs from end to end: a bucket in memory, a web server on this machine, real videos."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from remote_files import Bucket, Page, WebServer
from small_videos import wandering_square

from staa_cli.errors import ExitCode

FAST = ("--no-annotated", "--no-html")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STAA_THREADS", "1")
    monkeypatch.setenv("STAA_MODEL", "test_timesformer")
    monkeypatch.setenv("STAA_CACHE_DIR", "cache")


@pytest.fixture
def clip(tmp_path: Path) -> bytes:
    return Path(wandering_square("made.mkv")).read_bytes()


def report(folder: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(Path(folder, "report.json").read_text())
    return content


def test_a_url_is_explained_like_a_file(
    run: Callable[..., Any], bucket: dict[str, bytes], clip: bytes
) -> None:
    bucket["films/walk.mkv"] = clip
    Path("walk.mkv").write_bytes(clip)
    local = run("explain", "walk.mkv", "-o", "local", "--reproducible", "--view", "contour")
    done = run("explain", "s3://films/walk.mkv", "-o", "out", "--reproducible", "--view", "contour")
    assert (local.code, done.code) == (ExitCode.OK, ExitCode.OK)
    announced, first, *_ = done.err.splitlines()
    assert announced == f"downloading s3://films/walk.mkv ({len(clip) / 1e3:,.0f} kB)"
    assert first.startswith("s3://films/walk.mkv: ")
    assert done.out.replace("out/", "local/") == local.out
    ours, theirs = report("out/walk"), report("local/walk")
    assert ours["video"].pop("path") == "s3://films/walk.mkv"
    theirs["video"].pop("path")
    assert ours == theirs
    video = Path("out/walk/annotated.mp4").read_bytes()
    assert video == Path("local/walk/annotated.mp4").read_bytes()


def test_a_second_run_downloads_and_explains_nothing(
    run: Callable[..., Any], bucket: dict[str, bytes], clip: bytes
) -> None:
    bucket["films/walk.mkv"] = clip
    line = ("explain", "s3://films/walk.mkv", *FAST)
    first, again = run(*line), run(*line)
    offline = run(*line, "--offline")
    for later in (again, offline):
        assert later.code == ExitCode.OK
        assert later.out == first.out
        assert "skipped, already finished" in later.err
        assert "downloading" not in later.err
    assert len(Bucket.opened) == 1


def test_a_changed_video_is_explained_again_in_the_same_folder(
    run: Callable[..., Any], bucket: dict[str, bytes], clip: bytes
) -> None:
    bucket["films/walk.mkv"] = clip
    run("explain", "s3://films/walk.mkv", *FAST)
    before = report("staa-out/walk")["video"]["sha256"]
    bucket["films/walk.mkv"] = Path(wandering_square("other.mkv", 20)).read_bytes()
    done = run("explain", "s3://films/walk.mkv", *FAST)
    assert done.code == ExitCode.OK
    assert report("staa-out/walk")["video"]["sha256"] != before


def test_a_folder_keeps_the_result_of_its_video(
    run: Callable[..., Any], bucket: dict[str, bytes], clip: bytes
) -> None:
    bucket["films/walk.mkv"] = clip
    bucket["others/walk.mkv"] = Path(wandering_square("other.mkv", 20)).read_bytes()
    run("explain", "s3://films/walk.mkv", *FAST)
    done = run("explain", "s3://others/walk.mkv", *FAST)
    assert done.code == ExitCode.INPUT_FAILED
    assert "holds the results of another video, s3://films/walk.mkv" in done.err
    assert run("explain", "s3://others/walk.mkv", *FAST, "--force").code == ExitCode.OK


def test_only_drawing_anew_needs_no_model(
    run: Callable[..., Any], bucket: dict[str, bytes], clip: bytes
) -> None:
    bucket["films/walk.mkv"] = clip
    line = ("explain", "s3://films/walk.mkv", "--no-html")
    run(*line)
    done = run(*line, "--view", "contour", "--storyboard")
    assert "drawn from the stored maps" in done.err
    assert report("staa-out/walk")["video"]["path"] == "s3://films/walk.mkv"
    drawn = run("render", "staa-out/walk", "--view", "map")
    assert drawn.code == ExitCode.OK
    assert report("staa-out/walk")["video"]["path"] == "s3://films/walk.mkv"
    for copy in Path("cache").rglob("walk.mkv"):
        copy.unlink()
    missing = run("render", "staa-out/walk", "--view", "heat")
    assert missing.code == ExitCode.INPUT_FAILED
    assert "its video is missing: s3://films/walk.mkv" in missing.err


def test_bad_urls_fail_alone_and_say_so_in_one_line(
    run: Callable[..., Any], web: WebServer, bucket: dict[str, bytes], clip: bytes
) -> None:
    bucket["films/good.mkv"] = clip
    web.pages["/page.mkv"] = Page(b"<html>", {"Content-Type": "text/html"})
    web.pages["/secret.mkv?token=cafe"] = Page(status=403)
    web.pages["/cut.mkv"] = Page(clip, cut=50)
    web.pages["/else.mkv"] = Page(redirects_to="http://localhost:9/")
    web.pages["/broken.mkv"] = Page(b"no video")
    bucket["films/large.mkv"] = bytes(3_000_000)
    host = web.url.replace("http://", "http://me:word@")
    urls = {
        "rtsp://me:word@camera/1": "is a URL, but staa reads only files",
        f"{host}/missing.mkv": "no such file there",
        f"{host}/page.mkv": "a web page, not a video",
        f"{host}/secret.mkv?token=cafe": "access denied (403)",
        f"{host}/cut.mkv": "the download broke off",
        f"{host}/else.mkv": "the server redirects to http://localhost:9",
        f"{host}/broken.mkv": "broken.mkv: ",
        "http://127.0.0.1:9/a b.mkv?x=1": "cannot be reached",
        "s3://films/none.mkv": "no such file there",
        "s3://films/large.mkv": "larger than the limit for downloads of 2 MB",
    }
    done = run("explain", *urls, "s3://films/good.mkv", *FAST, "--max-download", "0.002")
    assert done.code == ExitCode.INPUT_FAILED
    assert done.out.splitlines() == [
        *("staa-out/good/maps.npz", "staa-out/good/report.json"),
        "staa-out/index.json",
    ]
    overview = json.loads(Path("staa-out/index.json").read_text())
    failed = {failed["input"]["path"] for failed in overview["failed_inputs"]}
    assert "s3://films/none.mkv" in failed
    assert {f"{web.url}/missing.mkv", f"{web.url}/secret.mkv"} <= failed
    assert len(failed) == len(urls)
    errors = [line for line in done.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 2 * len(urls)  # once more at the end
    assert done.err.count("hint: ") >= len(urls)
    for url, cause in urls.items():
        shown = url.replace("me:word@", "").replace("?token=cafe", "").replace(" ", "%20")
        assert any(line.startswith(f"error: {shown}") and cause in line for line in errors), url
    assert not any(secret in done.err for secret in ("me:word", "cafe", "Traceback"))
    verbose = run("explain", *urls, *FAST, "-vv", "--json")
    assert verbose.code == ExitCode.INPUT_FAILED
    assert not any(secret in verbose.err + verbose.out for secret in ("me:word", "cafe"))


def test_credentials_are_written_nowhere(
    run: Callable[..., Any], web: WebServer, clip: bytes
) -> None:
    web.pages["/walk.mkv?X-Amz-Signature=cafe"] = Page(clip, {"ETag": '"1"'})
    url = web.url.replace("http://", "http://me:word@") + "/walk.mkv?X-Amz-Signature=cafe"
    done = run("explain", url, "--csv", "--json", "-vv")
    assert done.code == ExitCode.OK
    assert json.loads(done.out)["video"]["path"] == f"{web.url}/walk.mkv"
    for path in (*Path("staa-out").rglob("*"), *Path("cache").rglob("*")):
        assert "word" not in str(path)
        assert "cafe" not in str(path)
        if path.is_file():
            content = path.read_bytes()
            assert b"me:word" not in content
            assert b"=cafe" not in content
    assert "me:word" not in done.err
    assert "=cafe" not in done.err
    page = Path("staa-out/walk/report.html").read_text()
    assert f"{web.url}/walk.mkv" in page
    assert "cache/downloads" not in page


def test_offline_refuses_what_is_not_cached(
    run: Callable[..., Any], bucket: dict[str, bytes], clip: bytes
) -> None:
    Path("local.mkv").write_bytes(clip)
    done = run("explain", "s3://films/walk.mkv", "local.mkv", "--offline", *FAST)
    assert done.code == ExitCode.INPUT_FAILED
    assert "error: s3://films/walk.mkv: not in the cache" in done.err
    assert "staa-out/local/report.json" in done.out
    assert Bucket.opened == []


def test_a_dry_run_says_what_it_would_download(
    run: Callable[..., Any],
    bucket: dict[str, bytes],
    clip: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    bucket["films/walk.mkv"] = clip
    bucket["films/big.mkv"] = bytes(3_000_000)
    done = run("explain", "s3://films/", "--dry-run")
    assert done.code == ExitCode.OK
    assert "s3://films/big.mkv (to be downloaded, 3 MB) -> staa-out/big" in done.out
    assert "in all" not in done.err  # how long it takes is not known
    rows = run("explain", "s3://films/", "--dry-run", "--json").out.splitlines()
    assert [json.loads(row)["download_bytes"] for row in rows] == [3_000_000, len(clip)]
    assert Bucket.opened == []
    assert not Path("cache").exists()
    run("explain", "s3://films/walk.mkv", *FAST)
    planned = run("explain", "s3://films/walk.mkv", "--dry-run", "--json", *FAST)
    assert json.loads(planned.out)["status"] == "skip"


def test_a_missing_package_is_one_line_and_exit_5(
    run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "adlfs", None)
    done = run("explain", "az://films/walk.mkv")
    assert done.code == ExitCode.UNAVAILABLE
    assert done.err.splitlines() == [
        "error: az:// URLs need the package adlfs",
        'hint: install it with: pip install "staa[remote]"',
    ]


def test_a_comparison_names_the_url(
    run: Callable[..., Any], bucket: dict[str, bytes], clip: bytes
) -> None:
    bucket["films/walk.mkv"] = clip
    line = ("compare", "--methods", "staa,rollout", "--no-faithfulness", "--no-annotated")
    done = run(*line, "s3://films/walk.mkv", "--json")
    assert done.code == ExitCode.OK
    assert json.loads(done.out)["video"]["path"] == "s3://films/walk.mkv"
    assert Path("staa-out/walk/compare.json").is_file()
    missing = run(*line, "s3://films/none.mkv")
    assert missing.code == ExitCode.INPUT_FAILED
    assert "error: s3://films/none.mkv: no such file there" in missing.err


def test_what_needs_no_url_imports_no_file_system(clip: bytes) -> None:
    """torch imports fsspec by itself, so only what needs no torch is looked at."""
    code = (
        "import sys; from staa_cli.cli import app; "
        "code = app.run(['explain', 'made.mkv', 'none/', '--help']); "
        "import staa_cli.jobs.inputs as i; from pathlib import Path; "
        "i.find_jobs(['made.mkv'], Path('out')); "
        "assert not {'fsspec', 'aiohttp', 's3fs'} & set(sys.modules); sys.exit(code)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
