"""The engine that runs jobs on a Ray cluster: actors that hold a model each, one task a video.

Videos are read and results written by the actors, on storage that all nodes have at the same paths.
What crosses the cluster are jobs, events, and outcomes, never frames.
"""

from __future__ import annotations

import ctypes
import os
import socket
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from time import monotonic
from typing import TYPE_CHECKING, Any

from staa_cli import __version__
from staa_cli.config.settings import Settings
from staa_cli.errors import UnavailableError, UsageError
from staa_cli.formatting import counted
from staa_cli.jobs.engines.hosted import (
    Announced,
    Finished,
    HostedWorker,
    Message,
    Result,
    WorkerOptions,
)
from staa_cli.jobs.engines.ray_cluster import connected, last_line
from staa_cli.jobs.engines.spread import Lost, spread
from staa_cli.jobs.inputs import Job
from staa_cli.jobs.outcome import OnEvent, Outcome
from staa_cli.jobs.run import Request

if TYPE_CHECKING:
    from staa_cli.models.catalog.hub import Announce

_THREADS = 4
"""Threads of an actor if nothing says how many: more help little, and take cores from others."""
_ROOM_S = 10.0
"""Time after which it is told that an actor waits for room."""


def run_ray(
    jobs: Iterable[Job],
    request: Request,
    on_event: OnEvent = lambda event: None,
    announce: Announce = lambda line: None,
    *,
    count: int | None,
    address: str | None,
    set_up: Callable[[int], None],
) -> Generator[Outcome]:
    """See `Engine`.

    Args:
        jobs: as for each engine.
        request: as for each engine.
        on_event: as for each engine.
        announce: as for each engine; also called with what is waited for.
        count: of actors; None for as many as the cluster has room for. Not more are started than
            there are jobs.
        address: of a cluster, as for `ray.init`; None starts one on this host.
        set_up: a function of a module, which each actor calls with its number of threads.

    Raises:
        UnavailableError: also if ray is missing, or the cluster does not answer.
        UsageError: also for a device that only one node has.
    """
    if request.settings.device.startswith("cuda:"):
        raise UsageError(
            f"--device {request.settings.device}: Ray assigns GPUs to its actors",
            "give --device cuda",
        )
    most = len(jobs) if isinstance(jobs, Sized) else None
    if most == 0:
        return
    with connected(address, announce) as ray:
        settings, shared = request.settings, address is not None
        actors = actors_for(ray.nodes(), settings, count, most, shared=shared)
        options = WorkerOptions(request, actors.threads, set_up)
        places = [_ActorPlace(ray, options, actors) for _ in range(actors.count)]
        yield from spread(jobs, places, on_event, announce)


@dataclass(frozen=True, slots=True)
class Actors:
    """How many actors, and what each of them needs."""

    count: int
    threads: int
    cpus: int
    """Cores that Ray reserves; none on a cluster of the call's own."""
    gpus: float
    """GPUs, or the share of one."""


def actors_for(
    nodes: Sequence[Mapping[str, Any]],
    settings: Settings,
    count: int | None,
    most: int | None,
    *,
    shared: bool,
) -> Actors:
    """The actors for a call.

    Args:
        nodes: as of `ray.nodes`.
        settings: of the call.
        count: wanted number of actors.
        most: number of jobs, None if not known.
        shared: whether others may use the cluster; if so, an actor gets cores and a GPU for itself.
    """
    resources = [node["Resources"] for node in nodes if node["Alive"]]
    with_gpu = [node for node in resources if node.get("GPU")]
    on_gpus = settings.device == "cuda" or (settings.device == "auto" and len(with_gpu) > 0)
    gpus = sum(node["GPU"] for node in with_gpu)
    cores = [int(node.get("CPU", 0)) for node in resources] or [0]
    if count is None:
        each = settings.threads or min(_THREADS, max(cores))
        count = int(gpus) if on_gpus else sum(node // max(1, each) for node in cores)
    count = max(1, count if most is None else min(count, most))
    if on_gpus:
        most_threads = int(min((node.get("CPU", 0) // node["GPU"] for node in with_gpu), default=1))
    else:
        # The most with which all actors have room at the same time.
        fitting = (n for n in range(max(cores), 0, -1) if sum(node // n for node in cores) >= count)
        most_threads = next(fitting, 1)
    threads = settings.threads or max(1, most_threads)
    share = 1.0 if shared else min(1.0, int(10_000 * gpus / count) / 10_000)
    return Actors(count, threads, threads if shared else 0, share if on_gpus else 0)


class _ActorPlace:
    """A `Place`: an actor somewhere in the cluster, and another one after it was lost."""

    def __init__(self, ray: Any, options: WorkerOptions, actors: Actors) -> None:
        self._ray, self._options, self._needs = ray, options, actors
        self._changing = threading.Lock()
        self._actor: Any = None
        self._node: str | None = None
        """Where the actor is; None until it is ready."""
        self._interrupted = False
        self._ending: Any = None

    def open(self, on_message: Callable[[Message], None]) -> None:
        """Wait until the cluster has room for an actor, and it is ready.

        Raises:
            UnavailableError: staa, or the current folder, is not on its node.
        """
        ready = self._started().ready.remote()
        try:
            if not self._ray.wait([ready], timeout=_ROOM_S)[0]:
                needs = counted(int(self._needs.cpus), "CPU")
                needs += f" and {self._needs.gpus:g} GPU" if self._needs.gpus else ""
                on_message(Announced(f"waiting for room on the Ray cluster: {needs}"))
            node, version, problem = self._ray.get(ready)
        except self._ray.exceptions.RayError as error:
            if self._interrupted:
                raise Lost("interrupted") from error
            raise UnavailableError(
                f"no worker starts on the Ray cluster: {last_line(error)}",
                f"staa {__version__} must be installed on all nodes",
            ) from error
        if version != __version__:
            problem = f"has staa {version}, not {__version__}"
        if problem is not None:
            raise UnavailableError(
                f"the Ray node {node} {problem}",
                "all nodes need the same version, and the current folder at the same path",
            )
        self._node = node

    def run(self, job: Job, on_message: Callable[[Message], None]) -> Result:
        if self._node is None:
            self.open(on_message)
        try:
            for reference in self._actor.run.remote(job):
                said = self._ray.get(reference)
                if isinstance(said, Finished):
                    return said.result
                on_message(said)
        except self._ray.exceptions.RayError:
            pass
        with self._changing:
            self._ray.kill(self._actor)  # if it still runs, it must not disturb its successor
            node, self._actor, self._node = self._node, None, None
        raise Lost(
            f"its Ray actor on {node} died",
            "memory may have run out, or a library crashed while it read or explained this video",
        )

    def interrupt(self) -> None:
        with self._changing:
            self._interrupted = True
            if self._node is not None:
                self._ending = self._actor.interrupt.remote()

    def close(self, deadline: float) -> None:
        with self._changing:
            if self._actor is None:
                return
            if self._ending is not None:
                with suppress(self._ray.exceptions.RayError):
                    self._ray.get(self._ending, timeout=max(0.0, deadline - monotonic()))
            self._ray.kill(self._actor)
            self._actor = None

    def _started(self) -> Any:
        with self._changing:
            if self._interrupted:
                raise Lost("interrupted")
            if self._actor is None:
                needs = {"num_cpus": self._needs.cpus, "num_gpus": self._needs.gpus}
                kind = self._ray.remote(_Actor).options(**needs, max_concurrency=2)
                self._actor = kind.remote(self._options, str(Path.cwd()))
            return self._actor


class _Actor:
    """The worker of an actor. One method runs jobs; another one may interrupt it meanwhile.

    Args:
        options: of the worker.
        folder: the current one of the call, to which paths are relative.
    """

    def __init__(self, options: WorkerOptions, folder: str) -> None:
        self._messages: SimpleQueue[Message | Finished] = SimpleQueue()
        self._worker = HostedWorker(options, self._messages.put)
        self._thread: threading.Thread | None = None
        self._problem = None
        try:
            os.chdir(folder)
        except OSError:
            self._problem = f"does not have the folder {folder}"

    def ready(self) -> tuple[str, str, str | None]:
        """The name of the node, the version of staa there, and a problem if there is one."""
        return socket.gethostname(), __version__, self._problem

    def run(self, job: Job) -> Iterator[Message | Finished]:
        """Yield messages about a job; its result is the last one."""
        self._thread = threading.Thread(target=self._run, args=(job,))
        self._thread.start()
        while not isinstance(said := self._messages.get(), Finished):
            yield said
        self._thread.join()
        yield said

    def interrupt(self) -> None:
        """Interrupt the job that is running, and return when it has removed what it wrote."""
        thread = self._thread
        if thread is not None and thread.is_alive() and thread.ident is not None:
            interrupt = ctypes.py_object(KeyboardInterrupt)
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), interrupt)
            thread.join()

    def _run(self, job: Job) -> None:
        result = None
        try:
            result = self._worker.run(job)
        except KeyboardInterrupt:
            pass
        finally:
            self._messages.put(Finished(result))
