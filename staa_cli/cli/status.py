"""The status of a stream: a line on a terminal that changes, or a line from time to time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

from staa_cli.cli.progress import print_above
from staa_cli.formatting import counted

if TYPE_CHECKING:
    from rich.live import Live as Area

    from staa_cli.cli.terminal import Console
    from staa_cli.live.run import Live

_EVERY_S = 10.0
"""Interval of lines without a terminal."""


class Status:
    """A status that changes.

    Args:
        stream: to draw on.
        colored: whether to use colors.
        drawn: False prints lines.
        say: prints a line.
        clock: returns seconds.
    """

    def __init__(
        self,
        stream: TextIO,
        colored: bool,
        drawn: bool,
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._area = _area(stream, colored) if drawn else None
        self._say, self._clock, self._last_s = say, clock, clock()

    @property
    def drawn(self) -> bool:
        """Whether a line is visible now."""
        return self._area is not None

    def __enter__(self) -> Status:
        if self._area is not None:
            self._area.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._area is not None:
            self._area.stop()
        self._area = None

    def show(self, line: str) -> None:
        """Replace the line; without a terminal, print it if the last one is some time ago."""
        from rich.text import Text

        if self._area is not None:
            self._area.update(Text(line, overflow="ellipsis", no_wrap=True), refresh=True)
        elif self._clock() - self._last_s >= _EVERY_S:
            self._last_s = self._clock()
            self._say(line)

    def above(self, line: str, stream: TextIO) -> None:
        """Print a line above to a stream of the same terminal, without markup."""
        if self._area is not None:
            print_above(self._area.console, line, stream)


def status_line(live: Live) -> str:
    """What happens in a stream, on one line."""
    if not live.is_warm:
        return "warming up: the model's first pass"
    counts, dropped = live.counts, live.dropped
    seconds = max(time.monotonic() - counts.started_s, 1e-6)
    parts = []
    if live.latest is not None:
        prediction = live.latest.explained.prediction
        parts.append(f"{prediction.label} {prediction.score:.2f}")
    elif counts.due:
        parts.append("explaining the first window")
    parts.append(f"{counts.shown:,} frames shown")
    if dropped["frames"]:
        parts.append(f"{dropped['frames']:,} dropped")
    parts.append(f"{counted(counts.windows, 'window')}, {counts.windows / seconds:.1f}/s")
    if dropped["windows"]:
        parts.append(f"{dropped['windows']:,} dropped")
    for stage, words in (("capture to overlay", "shown"), ("capture to maps", "explained")):
        delay_s = live.delays.quantile(stage, 0.95)
        if not math.isnan(delay_s):
            parts.append(f"{words} after {1000 * delay_s:.0f} ms")
    return " · ".join(parts)


class News:
    """What is told once: the source and the model with -v, and each kind of warning.

    Args:
        console: where it is printed.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._told: set[str] = set()

    def tell(self, live: Live) -> None:
        """Tell what is new."""
        info = live.capture.info
        if info is not None and self._is_new("source"):
            size = f"{info.codec} {info.width}x{info.height}"
            self._console.detail(f"source: {size}, {info.rate:.4g} frames/s, {info.container}")
            self._console.detail(f"model: {live.explainer.described}")
        for code, warning in live.warnings.items():
            if self._is_new(f"warning {code}"):
                self._console.warning(f"{code}: {warning.text}")

    def _is_new(self, what: str) -> bool:
        is_new = what not in self._told
        self._told.add(what)
        return is_new


_STAGES = {
    "decode": "decode a frame",
    "capture to overlay": "from capture to overlay",
    "encode": "encode a frame",
    "capture to written": "from capture to output",
    "encode for page": "encode a frame for pages",
    "send": "send a frame to a page",
    "capture to shown": "from capture to the page's pixels",
    "window wait": "wait of a window for the model",
    "model": "passes for a window",
    "explain": "explain a window",
    "capture to maps": "from capture to maps",
    "age of maps": "age of the maps of a frame",
}


def delay_rows(live: Live) -> list[list[str]]:
    """Rows of a table of delays: stage, P50, P95, P99, and maximum in milliseconds."""
    summary: dict[str, Any] = dict(live.delays.summary())
    return [
        [words, *(f"{1000 * summary[stage][name]:.0f} ms" for name in ("p50", "p95", "p99", "max"))]
        for stage, words in _STAGES.items()
        if stage in summary
    ]


def _area(stream: TextIO, colored: bool) -> Area:
    from rich.console import Console
    from rich.live import Live as Area

    console = Console(file=stream, force_terminal=True, no_color=not colored, highlight=False)
    return Area(
        console=console,
        transient=True,
        auto_refresh=False,
        redirect_stdout=False,
        redirect_stderr=False,
    )
