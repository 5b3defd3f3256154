"""Where the live page is served, and to whom.

By default only this machine reaches it. Anything else needs a token, and any request must name a
host that cannot be the trick of another page (DNS rebinding), and come from the page itself.
"""

from __future__ import annotations

import errno
import hmac
import ipaddress
import os
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

from staa_cli.errors import UnavailableError, UsageError

VARIABLE = "STAA_STREAM_TOKEN"
_SHORTEST_TOKEN = 16
_WAITING_CONNECTIONS = 64
_SEND_BUFFER = 1 << 18
"""Bytes that the system holds for a viewer: a buffer of seconds would be a delay of seconds."""


def given_token(file: Path | None, environ: Mapping[str, str] = os.environ) -> str | None:
    """The token of a file, or else of the environment; None if there is none.

    Raises:
        UsageError: it cannot be read, or is too easy to guess.
    """
    if file is None:
        token, where = environ.get(VARIABLE, ""), VARIABLE
        if not token:
            return None
    else:
        try:
            token, where = file.read_text(encoding="utf-8").strip(), "--token-file"
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"--token-file: cannot read {file}: {_words(error)}") from error
    if len(token) < _SHORTEST_TOKEN or not all("!" <= sign <= "~" for sign in token):
        raise UsageError(
            f"{where}: a token has at least {_SHORTEST_TOKEN} letters, digits, or signs, without "
            "blanks",
            "python -c 'import secrets; print(secrets.token_urlsafe())' makes one",
        )
    return token


@dataclass(frozen=True, slots=True)
class Place:
    """An address to listen at, `[HOST:]PORT`; port 0 is any free one."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Place:
        """The place that a text names.

        Raises:
            UsageError: it names none.
        """
        host, _, port = text.rpartition(":")
        is_bracketed = host.startswith("[") and host.endswith("]")
        host = host[1:-1] if is_bracketed else host
        digits = port.isascii() and port.isdecimal() and len(port) <= 5
        if not digits or int(port) > 65535 or (":" in host and not is_bracketed):
            raise UsageError(
                f"--serve: expected PORT or HOST:PORT, not {text!r}",
                "8000 serves this machine only, 0.0.0.0:8000 all that reach it",
            )
        return cls(host or "127.0.0.1", int(port))


class Access:
    """A socket that listens, and who may use what is behind it.

    Args:
        place: where to listen.
        token: that viewers must have; where others than this machine can reach the place, one is
            made if none is given.

    Raises:
        UsageError: no such host on this machine.
        UnavailableError: the port is in use, or not permitted.
    """

    def __init__(self, place: Place, token: str | None = None) -> None:
        self.socket = _listen(place)
        address, self.port = self.socket.getsockname()[:2]
        self._ip = ipaddress.ip_address(address.partition("%")[0])
        self._given = place.host.lower()
        if token is None and not self._ip.is_loopback:
            token = secrets.token_urlsafe()
        self.token = token

    @property
    def url(self) -> str:
        """The page's address, with the token in its fragment, which browsers send to nobody."""
        host = _own_address(self._ip.version) if self._ip.is_unspecified else self._given
        host = f"[{host}]" if ":" in host else host
        fragment = f"#token={quote(self.token, safe='')}" if self.token else ""
        return f"http://{host}:{self.port}/{fragment}"

    def knows_host(self, host: str) -> bool:
        """Whether the `Host` of a request is a name of this server that others cannot claim."""
        parts = _split(host)
        if parts is None:
            return False
        name, port = parts
        if self._ip.is_loopback:
            known = name in ("localhost", "127.0.0.1", "::1", str(self._ip), self._given)
            return known and port == self.port
        return name in ("localhost", self._given) or _is_ip(name)

    def is_own(self, origin: str, host: str) -> bool:
        """Whether a request with that `Origin` and `Host` comes from a page of this server."""
        try:
            parts = urlsplit(origin)
        except ValueError:
            return False
        return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower()

    def admits(self, token: str | None) -> bool:
        """Whether somebody with that token may see the stream."""
        if self.token is None:
            return True
        return hmac.compare_digest((token or "").encode("utf-8", "replace"), self.token.encode())

    def close(self) -> None:
        """Stop listening."""
        self.socket.close()


def _listen(place: Place) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            place.host, place.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        raise UsageError(f"--serve: no such host: {place.host!r}") from error
    listener = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":  # elsewhere it would allow two servers at one port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        listener.bind(address)
        listener.listen(_WAITING_CONNECTIONS)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRNOTAVAIL:
            raise UsageError(f"--serve: {place.host} is no address of this machine") from error
        if error.errno == errno.EADDRINUSE:
            raise UnavailableError(
                f"--serve: port {place.port} is in use", "give another port, or 0 for any free one"
            ) from error
        raise UnavailableError(f"--serve: port {place.port}: {_words(error)}") from error
    return listener


def _split(host: str) -> tuple[str, int] | None:
    """Name and port of a `Host` header; None if it is none."""
    try:
        parts = urlsplit(f"//{host}")
        name, port = parts.hostname, parts.port
    except ValueError:
        return None
    if not name or parts.netloc != host or "@" in host:
        return None
    return name, 80 if port is None else port


def _is_ip(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _own_address(version: int) -> str:
    """An address of this machine that others may reach; nothing is sent to find it."""
    family, far = (socket.AF_INET, "192.0.2.1") if version == 4 else (socket.AF_INET6, "2001:db8::")
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((far, 9))
            return str(probe.getsockname()[0])
    except OSError:
        return "127.0.0.1" if version == 4 else "::1"


def _words(error: OSError | UnicodeDecodeError) -> str:
    return (getattr(error, "strerror", None) or "not text").lower()
