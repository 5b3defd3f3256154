"""What runs the jobs of a call, from its options."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING

from staa_cli.cli.process import set_up_worker
from staa_cli.errors import UsageError

if TYPE_CHECKING:
    from staa_cli.jobs.engines import Engine


def engine_of(at_once: int | None, name: str = "local", address: str | None = None) -> Engine:
    """The engine for a number of processes.

    Args:
        at_once: number of processes, or of actors; None for the engine's own choice.
        name: local or ray.
        address: of a Ray cluster.

    Raises:
        UsageError: an unknown name, or options that do not fit it.
    """
    if name not in ("local", "ray"):
        raise UsageError(f"--engine: expected local or ray, not {name!r}")
    if address is not None and not address.strip():
        raise UsageError("--address is empty", "give HOST:PORT, or auto")
    if name == "ray":
        from staa_cli.jobs.engines.ray_actors import run_ray

        address = address or os.environ.get("RAY_ADDRESS") or None
        if address is not None:
            _check_port(address)
        return functools.partial(run_ray, count=at_once, address=address, set_up=set_up_worker)
    if address is not None:
        raise UsageError("--address applies only to --engine ray", "add --engine ray")
    if at_once in (None, 1):
        from staa_cli.jobs.engines.local import run_local

        return run_local
    from staa_cli.jobs.engines.processes import run_processes

    return functools.partial(run_processes, count=at_once, set_up=set_up_worker)


def _check_port(address: str) -> None:
    """Check the port of an address, if it has one.

    Raises:
        UsageError: there can be no such port.
    """
    _, colon, port = address.rpartition(":")
    if colon and port.isdecimal() and not 0 < int(port[:6]) < 1 << 16:
        raise UsageError(f"--address {address}: a port is a number from 1 to {(1 << 16) - 1}")
