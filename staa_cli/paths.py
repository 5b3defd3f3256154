r"""File names as text: on Linux, a name is a byte string that may not be valid UTF-8.

Python represents an invalid byte as a lone surrogate, which cannot be written to UTF-8 text, drawn,
or parsed by strict JSON readers. All output of file names follows the same rules:

- In text, for people and in data, an invalid byte is escaped as `\xff`.
- In data, such a name has a second field: `path_bytes` next to `path`, with the bytes in base64.
  Without this field, the text is the name. `path_from` restores the path from the fields.
- Standard output receives the original byte if its encoding is that of file names, so that other
  programs can open the file.
"""

from __future__ import annotations

import base64
import codecs
import os
import re
import sys
import unicodedata
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

_SURROGATE = re.compile("[\ud800-\udfff]")
_ERRORS = "surrogateescape"

STDOUT_ERRORS = "staa.stdout"
"""Name of the codec error handler of standard output."""


def as_text(name: str | Path) -> str:
    r"""A name as valid Unicode, with invalid UTF-8 bytes escaped as `\xff`."""
    text = str(name)
    with suppress(UnicodeEncodeError):  # surrogates that do not stand for bytes
        # With an ASCII locale, the bytes of valid UTF-8 are surrogates, too.
        text = text.encode("utf-8", _ERRORS).decode("utf-8", _ERRORS)
    return _SURROGATE.sub(lambda match: escaped(match[0]), text)


def escaped(character: str) -> str:
    r"""A character as an ASCII escape; a surrogate for a byte as that byte, `\xff`."""
    byte = ord(character) - 0xDC00
    if 0x80 <= byte <= 0xFF:
        return f"\\x{byte:02x}"
    return character.encode("unicode_escape").decode()


def shown(text: str) -> str:
    """Escape control characters in text that may contain a file name, so that it stays one line."""
    return "".join(escaped(c) if unicodedata.category(c) in _HIDDEN else c for c in text)


# Controls, directions that reorder a line, lone surrogates, and the two line separators.
_HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")


def path_fields(path: str | Path, name: str = "path") -> dict[str, str]:
    """A path as data: `{name: text}`, and `{name}_bytes` if the name is not valid UTF-8."""
    text, data = as_text(path), _bytes(path)
    if text.encode() == data:
        return {name: text}
    return {name: text, f"{name}_bytes": base64.b64encode(data).decode()}


def path_from(fields: Mapping[str, Any], name: str = "path") -> Path:
    """The path from fields of `path_fields`, such as the `video` of a report."""
    encoded = fields.get(f"{name}_bytes")
    data = base64.b64decode(encoded) if encoded is not None else fields[name].encode()
    return Path(os.fsdecode(data))


def textual(value: Any) -> Any:
    """A copy of plain data with `as_text` applied to every string."""
    if isinstance(value, str):
        return as_text(value)
    if isinstance(value, Mapping):
        return {as_text(key): textual(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [textual(item) for item in value]
    return value


def _bytes(path: str | Path) -> bytes:
    try:
        return os.fsencode(path)
    except UnicodeEncodeError:  # a surrogate that does not stand for a byte
        return str(path).encode("utf-8", "surrogatepass")


def _on_stdout(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    character = error.object[error.start]
    byte = ord(character) - 0xDC00
    names = codecs.lookup(sys.getfilesystemencoding()).name
    if 0x80 <= byte <= 0xFF and codecs.lookup(error.encoding).name == names:
        return bytes([byte]), error.start + 1
    return escaped(character), error.start + 1


codecs.register_error(STDOUT_ERRORS, _on_stdout)
