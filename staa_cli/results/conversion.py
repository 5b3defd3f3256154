"""Typed values from plain ones, also in several threads."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")
_collecting = Lock()
_known: set[Any] = set()


def convert(
    value: Any,
    kind: type[T],
    *,
    from_attributes: bool = False,
    dec_hook: Callable[[type, Any], Any] | None = None,
) -> T:
    """`msgspec.convert`.

    Raises:
        msgspec.ValidationError: the value is not of that type.
    """
    _collect(kind)
    return msgspec.convert(value, kind, from_attributes=from_attributes, dec_hook=dec_hook)


def decode(content: bytes, kind: type[T]) -> T:
    """`msgspec.json.decode`.

    Raises:
        msgspec.DecodeError: it is not JSON.
        msgspec.ValidationError: the value is not of that type.
    """
    _collect(kind)
    return msgspec.json.decode(content, type=kind)


def _collect(kind: Any) -> None:
    """Let msgspec collect a type's fields, which it does at the first use.

    If two threads did so at once, it would crash.
    """
    with _collecting:
        if kind not in _known:
            msgspec.json.Decoder(kind)
            _known.add(kind)
