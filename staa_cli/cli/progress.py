"""Progress: a bar with rates and remaining time on a terminal, or one line per minute."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

from staa_cli.formatting import about

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bars

_NAME_CHARACTERS = 28


class Progress:
    """A bar for the current video and, if there are several, one for all of them.

    Args:
        total: number of videos, None if unknown.
        at_once: whether several videos are processed at once; then the bar shows the one that
            started first, and lines are about that one, too.
        stream: to draw on.
        colored: whether to use colors.
        drawn: False prints lines instead of a bar.
        say: prints a line.
        clock: returns seconds.
    """

    def __init__(
        self,
        total: int | None,
        stream: TextIO,
        colored: bool,
        drawn: bool,
        say: Callable[[str], None] = lambda line: None,
        clock: Callable[[], float] = time.monotonic,
        *,
        at_once: bool = False,
    ) -> None:
        self._bars = _bars(stream, colored) if drawn else None
        self._at_once, self._drawn = at_once, drawn
        self._say, self._clock = say, clock
        self._running: dict[str, _Video] = {}
        """The videos that have started, by name, the first one first."""
        self._shown = ("", "")
        if self._bars is not None:
            self._all = self._bars.add_task("all videos", total=total, visible=total != 1)
            self._one = self._bars.add_task("", total=None)

    @property
    def drawn(self) -> bool:
        """Whether a bar is visible now."""
        return self._bars is not None

    def __enter__(self) -> Progress:
        if self._bars is not None:
            self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bars is not None:
            self._bars.stop()
        self._bars = None

    def stage(self, name: str, stage: str, done: int, total: int) -> None:
        """Progress of a stage of the current video; a total of 0 means unknown."""
        video = self._video(name)
        video.stage, video.done, video.total = stage, done, total
        first = next(iter(self._running))
        video.pace.stage(name, stage, done, total, in_lines=not self._drawn and name == first)
        self._draw()

    def plan(self, name: str, cost: str, passes: int) -> None:
        """Announce the cost of a video; printed if it is not negligible."""
        self._video(name).pace.plan(f"{name}: {cost}", passes)

    def finished(self, name: str) -> None:
        """A video is finished."""
        self._running.pop(name, None)
        if self._bars is not None:
            self._bars.advance(self._all)
        self._draw()

    def _video(self, name: str) -> _Video:
        if name not in self._running:
            if not self._at_once:
                self._running.clear()
            self._running[name] = _Video(_Pace(self._say, self._clock))
        return self._running[name]

    def _draw(self) -> None:
        if self._bars is None or not self._running:
            return
        name, video = next(iter(self._running.items()))
        more = f"  and {count} more" if (count := len(self._running) - 1) else ""
        text = f"{_short(name)}  {video.stage}{more}"
        now: dict[str, Any] = {
            "description": text,
            "completed": video.done,
            "total": video.total or None,
        }
        if (name, video.stage) != self._shown:
            self._shown = name, video.stage
            self._bars.reset(self._one, **now)
        self._bars.update(self._one, **now)

    def above(self, line: str, stream: TextIO) -> None:
        """Print a line above the bars to a stream of the same terminal, without markup."""
        if self._bars is not None:
            print_above(self._bars.console, line, stream)


def print_above(console: Console, line: str, stream: TextIO) -> None:
    """Print a line above what a console of rich draws, without markup."""
    from rich.text import Text

    original, console.file = console.file, stream
    console.print(Text.from_ansi(line), soft_wrap=True)
    console.file = original


_MANY = 100
"""Number of passes from which the cost is printed at once."""
_LONG_S, _SETTLED_S, _EVERY_S = 10.0, 2.0, 60.0
"""Minimum estimated duration of a reported stage, delay before it is estimated, and interval."""


class _Pace:
    """Prints the remaining time of a stage, estimated from its first steps.

    Args:
        say: prints a line.
        clock: returns seconds.
    """

    def __init__(self, say: Callable[[str], None], clock: Callable[[], float]) -> None:
        self._say, self._clock = say, clock
        self._pending = ""
        self._current = ("", "")
        self._start, self._first, self._last_line = 0.0, 0, -_EVERY_S

    def plan(self, line: str, passes: int) -> None:
        """Print the cost now if it is large, or else when a stage turns out to take long."""
        self._pending = line
        if passes >= _MANY:
            self._say_pending()

    def stage(self, name: str, stage: str, done: int, total: int, *, in_lines: bool) -> None:
        """Progress of a stage of the video `name`; `in_lines` prints it every minute."""
        now = self._clock()
        if (name, stage) != self._current:
            self._current, self._start, self._first, self._last_line = (
                (name, stage),
                now,
                done,
                -_EVERY_S,
            )
        spent, steps = now - self._start, done - self._first
        if steps <= 0 or spent < _SETTLED_S:
            return
        remaining = spent / steps * (total - done)
        if spent + remaining < _LONG_S:
            return
        self._say_pending()
        if in_lines and now - self._last_line >= _EVERY_S and done < total:
            self._last_line = now
            self._say(f"{name}: {stage} {done:,} of {total:,}, {about(remaining)} of it left")

    def _say_pending(self) -> None:
        if self._pending:
            self._say(self._pending)
        self._pending = ""


@dataclass
class _Video:
    """A video that has started."""

    pace: _Pace
    stage: str = ""
    done: int = 0
    total: int = 0


def _short(name: str) -> str:
    """A long name without its middle part."""
    half = (_NAME_CHARACTERS - 1) // 2
    return name if len(name) <= _NAME_CHARACTERS else f"{name[:half]}…{name[-half:]}"


def _bars(stream: TextIO, colored: bool) -> Bars:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(f"{task.speed:.3g}/s" if task.speed else "", "dim")

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        Rate(),
        TimeRemainingColumn(compact=True),
        console=Console(file=stream, force_terminal=True, no_color=not colored, highlight=False),
        transient=True,
        expand=True,
        redirect_stdout=False,  # stdout is only for results
        redirect_stderr=False,
    )
