"""How much memory the process has taken."""

from __future__ import annotations

import sys
from pathlib import Path


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
