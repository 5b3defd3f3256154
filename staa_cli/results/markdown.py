"""Markdown for the summary of a CI step: escaped text, and a file that does not grow too large."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from staa_cli.files import output_errors
from staa_cli.paths import as_text, shown

LARGEST_BYTES = 900_000
"""GitHub drops a step's whole summary above 1,024 kB."""
_CUT = "\n**Cut here: the whole summary would be larger than 900 kB.**\n"
_MARKUP = re.compile(r"([!#$&()*+.:<>@\[\\\]^_`{|}~-])")
"""All ASCII punctuation but `"%',/;=?`, which is literal within a line anyway."""


def literal(text: str) -> str:
    """Text that may contain a file name as Markdown that shows it: one line, and no markup.

    A backslash makes ASCII punctuation literal (CommonMark 0.31, section 2.4), also within cells of
    a table; those of dots and colons keep addresses from becoming links.
    """
    return _MARKUP.sub(r"\\\1", shown(as_text(text)))


def table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a table of literal texts."""
    lines = [map(literal, headers), ["---"] * len(headers), *(map(literal, row) for row in rows)]
    return [f"| {' | '.join(line)} |" for line in lines]


def append(path: Path, lines: Sequence[str]) -> bool:
    """Append lines to a file as long as it stays below `LARGEST_BYTES`, with a note if it is cut.

    Its folder is created if missing.

    Returns:
        Whether all lines are in the file.

    Raises:
        OutputError: it cannot be written.
    """
    with output_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with output_errors(path), path.open("ab") as file:
        size = file.tell()
        text, complete = within([""] * bool(size) + [*lines], LARGEST_BYTES - size)
        file.write(text.encode())
        return complete


def within(lines: Sequence[str], room: int = LARGEST_BYTES) -> tuple[str, bool]:
    """Lines as a text below `room` bytes, and whether it has all of them; a note says if not."""
    left, kept = room - len(_CUT), list[str]()
    for line in lines:
        left -= len(f"{line}\n".encode())
        if left < 0:
            break
        kept.append(f"{line}\n")
    if left >= 0:
        return "".join(kept), True
    cut = "".join(kept) + _CUT
    return (cut if len(cut.encode()) < room else ""), False
