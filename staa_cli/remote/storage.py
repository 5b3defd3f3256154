"""The file systems of fsspec for addresses, with errors in the terms of the user.

Only these protocols are opened, and each by its file system: chained URLs, which fsspec would
resolve, and its other protocols, such as local files or commands, cannot be reached.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from staa_cli.errors import InputError, StaaError, UnavailableError
from staa_cli.remote.addresses import WEB, Address, without_credentials

_PACKAGES = {"s3": "s3fs", "gs": "gcsfs", "az": "adlfs", "http": "aiohttp", "https": "aiohttp"}
_CONNECT_S, _SILENCE_S = 30.0, 60.0
"""Seconds until a connection counts as failed: while it is made, and without any data."""


def file_system(address: Address) -> Any:
    """The file system of an address, an `fsspec.AbstractFileSystem`.

    Raises:
        UnavailableError: a package is missing, or it cannot be set up.
    """
    try:
        return _file_system("http" if address.protocol in WEB else address.protocol)
    except (ImportError, ValueError) as error:
        raise UnavailableError(
            f"{address.protocol}:// URLs need the package {_PACKAGES[address.protocol]}",
            'install it with: pip install "staa[remote]"',
        ) from error
    except Exception as error:  # for example invalid credentials
        raise UnavailableError(
            f"{address.protocol}:// URLs are not available: {_first_line(error, address)}"
        ) from error


@functools.cache
def _file_system(protocol: str) -> Any:
    import fsspec

    if protocol != "http":
        return fsspec.filesystem(protocol)
    import aiohttp

    redirects = aiohttp.TraceConfig()
    redirects.on_request_redirect.append(_check_redirect)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=_SILENCE_S)
    return fsspec.filesystem(
        "http",
        client_kwargs={"timeout": timeout, "trace_configs": [redirects], "trust_env": True},
        headers={"Accept-Encoding": "identity"},  # so that sizes are those of the file
    )


async def _check_redirect(session: Any, context: Any, redirect: Any) -> None:
    """Follow redirects only to the same host: what was named and announced is what is opened.

    Raises:
        InputError: another host, or a connection that is no longer encrypted.
    """
    headers, here = redirect.response.headers, redirect.url
    target = here.join(type(here)(headers.get("Location") or headers.get("URI") or ""))
    if target.host != here.host or (here.scheme == "https" and target.scheme != "https"):
        place = without_credentials(str(target.origin())) if target.host else "nowhere"
        raise InputError(
            f"the server redirects to {place}",
            "if you trust it, give the URL that it redirects to",
        )


@contextmanager
def remote_errors(address: Address, broke_off: str | None = None) -> Iterator[None]:
    """Convert errors of file systems and their connections to an `InputError`.

    Args:
        address: of the file or folder.
        broke_off: what went wrong if it is nothing but the connection.
    """
    try:
        yield
    except StaaError:
        raise
    except Exception as error:  # the libraries and their errors differ by protocol and release
        failed = _understood(error, address, broke_off)
        # Their messages contain the complete URL, which a traceback would print.
        raise failed from (error if address.shown == address.url else None)


def _understood(error: Exception, address: Address, broke_off: str | None) -> StaaError:
    cause = error
    while isinstance(cause, FileNotFoundError) and isinstance(cause.__cause__, Exception):
        cause = cause.__cause__  # fsspec raises it for any failure of a web server
    status = getattr(cause, "status", None)
    if isinstance(cause, StaaError):  # from `_check_redirect`
        return cause
    if status in (401, 403) or isinstance(cause, PermissionError) or _lacks_credentials(cause):
        return InputError(
            "access denied" if status is None else f"access denied ({status})",
            "configure credentials as the provider's own tools do"
            if address.is_store
            else "the server may need a user and a password, or a signed URL",
        )
    if status in (404, 410) or isinstance(cause, FileNotFoundError):
        return InputError("no such file there", "check the spelling of the URL")
    if isinstance(status, int):
        return InputError(f"the server answers with an error ({status})", "try again later")
    if isinstance(cause, TimeoutError):
        return InputError("the server does not answer", "try again later")
    if broke_off is not None:
        return InputError(broke_off, "run the same command again")
    return InputError(
        f"cannot be reached: {_first_line(cause, address)}",
        "check the network; finished downloads can be used with --offline",
    )


def _lacks_credentials(error: Exception) -> bool:
    """Whether a provider's library found no valid credentials, by the name of its error."""
    return bool(re.search("Credential|Authentication|Forbidden", type(error).__name__))


def _first_line(error: Exception, address: Address) -> str:
    """The first line of a message, without credentials of the address."""
    line = str(error).strip().split("\n")[0] or type(error).__name__
    line = line.replace(address.url, address.shown)
    return re.sub(r"[\w+.-]+://[^\s'\")]+", lambda url: without_credentials(url[0]), line)
