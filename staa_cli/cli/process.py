"""What belongs to the process, and so to the command alone: never to a function of the package."""

from __future__ import annotations

import os
import sys

_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1
"""What `mallopt` of glibc calls them."""
_SET_BY_USER = ("GLIBC_TUNABLES", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_")


def use_threads(count: int | None) -> None:
    """Have torch compute in so many threads; None leaves its own choice, one a core."""
    if count is not None:
        import torch

        torch.set_num_threads(count)


def keep_freed_memory() -> None:
    """Have memory that one layer frees serve the next, unless somebody has set how it is freed.

    By itself glibc gives what a tensor frees back to the system, and fetching it again, page by
    page and emptied, is a fifth of the time of a small model's pass. Memory of up to 256 MB is kept
    so; tensors above 32 MB, the most that can be set, still come and go by themselves. The peak
    stays what it was. Elsewhere than on glibc, nothing is changed.
    """
    if sys.platform != "linux" or any(name in os.environ for name in _SET_BY_USER):
        return
    import ctypes

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, 1 << 25)
        mallopt(_TRIM_THRESHOLD, 1 << 28)
