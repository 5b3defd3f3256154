"""Settings of the whole process, which only commands may change, not functions of the package."""

from __future__ import annotations

import atexit
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

_MMAP_THRESHOLD, _TRIM_THRESHOLD, _ARENAS = -3, -1, -8
"""Parameters of `mallopt` in glibc."""
_SET_BY_USER = (
    *("GLIBC_TUNABLES", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "MALLOC_ARENA_MAX"),
)


_ABANDONED = threading.Event()


class Terminated(KeyboardInterrupt):
    """The process was asked to end.

    Args:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.exit_code = 128 + number


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """A context that signals end as Ctrl-C does: those that stop services and containers.

    Raises:
        Terminated: such a signal has come.
    """

    def end(number: int, frame: object) -> None:
        raise Terminated(number)

    names = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    numbers = [getattr(signal, name) for name in names]
    before = {number: signal.getsignal(number) for number in numbers}
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    for number in numbers:
        if before[number] is not signal.SIG_IGN:  # nohup
            signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def mute_compiling() -> None:
    """Leave out what torch says while it compiles, and what no user can act upon."""
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # there is no GPU
    warnings.filterwarnings("ignore", "Dynamo detected a call to a `functools.lru_cache`")


def abandon_threads() -> None:
    """From now on, the process ends without its threads: one is inside a library, and stays there.

    Python would end a daemon thread as soon as it comes back from a pass or a read, which C++ takes
    for a crash.
    """
    _ABANDONED.set()


def leave(code: int) -> NoReturn:
    """End the process."""
    if not _ABANDONED.is_set():
        sys.exit(code)
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def use_threads(count: int | None) -> None:
    """Set the number of torch's threads; None keeps its default, one per core."""
    if count is not None:
        import torch

        torch.set_num_threads(count)


def set_up_worker(threads: int) -> None:
    """Set up a process of a command that only runs jobs: see the functions of this module."""
    keep_freed_memory()
    use_threads(threads)


def keep_freed_memory() -> None:
    """Let glibc reuse the memory that one layer frees for the next, unless the user configured it.

    By default, glibc returns the memory of a freed tensor to the system. Fetching it again, with
    every page cleared, takes a fifth of the time of a small model's forward pass. Up to 256 MB are
    kept; tensors above 32 MB, the limit of the threshold, are still returned. Peak memory does not
    change. Two arenas are enough for threads that take turns; with one for each, as by default,
    memory grew by a tenth over 500 videos. Without glibc, this does nothing.
    """
    if sys.platform != "linux" or any(name in os.environ for name in _SET_BY_USER):
        return
    import ctypes

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, 1 << 25)
        mallopt(_TRIM_THRESHOLD, 1 << 28)
        mallopt(_ARENAS, 2)
