"""Lists of inputs: from a file, or from standard input as names arrive."""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from staa_cli.errors import UsageError

_READ_BYTES = 1 << 16


def read_list(source: str) -> list[str]:
    """The paths in a file, one per line or NUL-separated.

    Names keep leading and trailing blanks; blank lines are skipped, and lines may end in CRLF.
    Names are bytes, as in file systems; UTF-16 and byte-order marks are supported, too.

    Raises:
        UsageError: the file cannot be read or decoded.
    """
    if not source:
        raise UsageError("--from-file: expected a file or -, not ''")
    try:
        data = _unmarked(Path(source).read_bytes())
    except OSError as error:
        raise UsageError(
            f"--from-file {source}: {(error.strerror or str(error)).lower()}"
        ) from error
    except UnicodeDecodeError as error:
        raise UsageError(
            f"--from-file {source}: its byte-order mark says {error.encoding}, but "
            f"its content is not valid {error.encoding}",
            "save the list as UTF-8",
        ) from error
    if b"\0" in data:
        return [os.fsdecode(name) for name in data.split(b"\0") if name]
    return [os.fsdecode(line) for line in map(_line, data.split(b"\n")) if line]


def stream_list(stream: BinaryIO) -> Iterator[str]:
    """Yield the paths in a stream, one per line or NUL-separated, as soon as each is complete.

    The first chunk with a separator decides which it is: NUL-separated names may contain line
    feeds. Names and lines are as in `read_list`.

    Raises:
        UsageError: it cannot be read, or is in UTF-16.
    """
    remainder, separator = b"", b""
    try:
        while chunk := getattr(stream, "read1", stream.read)(_READ_BYTES):
            if not remainder and not separator:
                _refuse_utf_16(chunk)
                chunk = chunk.removeprefix(codecs.BOM_UTF8)
            if not separator:
                separator = b"\0" if b"\0" in chunk else b"\n" if b"\n" in chunk else b""
            buffer = remainder + chunk
            *names, remainder = buffer.split(separator) if separator else (buffer,)
            yield from _names(names, separator)
    except OSError as error:
        cause = (error.strerror or str(error)).lower()
        raise UsageError(f"--from-file -: standard input cannot be read: {cause}") from error
    yield from _names([remainder], separator)


def _names(pieces: list[bytes], separator: bytes) -> Iterator[str]:
    for piece in pieces:
        # No name contains a NUL: in a list of lines, it also ends a name.
        for name in (piece,) if separator == b"\0" else map(_line, piece.split(b"\0")):
            if name:
                yield os.fsdecode(name)


def _line(line: bytes) -> bytes:
    """A line without a trailing CR; empty if blank."""
    return line.removesuffix(b"\r") if line.strip() else b""


def _refuse_utf_16(chunk: bytes) -> None:
    if b"\0" in chunk and chunk.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise UsageError(
            "--from-file -: the list is in UTF-16", "save it to a file, and use --from-file LIST"
        )


_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # begins like that of UTF-16, so it comes first
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def _unmarked(data: bytes) -> bytes:
    """Convert a list to UTF-8 without a byte-order mark.

    Raises:
        UnicodeDecodeError: the content does not match the mark.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            content = data.removeprefix(mark)
            if encoding == "utf-8":
                return content  # not decoded: names may contain invalid UTF-8
            if not content or b"\0" in content:  # otherwise a name begins with these bytes
                text = content.decode(encoding, "surrogatepass")
                return text.encode("utf-8", "surrogatepass")
    return _utf_16_without_mark(data) if b"\0" in data else data


def _utf_16_without_mark(data: bytes) -> bytes:
    """Convert data with NUL bytes from UTF-16 to UTF-8; other data is returned unchanged.

    It is UTF-16 if a two-byte ASCII character precedes a two-byte line end, or if all characters
    are ASCII: a NUL-separated list would then contain a file named by a line feed, or only names of
    one byte.
    """
    for encoding in ("utf-16-le", "utf-16-be"):
        try:
            text = data.decode(encoding, "surrogatepass")
        except UnicodeDecodeError:
            continue
        if "\0" not in text and (text.isascii() or re.search(r"[ -~\r]\n", text)):
            return text.encode("utf-8", "surrogatepass")
    return data
