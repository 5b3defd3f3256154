"""The application behind the live page (ASGI): the page, its WebSocket, its state, and keeping."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

from staa_cli.errors import StaaError
from staa_cli.live.server.access import Access
from staa_cli.live.server.viewers import Audience, Viewer
from staa_cli.paths import as_text, textual

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Reply = tuple[HTTPStatus, str, bytes]
Keep = Callable[[float], Path]

LONGEST_MESSAGE = 1 << 14
"""Bytes of a message from a viewer."""
_HELLO_S = 10.0
"""Time that a viewer has for its first message."""
_REFUSED, _FULL, _OVER = 1008, 1013, 1001
"""Codes of WebSocket for why it was closed."""
_KEEP_PAUSE_S = 2.0
"""Shortest time from keeping to keeping."""
_TEXT, _JSON = "text/plain; charset=utf-8", "application/json"
_HEADERS = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "content-security-policy": "frame-ancestors 'none'",  # adds to the page's own policy
}


class App:
    """Answers requests; one that is not for this host, or not from its page, learns nothing.

    Args:
        access: who may do what.
        audience: those who watch.
        page: HTML; it says nothing about the stream, as it is sent without a token.
        state: what `/state.json` says.
        keep: keeps the last seconds, and returns where; None if that is not offered.
        disconnect: ends the connection of a scope at once.
    """

    def __init__(
        self,
        access: Access,
        audience: Audience,
        page: str,
        state: Callable[[], dict[str, Any]],
        keep: Keep | None,
        disconnect: Callable[[Message], None],
    ) -> None:
        self._access, self._audience, self._page = access, audience, page
        self._state, self._keep, self._disconnect = state, keep, disconnect
        self._keeping, self._kept_s = False, -_KEEP_PAUSE_S

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request, or talk with one viewer."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in _of(scope)}
        if scope["type"] == "websocket":
            await receive()
            if scope["path"] != "/ws" or self._problem(headers, from_page=True):
                await send({"type": "websocket.close"})
                return
            await send({"type": "websocket.accept"})
            await self._talk(scope, receive, send)
        elif scope["type"] == "http":
            status, kind, body = await self._answer(scope, headers, receive)
            sent = {**_HEADERS, "content-type": kind, "content-length": str(len(body))}
            pairs = [(name.encode(), value.encode()) for name, value in sent.items()]
            start = {"type": "http.response.start", "status": int(status), "headers": pairs}
            await send(start)
            await send({"type": "http.response.body", "body": body})

    def _problem(self, headers: dict[str, str], *, from_page: bool) -> str:
        """Why a request is refused; empty if it is not."""
        host = headers.get("host", "")
        if not self._access.knows_host(host):
            return "this server does not answer to that host"
        if from_page and not self._access.is_own(headers.get("origin", ""), host):
            return "only the page itself may do that"
        return ""

    async def _answer(self, scope: Message, headers: dict[str, str], receive: Receive) -> Reply:
        asks = {"/": "GET", "/state.json": "GET"} | ({"/keep": "POST"} if self._keep else {})
        path, method = scope["path"], scope["method"]
        if problem := self._problem(headers, from_page=method == "POST"):
            return _plain(HTTPStatus.FORBIDDEN, problem)
        if path not in asks:
            return _plain(HTTPStatus.NOT_FOUND)
        if method != asks[path] and (method, asks[path]) != ("HEAD", "GET"):
            return _plain(HTTPStatus.METHOD_NOT_ALLOWED)
        if path == "/":
            return HTTPStatus.OK, "text/html; charset=utf-8", self._page.encode()
        kind, _, token = headers.get("authorization", "").partition(" ")
        if not self._access.admits(token if kind == "Bearer" else None):
            return _plain(HTTPStatus.UNAUTHORIZED)
        if path == "/state.json":
            return _json(HTTPStatus.OK, self._state())
        return await self._keep_seconds(await _body(receive))

    async def _keep_seconds(self, body: bytes | None) -> Reply:
        """Keep the seconds that a request asks for."""
        wanted = None if body is None else _parsed(body).get("seconds")
        if isinstance(wanted, bool) or not isinstance(wanted, int | float) or not 0 < wanted < 1e5:
            return _json(HTTPStatus.BAD_REQUEST, {"error": "give the number of seconds to keep"})
        if self._keeping or time.monotonic() - self._kept_s < _KEEP_PAUSE_S:
            return _json(HTTPStatus.TOO_MANY_REQUESTS, {"error": "too often: try again soon"})
        assert self._keep is not None, "without it there is no such path"
        self._keeping = True
        try:
            folder = await asyncio.to_thread(self._keep, float(wanted))
        except StaaError as error:
            return _json(HTTPStatus.CONFLICT, {"error": error.cause, "hint": error.hint})
        except OSError as error:
            return _json(HTTPStatus.CONFLICT, {"error": as_text(str(error))})
        finally:
            self._keeping, self._kept_s = False, time.monotonic()
        return _json(HTTPStatus.OK, {"folder": as_text(str(folder))})

    async def _talk(self, scope: Message, receive: Receive, send: Send) -> None:
        """Let a viewer in that has the token, and serve it until one side ends."""
        try:
            async with asyncio.timeout(_HELLO_S):
                hello = _parsed((await receive()).get("text"))
        except TimeoutError:
            hello = {}
        token = hello.get("token")
        if not hello or not self._access.admits(token if isinstance(token, str) else None):
            await send({"type": "websocket.close", "code": _REFUSED, "reason": "token"})
            return
        viewer = self._audience.join("h264" if hello.get("h264") is True else "jpeg")
        if viewer is None:
            await send({"type": "websocket.close", "code": _FULL, "reason": "too many viewers"})
            return
        tasks = [
            asyncio.create_task(viewer.send(lambda message: _put(send, message))),
            asyncio.create_task(self._listen(viewer, receive)),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._audience.leave(viewer)
            for task in tasks:
                task.cancel()
            sent, _ = await asyncio.gather(*tasks, return_exceptions=True)
        if isinstance(sent, TimeoutError):
            self._audience.stuck += 1
            self._disconnect(scope)
        elif sent is None:
            await send({"type": "websocket.close", "code": _OVER, "reason": "the stream ended"})

    async def _listen(self, viewer: Viewer, receive: Receive) -> None:
        """Read what a viewer says until it leaves."""
        while (message := await receive())["type"] == "websocket.receive":
            said = _parsed(message.get("text"))
            ping = said.get("ping")
            if isinstance(ping, int | float) and math.isfinite(ping):
                viewer.tell({"kind": "pong", "ping": ping, "server_ms": 1000 * time.time()})
            if "watching" in said:
                self._audience.watch(viewer, said["watching"] is True)
            if "shown" in said:
                self._audience.report(viewer, said["shown"])


async def _put(send: Send, message: str | bytes) -> None:
    kind = "text" if isinstance(message, str) else "bytes"
    await send({"type": "websocket.send", kind: message})


async def _body(receive: Receive) -> bytes | None:
    """The body of a request; None if it is long."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > LONGEST_MESSAGE:
            return None
    return body


def _parsed(text: str | bytes | None) -> dict[str, Any]:
    """An object of JSON; empty if it is something else."""
    try:
        value = json.loads(text or "")
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _of(scope: Message) -> list[tuple[bytes, bytes]]:
    return list(scope.get("headers", []))


def _plain(status: HTTPStatus, text: str = "") -> Reply:
    return status, _TEXT, f"{text or status.phrase}\n".encode()


def _json(status: HTTPStatus, value: Any) -> Reply:
    return status, _JSON, json.dumps(textual(value), allow_nan=False).encode()
