"""The sink behind the live page: a server in a thread, and an encoder while somebody watches."""

from __future__ import annotations

import asyncio
import base64
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from staa_cli.config.settings import RenderSettings
from staa_cli.errors import UnavailableError
from staa_cli.live.handover import Handover
from staa_cli.live.keep import Moments
from staa_cli.live.overlay import LatestMaps
from staa_cli.live.rows import plain, rounded, window_row
from staa_cli.live.run import Drawn, Live
from staa_cli.live.server.access import Access
from staa_cli.live.server.app import LONGEST_MESSAGE, App, Message
from staa_cli.live.server.page import live_page
from staa_cli.live.server.pictures import Encoders
from staa_cli.live.server.viewers import Audience
from staa_cli.paths import textual
from staa_cli.render.curve import Curve

_WAITING = 2
"""Frames that may wait to be encoded: a late picture is worth less than none."""
_STATE_S = 1.0
"""Interval at which pages are told what the stream does."""
_KEEP_S = 10.0
_SILENT_S = 5.0
"""A connection has sent its first request within this time, or twice that."""
_FAREWELL_S = 0.2
"""From the last message to the end of the server."""


def check_installed() -> None:
    """Check that the packages of the server are there.

    Raises:
        UnavailableError: they are not.
    """
    try:
        import uvicorn  # noqa: F401
        import websockets  # noqa: F401
    except ImportError as error:
        raise UnavailableError(
            f"--serve needs the package {error.name}, which is not installed",
            'pip install "staa[live]"',
        ) from error


class PageSink:
    """Serves the live page.

    Args:
        access: where, and to whom.
        settings: what the page's controls are set to at the beginning.
        keep: writes the last seconds, and returns the folder; None for a page without that button.
        keep_s: how many are kept.
    """

    def __init__(
        self,
        access: Access,
        settings: RenderSettings,
        keep: Callable[[Moments], Path] | None = None,
        keep_s: float = _KEEP_S,
    ) -> None:
        self._access = access
        self._keep, self._keep_s = keep, keep_s
        self._page = live_page(settings, keep_s if keep else None)
        self._wall_s = time.time() - time.monotonic()
        self._encoded = 0

    def start(self, live: Live) -> None:
        """Start the threads."""
        self._live, self._loop = live, asyncio.new_event_loop()
        self._audience = Audience(live.delays)
        self._frames = Handover[Drawn](_WAITING, live.crew.stopped)
        self._encoders = Encoders(self._wall_s)
        self._server = self._made_server()
        live.crew.start("serve", self._serve)
        live.crew.start("encode for viewers", self._encode)

    def show(self, drawn: Drawn, *, wait: bool) -> None:
        """Take the next frame if somebody watches; a page never waits, and is never waited for."""
        if self._audience.forms:
            self._frames.put(drawn)

    def explained(self, latest: LatestMaps) -> None:
        """Send an explanation."""
        self._call(self._audience.explain, window_message(latest))

    def finish(self) -> None:
        """The encoder ends with the frames, and then the server."""
        self._frames.close()

    def summary(self) -> dict[str, Any]:
        """Viewers, and what they got."""
        audience = self._audience
        return {
            "output": "page",
            "viewers": len(audience),
            "viewers_most": audience.most,
            "viewers_stuck": audience.stuck,
            "frames_encoded": self._encoded,
            "frames_dropped": self._frames.dropped,
            "pictures_left_out": audience.missed,
        }

    def _encode(self) -> None:
        audience, delays = self._audience, self._live.delays
        try:
            while (drawn := self._frames.get()) is not None:
                start = time.monotonic()
                if key := audience.key_wanted.is_set():
                    audience.key_wanted.clear()
                pictures = [
                    self._encoders.encode(drawn, form, key=key) for form in sorted(audience.forms)
                ]
                delays.add("encode for page", time.monotonic() - start)
                self._encoded += 1
                self._call(audience.show, pictures, 1000 * (drawn.frame.arrived_s + self._wall_s))
        finally:
            self._call(audience.end, self._state() | {"kind": "ended"})
            self._call(
                self._loop.call_later, _FAREWELL_S, setattr, self._server, "should_exit", True
            )

    def _made_server(self) -> Any:
        from uvicorn import Config, Server

        for name in ("uvicorn", "uvicorn.error"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        keep = self._kept if self._keep is not None else None
        app = App(self._access, self._audience, self._page, self._state, keep, self._disconnect)
        config = Config(
            app,
            http="h11",
            ws="websockets-sansio",
            ws_max_size=LONGEST_MESSAGE,
            ws_per_message_deflate=False,  # pictures are compressed
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            h11_max_incomplete_event_size=LONGEST_MESSAGE,
            limit_concurrency=256,
            timeout_keep_alive=5,
            timeout_graceful_shutdown=1,
        )
        return Server(config)

    def _serve(self) -> None:
        """Run the server until the stream ends."""
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._run())

    async def _run(self) -> None:
        tasks = [asyncio.create_task(work) for work in (self._tell(), self._end_silent())]
        try:
            await self._server.serve(sockets=[self._access.socket])
        finally:
            for task in tasks:
                task.cancel()

    async def _end_silent(self) -> None:
        """End connections that ask for nothing, which would keep others out."""
        silent: set[Any] = set()
        while True:
            await asyncio.sleep(_SILENT_S)
            connections = self._server.server_state.connections
            now = {each for each in connections if getattr(each, "scope", True) is None}
            for connection in now & silent:
                connection.transport.abort()
            silent = now

    async def _tell(self) -> None:
        """Tell all pages from time to time what the stream does."""
        while True:
            await asyncio.sleep(_STATE_S)
            if len(self._audience):
                self._audience.tell(self._state() | {"kind": "state"})

    def _state(self) -> dict[str, Any]:
        info = self._live.capture.info
        state: dict[str, Any] = textual(
            rounded(self._live.summary() | {"source": info.path if info else None})
        )
        return state

    def _kept(self, seconds: float) -> Path:
        """Keep the last seconds, as far as they are there."""
        assert self._keep is not None, "the page has a button"
        return self._keep(self._live.moments(min(seconds, self._keep_s)))

    def _disconnect(self, scope: Message) -> None:
        """End a connection whose other side does not read, without waiting for it."""
        for connection in list(self._server.server_state.connections):
            if getattr(connection, "scope", None) is scope and connection.transport is not None:
                connection.transport.abort()

    def _call(self, work: Any, *arguments: Any) -> None:
        """Call something in the server's thread, if that still runs."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(work, *arguments)


def window_message(latest: LatestMaps) -> dict[str, Any]:
    """A window that was explained, with its newest map and the curve of the last seconds."""
    recent, field = latest.recent, latest.field
    curve = Curve.of(recent)
    low, high = field.ends("heat")
    levels = (255 * field.levels[-1]).round().astype(np.uint8)
    more: dict[str, Any] = {
        "source": recent.video.path,
        "model": recent.model.name,
        "method": recent.attributions[0].method,
        "output": latest.explained.prediction.output,
        "completed_s": latest.explained.window.completed.time_s,
        "grid": list(levels.shape),
        "box": list(recent.maps.box),
        "ends": [low, high],
        "flat": {"space": recent.spatial.flat, "time": recent.temporal.flat},
        "curve": {
            "times_s": curve.times_s.tolist(),
            "values": curve.values.tolist(),
            "low": curve.low,
            "high": curve.high,
        },
        "notes": [{"code": one.code, "text": one.text} for one in recent.warnings],
    }
    message: dict[str, Any] = textual(plain(window_row(latest, 0)) | rounded(more))
    return message | {"levels": base64.b64encode(levels.tobytes()).decode()}
