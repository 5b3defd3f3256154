"""Progress: a bar with rates and the time left on a terminal, and a line a minute elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

from staa_cli.formatting import about

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

_NAME_CHARACTERS = 28


class Progress:
    """A bar for the video at work and, where there are several, one for all of them.

    Args:
        total: number of videos, None where nobody knows.
        stream: where to draw.
        colored: whether colors are wanted.
        drawn: False draws no bar, and says in lines what a bar would show.
        say: takes a line.
        clock: tells seconds.
    """

    def __init__(
        self,
        total: int | None,
        stream: TextIO,
        colored: bool,
        drawn: bool,
        say: Callable[[str], None] = lambda line: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bars = _bars(stream, colored) if drawn else None
        self._pace = _Pace(say, clock, in_lines=not drawn)
        self._shown = ""
        if self._bars is not None:
            self._all = self._bars.add_task("all videos", total=total, visible=total != 1)
            self._one = self._bars.add_task("", total=None)

    @property
    def drawn(self) -> bool:
        """Whether there is a bar on the terminal right now."""
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
        """How far a stage of the video at work is; a total of 0 means that nobody knows."""
        self._pace.stage(name, stage, done, total)
        if self._bars is None:
            return
        text = f"{_short(name)}  {stage}"
        if text != self._shown:
            self._shown = text
            self._bars.reset(self._one, description=text)
        self._bars.update(self._one, completed=done, total=total or None)

    def plan(self, line: str, passes: int) -> None:
        """What a video will cost in so many passes: said if they take more than a moment."""
        self._pace.plan(line, passes)

    def finished(self) -> None:
        """One more video is done."""
        if self._bars is not None:
            self._bars.advance(self._all)

    def above(self, line: str, stream: TextIO) -> None:
        """A line above the bars, to this stream of the same terminal; brackets mean nothing."""
        from rich.text import Text

        if self._bars is not None:
            console = self._bars.console
            drawn_on, console.file = console.file, stream
            console.print(Text.from_ansi(line), soft_wrap=True)
            console.file = drawn_on


_MANY = 100
"""Passes that take more than a moment on most machines."""
_LONG_S, _KNOWN_S, _EVERY_S = 10.0, 2.0, 60.0
"""A stage that takes so long is told of, as soon as it has gone on so long, and then so often."""


class _Pace:
    """Says how long a stage will take, as soon as its first steps have shown it.

    Args:
        say: takes a line.
        clock: tells seconds.
        in_lines: whether to say how far a stage is, and again every minute: where no bar shows it.
    """

    def __init__(
        self, say: Callable[[str], None], clock: Callable[[], float], in_lines: bool
    ) -> None:
        self._say, self._clock, self._in_lines = say, clock, in_lines
        self._held = ""
        self._at = ("", "")
        self._began, self._first, self._told = 0.0, 0, -_EVERY_S

    def plan(self, line: str, passes: int) -> None:
        """Say what there is to do if that is much, or else once it has turned out to take long."""
        self._held = line
        if passes >= _MANY:
            self._say_held()

    def stage(self, name: str, stage: str, done: int, total: int) -> None:
        """So far is a stage of what has that name."""
        now = self._clock()
        if (name, stage) != self._at:
            self._at, self._began, self._first, self._told = (name, stage), now, done, -_EVERY_S
        spent, steps = now - self._began, done - self._first
        if steps <= 0 or spent < _KNOWN_S:
            return
        left = spent / steps * (total - done)
        if spent + left < _LONG_S:
            return
        self._say_held()
        if self._in_lines and now - self._told >= _EVERY_S and done < total:
            self._told = now
            self._say(f"{name}: {stage} {done:,} of {total:,}, {about(left)} of it left")

    def _say_held(self) -> None:
        if self._held:
            self._say(self._held)
        self._held = ""


def _short(name: str) -> str:
    """A name with its middle left out where it is long: its two ends tell most."""
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
        redirect_stdout=False,  # stdout belongs to the results, bar or no bar
        redirect_stderr=False,
    )
