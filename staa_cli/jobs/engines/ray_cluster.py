"""A connection to a Ray cluster, which is quiet, and keeps to what was asked for.

Without a cluster, one is started on this host for the time of the call: it listens on the loopback
interface alone. No usage statistics are sent.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from tempfile import TemporaryDirectory
from typing import Any

from staa_cli.errors import UnavailableError

_CONNECT_S = 5.0
"""Time in which a server must accept a connection."""
_ANSWER_S = 12.0
"""Time in which the cluster must answer after that. Ray gives up after minutes."""
_OBJECTS_BYTES = 100 << 20
"""Memory of a local cluster for objects: jobs and reports."""


@contextmanager
def connected(address: str | None, announce: Callable[[str], None]) -> Iterator[Any]:
    """A context with the module `ray`, connected to a cluster.

    Args:
        address: as for `ray.init`; None starts a cluster.
        announce: called with a line before what takes some seconds.

    Raises:
        UnavailableError: ray is missing, or the cluster does not answer.
    """
    # Read when ray is imported.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # a warning about GPUs
    if address is None:
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # on loopback, on any system
    try:
        import ray
    except ImportError as error:
        raise UnavailableError(
            "--engine ray needs the package ray", "pip install 'staa[ray]'"
        ) from error
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "CRITICAL"}
    with ExitStack() as stack:
        if address is None:
            announce("starting Ray on this host")
            folder = stack.enter_context(
                TemporaryDirectory(prefix="staa-ray-", ignore_cleanup_errors=True)
            )
            stack.callback(ray.shutdown)
            # In this thread: the processes of the cluster end when the one that started them does.
            with _without_stderr(), _interrupts_held():
                _start(ray, {**quiet, "_temp_dir": folder})
        else:
            _connect(ray, address, quiet)
            stack.callback(ray.shutdown)
        # Ray prints that a worker has died to standard output, which is for results.
        ray._private.worker._worker_logs_enabled = False
        yield ray


def _start(ray: Any, options: dict[str, Any]) -> None:
    """Start a cluster on this host.

    Raises:
        UnavailableError: that fails.
    """
    try:
        ray.init("local", include_dashboard=False, object_store_memory=_OBJECTS_BYTES, **options)
    except Exception as error:  # of whatever kind
        raise UnavailableError(f"no local Ray cluster starts: {last_line(error)}") from error


def _connect(ray: Any, address: str, options: dict[str, Any]) -> None:
    """Connect to a running cluster; an address without one would be tried for minutes.

    Raises:
        UnavailableError: it does not answer.
    """
    hint = (
        "is `ray start --head` running there, and is this its address, HOST:6379? If it asks for a "
        "token, RAY_AUTH_MODE=token sends that of ~/.ray"
    )
    failed = f"--address {address}: no Ray cluster answers"
    if "://" in address:
        raise UnavailableError(
            f"--address {address}: Ray Client is not supported",
            "run the command on a node of the cluster, for example by `ray job submit`",
        )
    host, _, port = address.rpartition(":")
    if host and port.isdigit():
        try:
            socket.create_connection((host.strip("[]"), int(port)), _CONNECT_S).close()
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise UnavailableError(f"{failed}: {reason.lower()}", hint) from error
    raised: list[BaseException] = []

    def connect() -> None:
        try:
            ray.init(address, **options)
        except BaseException as error:
            raised.append(error)

    connecting = threading.Thread(target=connect, daemon=True)
    with _without_stderr():
        connecting.start()
        connecting.join(_ANSWER_S)
    if connecting.is_alive():
        raise UnavailableError(failed, hint)
    for cause in raised:
        reason = re.split(r"\.? *(?:\n|$)|\. ", str(cause).strip())[0] or type(cause).__name__
        raise UnavailableError(f"{failed}: {reason}", hint) from cause


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """A context at whose end Ctrl-C takes effect; a second one does so at once.

    A cluster that is half started cannot be shut down: Ray would crash.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield  # it does not interrupt this thread
        return
    held: list[int] = []

    def hold(number: int, frame: Any) -> None:
        held.append(number)
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, hold)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if held:
        raise KeyboardInterrupt


@contextmanager
def _without_stderr() -> Iterator[None]:
    """A context in which nothing is printed to stderr, not even by libraries in C++."""
    try:
        kept = os.dup(2)
    except OSError:  # it is closed
        yield
        return
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        os.close(nowhere)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def last_line(error: Exception) -> str:
    """The last line of an error whose text is a traceback."""
    return str(error).strip().split("\n")[-1].strip()
