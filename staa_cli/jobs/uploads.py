"""Result folders in object stores.

Results are written to a temporary folder here and uploaded when they are complete. There, as in a
local folder, the marker file lists what belongs to staa while files are replaced, and the report is
the last one, so that it shows that the result is complete.

The temporary folder starts as a likeness of the remote one: with its report and its marker, and a
byte in place of every other file. So all that is known about result folders, such as whether one is
finished, or holds a file that is not from staa, is found out as for any other.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from staa_cli.errors import OutputError
from staa_cli.files import COMPARISON, MARK, REPORT, output_errors, sha256_of
from staa_cli.jobs.copies import source_of
from staa_cli.jobs.inputs import Job
from staa_cli.remote.folders import RemoteFolder
from staa_cli.results.folder import mark_text

_DOCUMENTS = (REPORT, COMPARISON, MARK)


@contextmanager
def likeness(job: Job) -> Iterator[None]:
    """A context in which the folder of a job is a likeness of its destination, if it has one.

    Raises:
        OutputError: the destination cannot be read, or the temporary folder cannot be written.
    """
    if job.destination is None:
        yield
        return
    try:
        remote = RemoteFolder(job.destination)
        with output_errors(job.folder):
            for name, size in remote.sizes().items():
                job.folder.mkdir(parents=True, exist_ok=True)
                content = remote.read(name) if name in _DOCUMENTS else b"\0"[:size]
                (job.folder / name).write_bytes(content)
        yield
    finally:
        shutil.rmtree(job.folder, ignore_errors=True)


@contextmanager
def uploading(job: Job, names: Sequence[str]) -> Iterator[None]:
    """A context after which the files of a job are uploaded, if it has a destination.

    The marker is uploaded first, which also finds out early whether the store can be written. It
    is removed, or as it was before, if nothing else has been uploaded.

    Args:
        job: whose folder is a `likeness`.
        names: of the files that are written, the report last.

    Raises:
        OutputError: a file cannot be uploaded; the next run replaces those that were.
    """
    if job.destination is None:
        yield
        return
    remote = RemoteFolder(job.destination)
    before = {path.name for path in job.folder.iterdir()} if job.folder.is_dir() else set()
    earlier = (job.folder / MARK).read_bytes() if MARK in before else None
    uploaded: list[str] = []
    mark = job.folder.with_name(f"{job.folder.name}{MARK}")
    try:
        source = replace(source_of(job), sha256=sha256_of(job.source))
        _upload_mark(remote, mark, mark_text(names, source).encode())
        yield
        for name in names:
            uploaded.append(name)
            remote.upload(job.folder / name, name)
        for name in (*sorted(before - {path.name for path in job.folder.iterdir()}), MARK):
            remote.remove(name)
    except BaseException:
        if not uploaded:
            with suppress(OutputError, OSError):  # in favor of the original error
                if earlier is None:
                    remote.remove(MARK)
                else:
                    _upload_mark(remote, mark, earlier)
        raise
    finally:
        mark.unlink(missing_ok=True)


def _upload_mark(remote: RemoteFolder, file: Path, content: bytes) -> None:
    with output_errors(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    remote.upload(file, MARK)


def destinations(job: Job, names: Sequence[str]) -> tuple[Path | str, ...]:
    """Where the files of a job are in the end: paths, or URLs."""
    if job.destination is None:
        return tuple(job.folder / name for name in names)
    return tuple(job.destination.below(name).shown for name in names)
