"""Lists of inputs: a file as a whole, or standard input, name by name as the names arrive."""

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
    """A file in; its paths, one a line or NUL-separated, out.

    A name is taken as it stands, blanks included; lines of blanks alone are passed over, and lines
    may end as Windows ends them. The bytes are those of the names, as file systems have them; a
    list in UTF-16, or with a byte-order mark, is understood as well.

    Raises:
        UsageError: the file cannot be read, or breaks off in the middle of a character.
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
    """A stream in; its paths, one a line or NUL-separated, out, each as soon as it has ended.

    Which of both it is shows in the first piece that holds an end: names between NUL bytes may have
    line feeds in them. Names are bytes as file systems have them, and lines are as in `read_list`.

    Raises:
        UsageError: it cannot be read, or is in UTF-16.
    """
    rest, ends = b"", b""
    try:
        while piece := getattr(stream, "read1", stream.read)(_READ_BYTES):
            if not rest and not ends:
                _refuse_utf_16(piece)
                piece = piece.removeprefix(codecs.BOM_UTF8)
            if not ends:
                ends = b"\0" if b"\0" in piece else b"\n" if b"\n" in piece else b""
            *names, rest = (rest + piece).split(ends) if ends else (rest + piece,)
            yield from _names(names, ends)
    except OSError as error:
        cause = (error.strerror or str(error)).lower()
        raise UsageError(f"--from-file -: standard input cannot be read: {cause}") from error
    yield from _names([rest], ends)


def _names(pieces: list[bytes], ends: bytes) -> Iterator[str]:
    for piece in pieces:
        # No name holds a NUL: where lines came first, it ends a name as a line feed does.
        for name in (piece,) if ends == b"\0" else map(_line, piece.split(b"\0")):
            if name:
                yield os.fsdecode(name)


def _line(line: bytes) -> bytes:
    """A line without its end, empty where it is blank."""
    return line.removesuffix(b"\r") if line.strip() else b""


def _refuse_utf_16(piece: bytes) -> None:
    if b"\0" in piece and piece.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise UsageError(
            "--from-file -: the list is in UTF-16", "save it to a file, and use --from-file LIST"
        )


_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # begins as UTF-16's does
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def _unmarked(data: bytes) -> bytes:
    """A list as bytes in, the same with its names in UTF-8, without a byte-order mark, out.

    Raises:
        UnicodeDecodeError: it is not what its mark says.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            rest = data.removeprefix(mark)
            if encoding == "utf-8":
                return rest  # not decoded: a name in it may still be no UTF-8
            if not rest or b"\0" in rest:  # else it is a name that begins with such bytes
                text = rest.decode(encoding, "surrogatepass")
                return text.encode("utf-8", "surrogatepass")
    return _utf_16_without_mark(data) if b"\0" in data else data


def _utf_16_without_mark(data: bytes) -> bytes:
    """What holds NUL bytes in; in UTF-8 out if it is UTF-16, else as it is.

    It is where an ASCII character of two bytes stands before a line's end of two bytes, or where
    all are ASCII: a NUL-separated list would then have a file whose whole name is a line feed, or
    nothing but names of one byte.
    """
    for encoding in ("utf-16-le", "utf-16-be"):
        try:
            text = data.decode(encoding, "surrogatepass")
        except UnicodeDecodeError:
            continue
        if "\0" not in text and (text.isascii() or re.search(r"[ -~\r]\n", text)):
            return text.encode("utf-8", "surrogatepass")
    return data
