"""The progress bar: the video at work and all of them, each with its rate and the time left."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

_NAME_CHARACTERS = 28


class Progress:
    """A bar for the video at work and, where there are several, one for all of them.

    Args:
        total: number of videos.
        stream: where to draw.
        coloured: whether colours are wanted.
        drawn: False makes every method do nothing.
    """

    def __init__(self, total: int, stream: TextIO, coloured: bool, drawn: bool) -> None:
        self._bars = _bars(stream, coloured) if drawn else None
        self._shown = ""
        if self._bars is not None:
            self._all = self._bars.add_task("all videos", total=total, visible=total > 1)
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
        if self._bars is None:
            return
        text = f"{_short(name)}  {stage}"
        if text != self._shown:
            self._shown = text
            self._bars.reset(self._one, description=text)
        self._bars.update(self._one, completed=done, total=total or None)

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


def _short(name: str) -> str:
    """A name with its middle left out where it is long: its two ends tell most."""
    half = (_NAME_CHARACTERS - 1) // 2
    return name if len(name) <= _NAME_CHARACTERS else f"{name[:half]}…{name[-half:]}"


def _bars(stream: TextIO, coloured: bool) -> Bars:
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
        console=Console(file=stream, force_terminal=True, no_color=not coloured, highlight=False),
        transient=True,
        expand=True,
        redirect_stdout=False,  # stdout belongs to the results, bar or no bar
        redirect_stderr=False,
    )
