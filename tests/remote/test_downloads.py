"""Copies of files at URLs: when they are downloaded, and what is refused."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest
from remote_files import Bucket, Page, WebServer

from staa_cli.errors import InputError, StaaError, UnavailableError
from staa_cli.remote.addresses import Address
from staa_cli.remote.downloads import Cache, Download
from staa_cli.remote.storage import file_system

CLIP = bytes(range(256)) * 8000  # 2 MB, in several blocks


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache", limit_bytes=3e6, announce=said.append)


said: list[str] = []


@pytest.fixture(autouse=True)
def _silence() -> None:
    said.clear()


def files_in(cache: Cache) -> list[Path]:
    return [path for path in cache.folder.rglob("*") if path.is_file()]


def refused(cache: Cache, url: str) -> StaaError:
    with pytest.raises(StaaError) as caught:
        cache.fetch(Address.parse(url))
    assert [path for path in files_in(cache) if path.suffix == ".part"] == []
    return caught.value


def test_a_file_is_downloaded_once_and_announced_first(
    bucket: dict[str, bytes], cache: Cache
) -> None:
    bucket["films/a.mp4"] = CLIP
    address = Address.parse("s3://films/a.mp4")
    steps: list[tuple[int, int]] = []
    assert isinstance(cache.find(address), Download)
    copy = cache.fetch(address, lambda *step: steps.append(step))
    assert copy.read_bytes() == CLIP
    assert copy.name == "a.mp4"
    assert said == ["downloading s3://films/a.mp4 (2 MB)"]
    assert steps[-1] == (len(CLIP), len(CLIP))
    assert len(steps) > 1
    assert cache.fetch(address) == cache.find(address) == copy
    assert len(Bucket.opened) == len(said) == 1
    assert files_in(cache) == [copy]


def test_a_changed_file_is_another_copy(bucket: dict[str, bytes], cache: Cache) -> None:
    address = Address.parse("s3://films/a.mp4")
    bucket["films/a.mp4"] = b"old"
    old = cache.fetch(address)
    bucket["films/a.mp4"] = b"new"
    new = cache.fetch(address)
    assert (old.read_bytes(), new.read_bytes()) == (b"old", b"new")


def test_offline_only_the_cache_is_used(bucket: dict[str, bytes], cache: Cache) -> None:
    offline = Cache(cache.folder, 1e9, offline=True)
    with pytest.raises(UnavailableError, match="not in the cache") as caught:
        offline.fetch(Address.parse("s3://films/a.mp4"))
    assert caught.value.hint is not None
    bucket["films/a.mp4"] = b"old"
    old = cache.fetch(Address.parse("s3://films/a.mp4"))
    os.utime(old, (1, 1))
    bucket["films/a.mp4"] = b"newer"
    cache.fetch(Address.parse("s3://films/a.mp4"))
    bucket["films/a.mp4"] = b"not seen"
    assert offline.fetch(Address.parse("s3://films/a.mp4")).read_bytes() == b"newer"


def test_what_is_too_large_is_not_downloaded(bucket: dict[str, bytes], cache: Cache) -> None:
    bucket["films/a.mp4"] = bytes(4_000_000)
    error = refused(cache, "s3://films/a.mp4")
    assert "limit for downloads of 3 MB: it has 4 MB" in error.cause
    assert "--max-download" in (error.hint or "")
    assert said == Bucket.opened == files_in(cache) == []


@pytest.mark.parametrize("broken", [FileNotFoundError("x"), PermissionError("x"), OSError("x")])
def test_a_failed_download_leaves_nothing(
    bucket: dict[str, bytes], cache: Cache, broken: Exception
) -> None:
    bucket["films/a.mp4"] = CLIP
    Bucket.broken["rb films/a.mp4"] = broken
    assert isinstance(refused(cache, "s3://films/a.mp4"), InputError)
    assert files_in(cache) == []
    Bucket.broken.clear()
    assert cache.fetch(Address.parse("s3://films/a.mp4")).read_bytes() == CLIP


def test_old_incomplete_downloads_are_removed(bucket: dict[str, bytes], cache: Cache) -> None:
    bucket["films/a.mp4"] = CLIP
    copy = cache.fetch(Address.parse("s3://films/a.mp4"))
    copy.unlink()
    old, new = (copy.with_name(f".a.mp4.{name}.part") for name in ("old", "new"))
    for part in (old, new):
        part.touch()
    day_ago = time.time() - 25 * 3600
    os.utime(old, (day_ago, day_ago))
    cache.fetch(Address.parse("s3://films/a.mp4"))
    assert (old.exists(), new.exists()) == (False, True)


def test_downloads_at_the_same_time_do_not_disturb_each_other(web: WebServer, cache: Cache) -> None:
    web.pages["/a.mp4"] = Page(CLIP, {"ETag": '"1"'})
    copies: list[bytes] = []
    address = Address.parse(f"{web.url}/a.mp4")
    threads = [
        threading.Thread(target=lambda: copies.append(cache.fetch(address).read_bytes()))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert copies == [CLIP] * 4
    assert len(files_in(cache)) == 1


WITH_RANGES = {"Accept-Ranges": "bytes", "ETag": '"1"'}


@pytest.mark.parametrize(
    "page",
    [
        Page(CLIP, WITH_RANGES),
        Page(CLIP, {"ETag": '"1"'}),
        Page(CLIP, {"Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}),
        Page(CLIP, {"ETag": '"1"'}, states_length=False),
        Page(CLIP, {"ETag": '"1"'}, answers_head=False),
    ],
)
def test_a_file_from_a_web_server_is_downloaded_once(
    web: WebServer, cache: Cache, page: Page
) -> None:
    web.pages["/dir/a%20b.mp4"] = page
    for written in ("/dir/a%20b.mp4", "/dir/a b.mp4"):
        copy = cache.fetch(Address.parse(web.url + written))
        assert copy.read_bytes() == CLIP
        assert copy.name == "a b.mp4"
    said.clear()
    web.asked.clear()
    assert cache.fetch(Address.parse(f"{web.url}/dir/a%20b.mp4")).read_bytes() == CLIP
    assert said == []
    web.pages["/dir/a%20b.mp4"] = Page(b"other", {"ETag": '"2"'})
    assert cache.fetch(Address.parse(f"{web.url}/dir/a%20b.mp4")).read_bytes() == b"other"


def test_without_any_sign_of_its_version_a_file_is_downloaded_each_time(
    web: WebServer, cache: Cache
) -> None:
    for content in (b"one", b"two"):
        web.pages["/a.mp4"] = Page(content, states_length=False)
        assert cache.fetch(Address.parse(f"{web.url}/a.mp4")).read_bytes() == content
    assert said == [f"downloading {web.url}/a.mp4 of unknown size"] * 2


def test_an_unknown_size_is_cut_off_at_the_limit(web: WebServer, cache: Cache) -> None:
    web.pages["/a.mp4"] = Page(bytes(9_000_000), states_length=False)
    assert "it did not end before the limit" in refused(cache, f"{web.url}/a.mp4").cause
    assert files_in(cache) == []


def test_a_wrong_size_is_cut_off_at_the_limit(bucket: dict[str, bytes], cache: Cache) -> None:
    """What a server says about the size is not believed."""
    bucket["films/a.mp4"] = bytes(9_000_000)

    class Lying(Bucket):
        def info(self, path: str, **how: object) -> dict[str, object]:
            return {**super().info(path, **how), "size": 10}

    import fsspec

    from staa_cli.remote import storage

    fsspec.register_implementation("s3", Lying, clobber=True)
    storage._file_system.cache_clear()
    assert "larger than the limit" in refused(cache, "s3://films/a.mp4").cause


@pytest.mark.parametrize(
    ("page", "cause"),
    [
        (Page(status=404), "no such file there"),
        (Page(status=401), "access denied (401)"),
        (Page(status=403), "access denied (403)"),
        (Page(status=500), "the server answers with an error (500)"),
        (Page(b"<!DOCTYPE html><p>Log in", {"Content-Type": "text/html"}), "a web page"),
        (Page(b"\n <HTML><p>Log in"), "a web page"),
        (Page(CLIP, cut=100), "the download"),
        (Page(redirects_to="http://localhost:9/a.mp4"), "redirects to http://localhost:9"),
        (Page(redirects_to="http://me:word@localhost:9/?token=1"), "redirects to http://local"),
    ],
)
def test_what_a_web_server_may_answer_instead(
    web: WebServer, cache: Cache, page: Page, cause: str
) -> None:
    web.pages["/a.mp4"] = page
    error = refused(cache, f"{web.url}/a.mp4")
    assert isinstance(error, InputError)
    assert cause in error.cause
    assert error.hint
    assert "word" not in error.cause
    assert files_in(cache) == []


def test_a_redirect_on_the_same_server_is_followed(web: WebServer, cache: Cache) -> None:
    web.pages["/a.mp4"] = Page(redirects_to="/b.mp4")
    web.pages["/b.mp4"] = Page(CLIP)
    assert cache.fetch(Address.parse(f"{web.url}/a.mp4")).read_bytes() == CLIP


def test_another_server_is_not_even_asked(web: WebServer, cache: Cache) -> None:
    with WebServer().running() as other:
        other.pages["/a.mp4"] = Page(CLIP)
        there = other.url.replace("127.0.0.1", "localhost")
        web.pages["/a.mp4"] = Page(redirects_to=f"{there}/a.mp4")
        refused(cache, f"{web.url}/a.mp4")
        assert other.asked == []


def test_no_network_is_one_line_without_credentials(web: WebServer, cache: Cache) -> None:
    error = refused(cache, "http://me:word@127.0.0.1:9/a.mp4?token=cafe")
    assert error.cause.startswith("cannot be reached: ")
    assert "\n" not in error.cause
    assert not any(secret in f"{error.cause} {error.__cause__}" for secret in ("word", "cafe"))


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from staa_cli.remote import storage

    storage._file_system.cache_clear()
    for module in ("gcsfs", "adlfs", "aiohttp"):
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delitem(sys.modules, "fsspec.implementations.http", raising=False)
    for url, package in (("gs://b/a", "gcsfs"), ("az://b/a", "adlfs"), ("http://b/a", "aiohttp")):
        with pytest.raises(UnavailableError, match=f"need the package {package}") as caught:
            file_system(Address.parse(url))
        assert caught.value.hint == 'install it with: pip install "staa[remote]"'
