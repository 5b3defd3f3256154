"""Where a stream comes from: a camera, a URL, a pipe, or a file, as the user names it."""

from __future__ import annotations

import re
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from staa_cli.errors import UsageError
from staa_cli.paths import as_text
from staa_cli.registry import did_you_mean
from staa_cli.remote.addresses import without_credentials
from staa_cli.video.container import check_file

DEVICES = ("v4l2", "avfoundation", "dshow", "x11grab", "gdigrab", "lavfi")
"""Formats of FFmpeg that read cameras, screens, and test pictures; their names are passed on."""
PROTOCOLS = ("rtsp", "rtsps", "rtmp", "http", "https", "udp", "tcp", "rtp")
"""Of URLs."""
_WITH_PORT = ("udp", "tcp", "rtp")
"""Protocols without a usual port."""
STDIN = "-"

Kind = Literal["file", "growing", "pipe", "network", "device"]

_URL = re.compile(r"([A-Za-z][\w+.-]*)://.*", re.DOTALL)
_DEVICE = re.compile(r"([a-z0-9]+):(.+)", re.DOTALL)
_HINT = (
    "give a file, - for stdin, a camera such as v4l2:/dev/video0, or a URL that starts with "
    f"{'://, '.join(PROTOCOLS[:-1])}://, or {PROTOCOLS[-1]}://"
)
_IN_PATH = re.compile(r"(pass|pwd|user|usr|login|token|auth|key|secret)\w*=", re.I)
"""In the path of a URL, as cheap cameras have it: credentials."""


@dataclass(frozen=True, slots=True)
class StreamAddress:
    """Where a stream comes from.

    Args:
        kind: what it is.
        name: as FFmpeg, or the operating system, opens it; may contain credentials.
        shown: the same for people, without credentials.
        format: FFmpeg's name of a device's format.
    """

    kind: Kind
    name: str = field(repr=False)
    shown: str
    format: str | None = None

    @classmethod
    def parse(cls, text: str, *, follow: bool = False) -> StreamAddress:
        """The address that a text names.

        Args:
            text: a path, ``-``, ``FORMAT:DEVICE``, or a URL.
            follow: the file is still being written, and is read as it grows.

        Raises:
            UsageError: a protocol that is not supported, or `follow` with what is not a file.
            VideoError: no such file, or not a readable one.
        """
        address = cls._parse(text)
        if not follow:
            return address
        if address.kind != "file":
            raise UsageError("--follow is for a file that is still being written", "leave it out")
        return cls("growing", address.name, address.shown)

    @classmethod
    def _parse(cls, text: str) -> StreamAddress:
        if text == STDIN:
            return cls("pipe", text, "standard input")
        if text.lower().startswith("file:") and not Path(text).exists():
            raise UsageError("a file is given by its path", "leave out file:")
        if (match := _URL.fullmatch(text)) is not None:
            protocol = match[1].lower()
            if protocol not in PROTOCOLS:
                hint = did_you_mean(protocol, PROTOCOLS) or _HINT
                raise UsageError(f"staa does not read streams from {protocol}://", hint)
            rest = text.partition("://")[2]
            server = re.split("[/?#]", rest, maxsplit=1)[0].rpartition("@")[2]
            if not server.strip(":"):
                raise UsageError(f"the URL {shown_url(text)} has no server")
            if protocol in _WITH_PORT and not re.search(r":\d+$", server):
                raise UsageError(
                    f"the URL {shown_url(text)} has no port", f"{protocol}://HOST:PORT"
                )
            return cls("network", f"{protocol}://{rest}", as_text(shown_url(text)))
        match = _DEVICE.fullmatch(text)
        if match is not None and match[1] in DEVICES:
            return cls("device", match[2], as_text(text), match[1])
        path = Path(text)
        try:
            mode = path.stat().st_mode
        except (OSError, ValueError):
            mode = 0
        if stat.S_ISFIFO(mode):
            return cls("pipe", text, as_text(text))
        if stat.S_ISCHR(mode) and path.name.startswith("video"):
            return cls("device", text, as_text(text), "v4l2")
        return cls("file", str(check_file(path)), as_text(text))

    @property
    def is_local(self) -> bool:
        """Whether it is a file."""
        return self.kind in ("file", "growing")

    @property
    def waits(self) -> bool:
        """Whether the source waits for its reader, so that nothing is lost if that is slow."""
        return self.kind == "file"

    @property
    def is_generated(self) -> bool:
        """Whether FFmpeg makes its pictures, as fast as they are read."""
        return self.format == "lavfi"

    @property
    def reconnects(self) -> bool:
        """Whether it may come back after it has ended."""
        return self.kind in ("network", "device") and not self.is_generated


def shown_url(url: str) -> str:
    """A URL for people, without credentials, also where cameras and users misplace them."""
    if "@" in url:  # a password with a slash in it is no part of a host, nor of a path
        protocol, _, rest = url.partition("://")
        url = f"{protocol}://{rest.rpartition('@')[2]}"
    url = without_credentials(url)
    protocol, _, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{protocol}://{host}{slash}" if _IN_PATH.search(path.partition("?")[0]) else url
