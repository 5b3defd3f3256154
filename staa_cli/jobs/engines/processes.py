"""The engine that runs jobs in several processes on this host, each with a model of its own.

A worker that receives SIGTERM removes what it has not finished, and ends. It receives it from this
process, or from itself when this process is gone. Ctrl-C does not reach workers.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Generator, Iterable, Sized
from contextlib import suppress
from multiprocessing import Pipe, get_context, parent_process, resource_tracker
from multiprocessing.connection import Connection, wait
from time import monotonic
from typing import TYPE_CHECKING, Any

from staa_cli.cores import cores
from staa_cli.jobs.engines.hosted import Finished, HostedWorker, Message, Result, WorkerOptions
from staa_cli.jobs.engines.spread import Lost, spread
from staa_cli.jobs.inputs import Job
from staa_cli.jobs.outcome import OnEvent, Outcome
from staa_cli.jobs.run import Request

if TYPE_CHECKING:
    from staa_cli.models.catalog.hub import Announce

_ENDING_S = 10.0
"""Time that a worker has to end when it has closed its connection, or nobody is there anymore."""


def run_processes(
    jobs: Iterable[Job],
    request: Request,
    on_event: OnEvent = lambda event: None,
    announce: Announce = lambda line: None,
    *,
    count: int,
    set_up: Callable[[int], None],
) -> Generator[Outcome]:
    """See `Engine`.

    Args:
        jobs: as for each engine.
        request: as for each engine.
        on_event: as for each engine.
        announce: as for each engine.
        count: of processes; not more are started than there are jobs.
        set_up: a function of a module, which each process calls with its number of threads.
    """
    if isinstance(jobs, Sized):
        count = max(1, min(count, len(jobs)))
    threads = request.settings.threads or max(1, cores() // count)
    options = WorkerOptions(request, threads, set_up)
    return spread(jobs, [_Process(options) for _ in range(count)], on_event, announce)


class _Process:
    """A `Place`: a process that is started for the first job, and again after it was lost."""

    def __init__(self, options: WorkerOptions) -> None:
        self._options = options
        self._changing = threading.Lock()
        self._process: Any = None
        self._connection: Connection | None = None
        self._interrupted = False

    def open(self, on_message: Callable[[Message], None]) -> None:
        pass

    def run(self, job: Job, on_message: Callable[[Message], None]) -> Result:
        process, connection = self._started()
        with suppress(EOFError, OSError):  # it has ended
            connection.send(job)
            while connection in wait([connection, process.sentinel]):
                said = connection.recv()
                if isinstance(said, Finished):
                    return said.result
                on_message(said)
        raise self._lost()

    def interrupt(self) -> None:
        with self._changing:
            self._interrupted = True
            if self._process is not None:
                self._process.terminate()

    def close(self, deadline: float) -> None:
        with self._changing:
            if self._process is None:
                return
            self._process.join(max(0.0, deadline - monotonic()))
            if self._process.is_alive():
                self._process.kill()
                self._process.join()

    def _started(self) -> tuple[Any, Connection]:
        with self._changing:
            if self._interrupted:
                raise Lost("interrupted")
            if self._process is None or self._connection is None:
                self._connection, theirs = Pipe()
                process = get_context("spawn").Process(
                    target=_serve, args=(theirs, self._options), daemon=True
                )
                _start_without_interrupts(process)
                theirs.close()  # so that its end is noticed
                self._process = process
            return self._process, self._connection

    def _lost(self) -> Lost:
        with self._changing:
            # Waited for: until then, its claim on a result folder would not be stale.
            self._process.join(_ENDING_S)
            if self._process.is_alive():
                self._process.kill()
                self._process.join()
            code: int = self._process.exitcode
            self._process = None
        if code >= 0:
            return Lost(f"its process ended with exit code {code}")
        name = signal.Signals(-code).name
        hints = {
            "SIGKILL": "memory may have run out: fewer --jobs, or --batch-size 1, need less",
            "SIGTERM": None,
        }
        crashed = "a library crashed while it read or explained this video"
        return Lost(f"its process was ended by {name}", hints.get(name, crashed))


def _start_without_interrupts(process: Any) -> None:
    """Start a process that never receives SIGINT, which a terminal sends to all of a group.

    It inherits the signals that are blocked in this thread, which is not the main one: Python
    handles signals only there.
    """
    if hasattr(signal, "pthread_sigmask"):
        resource_tracker.ensure_running()  # starting it would unblock the signal
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    process.start()


def _serve(connection: Connection, options: WorkerOptions) -> None:
    """Run the jobs that are received, until there are no more."""
    signal.signal(signal.SIGTERM, _interrupt)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sending = threading.Lock()

    def send(message: Any) -> None:
        with sending:
            connection.send(message)

    worker = HostedWorker(options, send)
    with suppress(KeyboardInterrupt, EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            send(Finished(worker.run(connection.recv())))


def _interrupt(number: int, frame: Any) -> None:
    signal.signal(number, signal.SIG_IGN)  # once: what it interrupts cleans up
    raise KeyboardInterrupt


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(_ENDING_S)
    os._exit(1)
