"""The terminal: messages, warnings, errors, and progress on stderr, tables as text.

Only the package `cli` uses a terminal; it passes events on to this module.
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
import textwrap
import traceback
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, TextIO

from staa_cli.errors import StaaError, UnexpectedError
from staa_cli.paths import shown as shown  # used together with what is here

if TYPE_CHECKING:
    from staa_cli.cli.progress import Progress
    from staa_cli.cli.status import Status

Color = Literal["auto", "always", "never"]


def wants_color(stream: TextIO, flag: Color, environ: Mapping[str, str]) -> bool:
    """Whether to color a stream: --color, else NO_COLOR, else FORCE_COLOR, else the terminal."""
    if flag != "auto":
        return flag == "always"
    if environ.get("NO_COLOR"):
        return False
    if environ.get("FORCE_COLOR"):
        return True
    return environ.get("TERM") != "dumb" and stream.isatty()


class Console:
    """Messages for people; by default on stderr, never on stdout.

    Args:
        verbosity: -1 errors only, 0 default, 1 details, 2 everything and tracebacks.
        color: value of `--color`.
        progress: whether to show a progress bar.
        stream: to write to; by default stderr.
        environ: environment variables that control colors.
    """

    def __init__(
        self,
        verbosity: int = 0,
        color: Color = "auto",
        *,
        progress: bool = True,
        stream: TextIO | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self.verbosity = verbosity
        self.stream = stream if stream is not None else sys.stderr
        self._color, self._environ = color, environ
        self.colored = self.colors(self.stream)
        self._live = progress and verbosity >= 0 and environ.get("TERM") != "dumb"
        self._bar: Progress | Status | None = None

    def colors(self, stream: TextIO) -> bool:
        """Whether output to a stream is colored."""
        return wants_color(stream, self._color, self._environ)

    @property
    def tracebacks(self) -> bool:
        """Whether tracebacks are requested."""
        return self.verbosity >= 2 or os.environ.get("STAA_DEBUG", "0") not in ("", "0")

    def error(self, error: StaaError, subject: str = "") -> None:
        """Print `error: subject: cause`, and the hint on a separate line."""
        prefix = f"{subject}: " if subject and not error.cause.startswith(subject) else ""
        self._line("error", prefix + error.cause, "1;31")
        if error.hint and not (self.tracebacks and isinstance(error, UnexpectedError)):
            self._line("hint", error.hint, "36")

    def trace(self, error: BaseException) -> None:
        """Print the traceback of an error if requested."""
        if self.tracebacks:
            lines = "".join(traceback.format_exception(error)).splitlines()
            self.write("\n".join(map(shown, lines)))

    def warning(self, text: str) -> None:
        """Print a warning, unless -q."""
        if self.verbosity >= 0:
            self._line("warning", text, "33")

    def message(self, text: str) -> None:
        """Print a message, unless -q."""
        if self.verbosity >= 0:
            self.write(shown(text))

    def detail(self, text: str) -> None:
        """Print a detail for -v."""
        if self.verbosity >= 1:
            self.write(shown(text))

    def fact(self, text: str) -> None:
        """Print a detail for -vv."""
        if self.verbosity >= 2:
            self.write(shown(text))

    @contextmanager
    def logs(self) -> Iterator[None]:
        """A context that prints log messages of libraries from level INFO; for -vv."""
        if self.verbosity < 2:
            yield
            return
        root, handler = logging.getLogger(), _Logs(self)
        level = root.level
        root.addHandler(handler)
        root.setLevel(logging.INFO)
        try:
            yield
        finally:
            root.removeHandler(handler)
            root.setLevel(level)

    def progress(self, total: int | None, *, at_once: bool = False) -> Progress:
        """A progress bar for `total` videos, None if unknown; without a terminal, lines.

        `at_once` says whether several videos are processed at once.
        """
        from staa_cli.cli.progress import Progress

        drawn = self._live and self.stream.isatty()
        self._bar = progress = Progress(
            total, self.stream, self.colored, drawn, self.message, at_once=at_once
        )
        return progress

    def status(self) -> Status:
        """A line that changes, for what has no end; without a terminal, a line sometimes."""
        from staa_cli.cli.status import Status

        drawn = self._live and self.stream.isatty()
        self._bar = status = Status(self.stream, self.colored, drawn, self.message)
        return status

    def write(self, text: str, stream: TextIO | None = None) -> None:
        """Write a line unchanged, by default to stderr; above a progress bar if there is one."""
        target = stream if stream is not None else self.stream
        if self._bar is not None and self._bar.drawn and target.isatty():
            self._bar.above(text, target)
            return
        target.write(text + "\n")
        target.flush()

    def _line(self, label: str, text: str, style: str) -> None:
        head = f"\x1b[{style}m{label}:\x1b[0m" if self.colored else f"{label}:"
        self.write(f"{head} {shown(text)}")


class _Logs(logging.Handler):
    """Forwards log records of libraries to a console."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record as lines."""
        for line in record.getMessage().splitlines():
            self._console.fact(f"{record.name}: {line}")


def table(
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
    width: int | None = None,
    *,
    red: Collection[tuple[int, int]] = (),
) -> str:
    """Align rows in columns under their headers; the last column is wrapped to the width.

    Args:
        headers: one per column.
        rows: with one cell per header.
        width: in characters; None does not wrap.
        red: (row, column) of cells to highlight.
    """
    lines = [[shown(cell) for cell in row] for row in (headers, *rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(headers) - 1)]
    indent = sum(widths) + 2 * len(widths)
    room = max(20, width - indent) if width is not None else sys.maxsize
    out = []
    for number, line in enumerate(lines, -1):  # the headers have number -1
        *cells, last = [
            f"\x1b[31m{cell}\x1b[0m" if (number, column) in red else cell
            for column, cell in enumerate(line)
        ]
        padded = zip(cells, line, widths, strict=False)
        head = "".join(f"{cell}{' ' * (size - len(plain) + 2)}" for cell, plain, size in padded)
        wrapped = textwrap.wrap(last, room, break_on_hyphens=False) or [""]
        out.append((head + wrapped[0]).rstrip())
        out += [" " * indent + more for more in wrapped[1:]]
    return "\n".join(out)


def side_by_side(
    first: Sequence[str], columns: Sequence[Sequence[str]], width: int | None, limit: int
) -> list[range]:
    """Group columns to fit into the width, after the first column and separated by two blanks.

    Args:
        first: cells of the column that precedes every group.
        columns: cells of the other columns.
        width: in characters; None for no limit.
        limit: maximum number of columns in a group.
    """
    groups: list[range] = []
    used = indent = max(map(len, first))
    for number, column in enumerate(columns):
        room = 2 + max(map(len, column))
        if not groups or len(groups[-1]) == limit or (width and used + room > width):
            groups.append(range(number, number))
            used = indent
        groups[-1] = range(groups[-1].start, number + 1)
        used += room
    return groups


def terminal_width(stream: TextIO, environ: Mapping[str, str] = os.environ) -> int | None:
    """Columns of the terminal of a stream; None without a terminal and without COLUMNS."""
    if not stream.isatty() and not environ.get("COLUMNS"):
        return None
    return shutil.get_terminal_size().columns
