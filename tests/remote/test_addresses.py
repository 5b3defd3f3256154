"""URLs: what is supported, what is shown of them, and the names of their copies."""

from __future__ import annotations

from pathlib import PurePath

import pytest

from staa_cli.errors import InputError
from staa_cli.remote.addresses import Address, is_url, safe_name, without_credentials

SIGNED = (
    "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date=20260101T000000Z&X-Amz-Signature=cafe&"
    "X-Amz-Expires=60"
)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("s3://bucket/a b.mp4", "s3://bucket/a b.mp4"),
        ("s3://bucket/what?.mp4", "s3://bucket/what?.mp4"),
        ("HTTPS://example.org/a.mp4#t=10", "https://example.org/a.mp4"),
        ("https://example.org/a b.mp4", "https://example.org/a%20b.mp4"),
        ("https://me:word@example.org:81/a.mp4", "https://example.org:81/a.mp4"),
        ("https://example.org/get?id=17&part=2", "https://example.org/get?id=17&part=2"),
        (f"https://example.org/a.mp4?{SIGNED}", "https://example.org/a.mp4"),
        ("https://example.org/a.mp4?id=1&Access_Token=cafe", "https://example.org/a.mp4"),
        ("https://x.net/a.mp4?sv=2022&se=2030&sr=b&sp=r&sig=cafe", "https://x.net/a.mp4"),
        (f"https://example.org/a.mp4?v={'c' * 41}", "https://example.org/a.mp4"),
        ("https://me@example.org?sig=1", "https://example.org"),
    ],
)
def test_what_is_shown_has_no_credentials(url: str, shown: str) -> None:
    address = Address.parse(url)
    assert address.shown == shown
    assert "cafe" not in repr(address)
    assert "word" not in repr(address)


def test_a_url_that_is_signed_again_has_the_same_identity() -> None:
    place = "https://example.org/a.mp4"
    urls = [f"{place}?id=7&{SIGNED.replace('cafe', sign)}" for sign in ("cafe", "feed")]
    assert {Address(url).identity for url in urls} == {f"{place}?id=7"}
    azure = [f"{place}?sv=1&se={end}&sp=r&sig={end}" for end in (1, 2)]
    assert {Address(url).identity for url in azure} == {place}
    others = [f"{place}?key=a", f"{place}?key=b", f"{place}?se=1", place]
    assert len({Address(url).identity for url in others}) == 4


@pytest.mark.parametrize(
    ("url", "cause"),
    [
        ("rtsp://me:word@camera/1", "rtsp://camera/1 is a URL, but staa reads only files"),
        ("http://me:word@host:99999/a.mp4", "http://host:99999 is not a URL: port out of range"),
        ("https://host:http/a.mp4?sig=x", "https://host:http is not a URL: port could not be cast"),
        ("http://[::1/a.mp4", "is not a URL: invalid ipv6 url"),
        ("file:///etc/passwd", "staa reads only files"),
        ("memory://a.mp4", "staa reads only files"),
        ("github://org:repo@/a.mp4", "staa reads only files"),
        ("simplecache::s3://bucket/a.mp4", "staa reads only files"),
        ("s3://bucket/a.mp4::file:///etc/passwd", "chains"),
        ("s3://key:word@bucket/a.mp4", "must not have credentials"),
        ("https:///a.mp4", "has no server"),
        ("s3://", "has no bucket"),
    ],
)
def test_other_urls_are_refused(url: str, cause: str) -> None:
    assert is_url(url)
    with pytest.raises(InputError, match=cause) as caught:
        Address.parse(url)
    assert "word" not in caught.value.cause


@pytest.mark.parametrize(
    "text", ["a.mp4", "c:/a.mp4", "c://a.mp4", "s3:/bucket", "x::y", "a/b://c"]
)
def test_paths_are_no_urls(text: str) -> None:
    assert not is_url(text)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("s3://bucket/dir/a b.mp4", "a b.mp4"),
        ("s3://bucket/100%25.mp4", "100%25.mp4"),  # a key, which is not encoded
        ("https://example.org/a%20b.mp4?X-Amz-Signature=1", "a b.mp4"),
        ("https://example.org/", "index"),
        ("https://example.org/caf%C3%A9.mp4", "café.mp4"),
    ],
)
def test_a_copy_has_the_name_of_the_file(url: str, name: str) -> None:
    assert Address(url).name == name


@pytest.mark.parametrize(
    "name",
    ["..", ".", "", "a/b", "..\\b.mp4", "c:b.mp4", "a\nb.mp4", "\udcff.mp4", "x" * 999 + ".mp4"],
)
def test_names_from_elsewhere_become_safe_and_stay_distinct(name: str) -> None:
    safe = safe_name(name)
    assert PurePath(safe).name == safe
    assert safe not in ("", ".", "..")
    assert not set(safe) & set('/\\:*?"<>|\n')
    assert len(safe.encode()) <= 255
    assert safe != safe_name(name + "x") != safe_name(name + "y")


def test_an_encoded_path_does_not_leave_its_folder() -> None:
    assert "/" not in Address("https://example.org/..%2F..%2Fetc%2Fpasswd").name
    assert Address("https://example.org/%2e%2e").name not in ("..", ".")


def test_queries_are_told_apart_by_name() -> None:
    names = {Address(f"https://example.org/get.mp4?id={n}").name for n in (1, 2)}
    assert len(names) == 2
    assert all(name.startswith("get~") and name.endswith(".mp4") for name in names)


def test_any_text_can_be_shown() -> None:
    for text in ("", "://", "http://[", "a@b", "x://y@", "s3://@b/c@d"):
        without_credentials(text)
    assert without_credentials("rtsp://a:b@c/d") == "rtsp://c/d"
