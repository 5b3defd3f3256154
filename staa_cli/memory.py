"""Memory use of the process, and errors when it runs out."""

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
    """Peak resident memory of the process; not on Windows."""
    status = Path("/proc/self/status")
    if status.is_file():
        # On Linux, ru_maxrss includes the peak of the parent process before exec.
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(lines["VmHWM"].split()[0]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def free_memory_bytes() -> int | None:
    """Memory available without swapping, None on systems other than Linux."""
    meminfo = Path("/proc/meminfo")
    if not meminfo.is_file():
        return None
    lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
    return int(lines["MemAvailable"].split()[0]) * 1024 if "MemAvailable" in lines else None


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out, on any device."""
    message = str(error).lower()  # not all devices raise torch.OutOfMemoryError
    matches = any(phrase in message for phrase in _PHRASES)
    enomem = getattr(error, "errno", None) == errno.ENOMEM
    return matches or enomem or isinstance(error, MemoryError)


_PHRASES = (
    *("out of memory", "allocate memory", "not enough memory", "alloc_failed"),
    "failed to map segment",  # the dynamic linker, loading a library
)


def let_go(error: BaseException) -> None:
    """Free the memory that a failed computation still holds.

    A traceback keeps references to its frames, and these to their tensors. The traceback can still
    be printed afterwards, without the values of local variables.
    """
    chain = [error]
    for link in chain:
        traceback.clear_frames(link.__traceback__)
        earlier = (link.__cause__, link.__context__)
        chain += [e for e in earlier if e is not None and e not in chain]
    if "torch" not in sys.modules or not any(map(ran_out_of_memory, chain)):
        return
    import torch

    gc.collect()
    torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()


@contextmanager
def memory_for(what: str, device: object) -> Iterator[None]:
    """Convert an out-of-memory error in the block to one that names what does not fit.

    Raises:
        UnavailableError: memory ran out.
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
