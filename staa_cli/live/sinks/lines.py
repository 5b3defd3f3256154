"""A stream as lines of JSON: one for each window, and a summary at the end."""

from __future__ import annotations

import json
from typing import Any, TextIO

from staa_cli.live.handover import Handover
from staa_cli.live.overlay import LatestMaps
from staa_cli.live.rows import plain, window_row
from staa_cli.live.run import Drawn, Live
from staa_cli.paths import textual
from staa_cli.results.stream_rows import Row

_WAITING = 256
"""Lines that may wait for a slow reader."""


class LinesSink:
    """Writes lines in a thread of its own, so that a reader that stops does not stop the stream.

    Args:
        stream: to write to; flushed after each line.
        name: of the stream, for the summary.
        with_windows: whether each window has a line; otherwise only what is told.
    """

    def __init__(self, stream: TextIO, name: str, *, with_windows: bool = True) -> None:
        self._stream, self._name, self._written = stream, name, 0
        self.with_windows = with_windows

    def start(self, live: Live) -> None:
        """Start the thread."""
        self._live = live
        self._lines = Handover[Row](_WAITING, live.crew.stopped)
        live.crew.start(f"write {self._name}", self._write)

    def show(self, drawn: Drawn, *, wait: bool) -> None:
        """Frames have no line."""

    def explained(self, latest: LatestMaps) -> None:
        """Write a line for a window."""
        if self.with_windows:
            self.tell(window_row(latest, self._live.dropped["windows"]))

    def tell(self, row: Row) -> None:
        """Write a row after those that wait."""
        self._lines.put(row)

    def finish(self) -> None:
        """No line follows but the summary."""
        self._lines.close()

    def summary(self) -> dict[str, Any]:
        """Lines that were written, and dropped."""
        return {
            "output": self._name,
            "lines_written": self._written,
            "lines_dropped": self._lines.dropped,
        }

    def put(self, row: Row) -> None:
        """Write a line at once, from the thread that calls."""
        self._stream.write(json.dumps(textual(plain(row)), allow_nan=False) + "\n")
        self._stream.flush()

    def _write(self) -> None:
        while (row := self._lines.get()) is not None:
            self.put(row)
            self._written += 1
