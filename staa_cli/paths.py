r"""Names of files as text: a name is bytes to Linux, and some bytes are no UTF-8.

Python carries such a byte as a lone surrogate, which no text file, picture, or strict reader of
JSON takes. So there is one rule for every place that tells a name:

- As text, for people and in data, a byte that is no UTF-8 is written `\xff`.
- In data the text has a twin then, `path_bytes` beside `path`: the name itself, in base64. Where
  there is no twin, the text is the name. `path_from` makes the very path of them again.
- On standard output the byte goes out as it is, where that has the encoding of file names: what is
  piped into another program must name the file.
"""

from __future__ import annotations

import base64
import codecs
import os
import re
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

_LONE = re.compile("[\ud800-\udfff]")
_CARRIED = "surrogateescape"

STDOUT_ERRORS = "staa.stdout"
"""Name of what standard output does with a character that its encoding does not have."""


def as_text(name: str | Path) -> str:
    r"""A name as valid Unicode: bytes that are no UTF-8 as `\xff`, everything else as it is."""
    text = str(name)
    with suppress(UnicodeEncodeError):  # surrogates that carry no bytes
        # Where the locale knows ASCII only, every other byte came in by itself.
        text = text.encode("utf-8", _CARRIED).decode("utf-8", _CARRIED)
    return _LONE.sub(lambda found: escaped(found[0]), text)


def escaped(character: str) -> str:
    r"""A character as an escape in ASCII; one that carries a byte as that byte, `\xff`."""
    byte = ord(character) - 0xDC00
    if 0x80 <= byte <= 0xFF:
        return f"\\x{byte:02x}"
    return character.encode("unicode_escape").decode()


def path_fields(path: str | Path, name: str = "path") -> dict[str, str]:
    """What data says of a path: `{name: text}`, and `{name}_bytes` where that is not all of it."""
    text, data = as_text(path), _bytes(path)
    if text.encode() == data:
        return {name: text}
    return {name: text, f"{name}_bytes": base64.b64encode(data).decode()}


def path_from(fields: Mapping[str, Any], name: str = "path") -> Path:
    """The path that `path_fields` was told, such as the `video` of a report has it."""
    twin = fields.get(f"{name}_bytes")
    data = base64.b64decode(twin) if twin is not None else fields[name].encode()
    return Path(os.fsdecode(data))


def textual(value: Any) -> Any:
    """Plain data in, the same with every text in it as `as_text` has it out."""
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
    except UnicodeEncodeError:  # a surrogate that carries no byte: no file can have that name
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
