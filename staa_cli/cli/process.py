"""Settings of the whole process, which only commands may change, not functions of the package."""

from __future__ import annotations

import os
import sys

_MMAP_THRESHOLD, _TRIM_THRESHOLD, _ARENAS = -3, -1, -8
"""Parameters of `mallopt` in glibc."""
_SET_BY_USER = (
    *("GLIBC_TUNABLES", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "MALLOC_ARENA_MAX"),
)


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
