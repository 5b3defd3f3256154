"""Claims on result folders, so that several processes share the work on one output folder.

A claim is a file in the result folder with its owner, a process on a host, which touches it all the
time. One that has not been touched for a while, or whose process on this host is gone, is stale,
and is taken over. Ages are differences of times that the file system gives, so that the clocks of
hosts need not agree; one that is in the future is as old, as its owner would have touched it since
the clock was set back. If two processes take over at the same moment, or one that was stopped goes
on, both do the same work: results are written so that this damages nothing.
"""

from __future__ import annotations

import atexit
import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

from staa_cli.files import output_errors

CLAIM = ".staa-claim"
TOUCHED_S, STALE_S = 10.0, 60.0
"""Interval at which a claim is touched, and age without a touch from which it is stale."""

_made: set[Path] = set()
"""Folders that were missing: the last thread with a claim below them removes them if empty."""
_held: dict[Path, str] = {}
"""Claims of this process, with their content. Each is listed before it is created, and until it is
removed, so that none stays behind whatever interrupts a thread, or ends it with the process."""


class Claimed(Exception):
    """Another process works on the result folder."""


@contextmanager
def claim(folder: Path) -> Iterator[None]:
    """A context in which no other process claims a result folder.

    The folder is created if missing; if it is empty at the end, what was created is removed.

    Raises:
        Claimed: another process has a claim on it that is not stale.
        OutputError: the folder cannot be written.
    """
    path, done = folder / CLAIM, threading.Event()
    _made.update(each for each in (folder, *folder.parents) if not each.exists())
    owner = json.dumps({"host": socket.gethostname(), "pid": os.getpid()}) + "\n"
    if _held.setdefault(path, owner) is not owner:  # another thread
        raise Claimed
    heart = threading.Thread(target=_touch, args=(path, done), name="claim", daemon=True)
    try:
        with output_errors(folder):
            if not _created(path, owner):
                if not _is_stale(path):
                    raise Claimed
                path.unlink(missing_ok=True)
                if not _created(path, owner):  # another process was faster
                    raise Claimed
        heart.start()
        yield
    except Claimed:  # what is there is not of this process, even if it looks like it
        _held.pop(path, None)
        raise
    finally:
        done.set()
        if heart.ident is not None:
            heart.join()
        _release(path)


def _created(path: Path, owner: str) -> bool:
    """Whether the claim did not exist, and is now this process's."""
    for is_last in (False, False, True):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as file:
                file.write(owner)
        except FileExistsError:
            return False
        except FileNotFoundError:  # whoever had created a parent has just removed it
            if is_last:
                raise
        else:
            break
    return True


def _release(path: Path) -> None:
    """Remove a claim if it is this process's, also a half-written one, and empty folders."""
    with suppress(OSError):  # somebody removed it
        content = path.read_text(encoding="utf-8", errors="replace")
        if path in _held and _held[path].startswith(content):
            path.unlink()
    with suppress(OSError):  # the folder is not empty
        for each in path.parents:
            if each in _made:
                each.rmdir()
    _made.discard(path.parent)
    _held.pop(path, None)


@atexit.register
def _release_all() -> None:
    """Remove what threads leave that end with the process, in the middle of their work."""
    for path in list(_held):
        _release(path)


def _touch(path: Path, done: threading.Event) -> None:
    while not done.wait(TOUCHED_S):
        with suppress(OSError):
            os.utime(path)


def _is_stale(path: Path) -> bool:
    try:
        touched = path.stat().st_mtime
        owner = json.loads(path.read_text(encoding="utf-8"))
        host, process = str(owner["host"]), int(owner["pid"])
    except FileNotFoundError:
        return True  # released just now
    except (ValueError, LookupError, TypeError):
        host, process = "", 0  # it is being written, or was left behind half-written
    if host == socket.gethostname() and not _is_running(process):
        return True
    with NamedTemporaryFile(dir=path.parent, prefix=CLAIM) as now:
        return abs(Path(now.name).stat().st_mtime - touched) > STALE_S


def _is_running(process: int) -> bool:
    if os.name != "posix":  # elsewhere a signal ends the process, also this one
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # of another user
        return True
    return True
