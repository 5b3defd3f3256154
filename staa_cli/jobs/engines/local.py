"""The engine of this process: several videos at once, in threads that share one model.

Decoding, passes, drawing, and encoding of different videos overlap, so that no core waits.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Generator, Iterable, Sized
from time import monotonic
from typing import TYPE_CHECKING

from staa_cli.cores import cores
from staa_cli.jobs.engines.hosted import HostedWorker, Message, Result, WorkerOptions
from staa_cli.jobs.engines.spread import Lost, spread
from staa_cli.jobs.inputs import Job
from staa_cli.jobs.outcome import Event, OnEvent, Opening, Outcome
from staa_cli.jobs.resources import Resources
from staa_cli.jobs.run import Request

if TYPE_CHECKING:
    from staa_cli.models.catalog.hub import Announce

_AT_ONCE, _ON_GPU = 2, 6
"""Videos at once. On a CPU, a third one would only need memory."""
_AHEAD = 16
"""Videos that may have begun before an outcome is given out."""
_SOON_S = 0.3
"""Time within which an interrupted thread usually has something to say, and notices."""


def run_local(
    jobs: Iterable[Job],
    request: Request,
    on_event: OnEvent = lambda event: None,
    announce: Announce = lambda line: None,
    *,
    at_once: int | None = None,
) -> Generator[Outcome]:
    """See `Engine`. Outcomes come in the order of the jobs.

    Videos on which another process works come last, when that has finished or is gone.

    Args:
        jobs: as for each engine.
        request: as for each engine.
        on_event: as for each engine.
        announce: as for each engine.
        at_once: number of videos that are processed at once; None chooses it.
    """
    count = at_once or min(_AT_ONCE, request.settings.threads or cores())
    if isinstance(jobs, Sized):
        count = max(1, min(count, len(jobs)))
    resources = Resources(request, count)
    places = [_Thread(request, resources) for _ in range(count)]

    def tell(event: Event) -> None:
        on_event(event)
        if isinstance(event, Opening):
            for place in places:
                place.told.set()
        elif at_once is None and len(places) > 1 and resources.is_on_gpu:
            places.extend(_Thread(request, resources) for _ in range(_ON_GPU - len(places)))

    return spread(jobs, places, tell, announce, ahead=_AHEAD)


class _Thread:
    """A `Place`: the thread that waits for it."""

    def __init__(self, request: Request, resources: Resources) -> None:
        options = WorkerOptions(request, 0, self._before_opening)
        self._worker = HostedWorker(options, self._send, resources)
        self._changing = threading.Lock()
        self._idle = threading.Event()
        self._idle.set()
        self._running: int | None = None
        """Identifier of the thread."""
        self._interrupted = False
        self.told = threading.Event()
        """Set when the caller knows that the model is going to be opened."""

    def open(self, on_message: Callable[[Message], None]) -> None:
        pass

    def run(self, job: Job, on_message: Callable[[Message], None]) -> Result:
        self._on_message = on_message
        with self._changing:
            if self._interrupted:
                raise Lost("interrupted")
            self._running = threading.get_ident()
            self._idle.clear()
        try:
            return self._worker.run(job)
        except KeyboardInterrupt:
            if not self._interrupted:
                raise
            raise Lost("interrupted") from None
        finally:
            with self._changing:
                self._running = None
            self._idle.set()

    def interrupt(self) -> None:
        self._interrupted = True
        self.told.set()

    def close(self, deadline: float) -> None:
        if self._idle.wait(_SOON_S):
            return
        with self._changing:
            if self._running is not None:
                # It says nothing, as it opens a model, or is in a long pass. Not at once: a thread
                # that is just starting could receive this instead of the one that starts it.
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    ctypes.c_ulong(self._running), ctypes.py_object(KeyboardInterrupt)
                )
        self._idle.wait(max(0.0, deadline - monotonic()))

    def _before_opening(self, threads: int) -> None:
        self._send(Opening())
        self.told.wait()

    def _send(self, message: Message) -> None:
        if self._interrupted:
            raise KeyboardInterrupt
        self._on_message(message)
