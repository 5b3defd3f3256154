"""How much memory the process has taken, and whether it had too little."""

from __future__ import annotations

import errno
import gc
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from staa_cli.errors import UnavailableError


def peak_memory_bytes() -> int:
    """Most resident memory that the process has had so far; not on Windows."""
    status = Path("/proc/self/status")
    if status.is_file():
        # What the system counts as used is, on Linux, also what a parent had before it began this.
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(lines["VmHWM"].split()[0]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def free_memory_bytes() -> int | None:
    """Memory that new work can have without anything else giving way; only Linux tells."""
    told = Path("/proc/meminfo")
    if not told.is_file():
        return None
    lines = dict(line.split(":", 1) for line in told.read_text().splitlines())
    return int(lines["MemAvailable"].split()[0]) * 1024 if "MemAvailable" in lines else None


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on whatever device."""
    words = str(error).lower()  # torch has an error of its own for one kind of device only
    said = any(sign in words for sign in _SIGNS)
    no_room = getattr(error, "errno", None) == errno.ENOMEM
    return said or no_room or isinstance(error, MemoryError)


_SIGNS = (
    *("out of memory", "allocate memory", "not enough memory", "alloc_failed"),
    "failed to map segment",  # a library that finds no room
)


def let_go(error: BaseException) -> None:
    """Free what a computation that failed still holds, so that the next one starts clean.

    A traceback keeps every frame that it went through, and each frame its tensors. Where the error
    came from can be told afterwards as before, but not with which values.
    """
    chain = [error]
    for link in chain:
        traceback.clear_frames(link.__traceback__)
        before = (link.__cause__, link.__context__)
        chain += [e for e in before if e is not None and e not in chain]
    if "torch" not in sys.modules or not any(map(ran_out_of_memory, chain)):
        return
    import torch

    gc.collect()

    torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()


@contextmanager
def memory_for(what: str, device: object) -> Iterator[None]:
    """Inside, running out of memory becomes an error that says what does not fit.

    Raises:
        UnavailableError: it did.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not ran_out_of_memory(error):
            raise
        raise UnavailableError(
            f"{what} does not fit into the memory of {device}",
            "--precision bf16 halves the memory needed; --device cpu may have more",
        ) from error
