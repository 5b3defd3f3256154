"""Find the videos that a URL names, and the result folder of each.

A file gets the folder of its name, a folder of an object store is mirrored, as with local paths.
For a single file, its neighbors are not listed, which may take long or not be permitted: `a.mp4`
and `a.avi` have different result folders only if their folder is named.
"""

from __future__ import annotations

import glob
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import unquote

from staa_cli.errors import InputError
from staa_cli.files import COMPARISON, MARK, REPORT, WRITTEN_VIDEOS
from staa_cli.jobs.folders import listings_of, mirrored
from staa_cli.remote.addresses import Address, safe_name
from staa_cli.remote.storage import file_system, remote_errors
from staa_cli.video.folders import VIDEO_ENDINGS


class RemoteVideo(NamedTuple):
    """A video at a URL."""

    address: Address
    folder: Path
    """Of its results, relative to the output folder."""


def listed_video(address: Address) -> RemoteVideo:
    """A URL from a list: its host or bucket and its path are mirrored, as names may repeat."""
    host, *parents = address.identity.partition("?")[0].partition("://")[2].split("/")[:-1] or [""]
    if not address.is_store:
        parents = [unquote(part) for part in parents]
    host = host.replace(":", "_")  # before a port
    return RemoteVideo(address, _mirrored((host, *parents, address.name)))


def named_videos(
    address: Address, *, recursive: bool, offline: bool, skip: Address | None = None
) -> Iterator[RemoteVideo]:
    """Yield the videos that an argument names: a file, or a folder or pattern of an object store.

    Args:
        address: of the argument.
        recursive: also search subfolders.
        offline: make no request, which can only be a file.
        skip: a folder to leave out.

    Raises:
        InputError: it cannot be listed.
        UnavailableError: a package is missing.
    """
    name = address.url.rpartition("/")[2]
    has_pattern = address.is_store and glob.has_magic(address.url)
    may_be_folder = address.is_store and PurePosixPath(name).suffix.lower() not in VIDEO_ENDINGS
    must_be_folder = may_be_folder and (not name or address.url.count("/") == 2)
    if offline and (must_be_folder or has_pattern):
        raise InputError("folders and patterns cannot be listed offline", "name the files")
    if offline or not (may_be_folder or has_pattern):
        if not offline:
            file_system(address)  # without its package, every one would fail
        yield RemoteVideo(address, _mirrored((address.name,)))
        return
    files = file_system(address)
    with remote_errors(address):
        matches = [address.url]
        if has_pattern and not files.isfile(address.url):
            found = files.glob(address.url, detail=True)
            matches = [name for name, facts in sorted(found.items()) if facts["type"] == "file"]
        elif must_be_folder or files.isdir(address.url):
            matches = []
    if matches or has_pattern:
        for match in matches:
            video = Address(f"{address.protocol}://{match.rpartition('://')[2].lstrip('/')}")
            yield RemoteVideo(video, _mirrored((video.name,)))
        return
    yield from _in_folder(address, recursive, skip)


def _in_folder(folder: Address, recursive: bool, skip: Address | None) -> Iterator[RemoteVideo]:
    files = file_system(folder)
    with remote_errors(folder):
        root = files._strip_protocol(folder.url).strip("/")
        found = files.find(folder.url, maxdepth=None if recursive else 1)
        names = [name.lstrip("/") for name in found if not name.endswith("/")]
    keys = [name.removeprefix(f"{root}/") for name in names]
    left_out = "" if skip is None else skip.url.rstrip("/") + "/"
    safe = {key: tuple(map(safe_name, key.split("/"))) for key in keys}
    listings, present = listings_of(safe.values()), set(keys)
    for key in sorted(keys):
        *parents, name = key.split("/")
        address = folder.below(key)
        beside = "/".join([*parents, ""])
        is_own = name in WRITTEN_VIDEOS and any(
            beside + document in present for document in (REPORT, COMPARISON, MARK)
        )
        if (
            PurePosixPath(name).suffix.lower() in VIDEO_ENDINGS
            and not any(part.startswith(".") for part in (*parents, name))
            and not is_own
            and not (left_out and address.url.startswith(left_out))
        ):
            yield RemoteVideo(address, mirrored(safe[key], listings))


def _mirrored(parts: tuple[str, ...]) -> Path:
    """The result folder of a path whose neighbors are not known."""
    return mirrored(tuple(map(safe_name, parts)), {})
