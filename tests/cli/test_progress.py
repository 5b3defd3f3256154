"""Progress without a terminal: nothing of what is short, a line a minute of what is long."""

from __future__ import annotations

import io

import pytest

from staa_cli.cli.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Told:
    """A progress on a clock of its own, and what it says, with the time at which it says it."""

    def __init__(self, drawn: bool = False, at_once: bool = False) -> None:
        self.now = 0.0
        self.lines: list[tuple[float, str]] = []
        self.terminal = Terminal()
        self.progress = Progress(
            2, self.terminal, False, drawn, self.say, lambda: self.now, at_once=at_once
        )

    def say(self, line: str) -> None:
        self.lines.append((self.now, line))

    def work(self, stage: str, total: int, step_s: float) -> None:
        """A stage from its first step to its last."""
        for done in range(1, total + 1):
            self.progress.stage("long.mp4", stage, done, total)
            self.now += step_s


def test_twelve_minutes_are_not_silent() -> None:
    told = Told()
    told.progress.plan("long.mp4", "1,440 clips, 1,440 passes", 1440)
    assert told.lines == [(0.0, "long.mp4: 1,440 clips, 1,440 passes")]  # before the first
    told.work("explaining", 1440, 0.5)
    times = [time for time, _ in told.lines[1:]]
    assert times == [2.0 + 60 * minute for minute in range(12)]
    assert told.lines[1][1] == "long.mp4: explaining 5 of 1,440, about 12 min of it left"
    assert told.lines[-1][1] == "long.mp4: explaining 1,325 of 1,440, about 1 min of it left"
    told.work("drawing", 9000, 1 / 64)
    assert told.lines[-3][1].startswith("long.mp4: drawing 129 of 9,000, about 2 min of it left")


def test_what_is_short_is_silent() -> None:
    told = Told()
    for _ in range(20):
        told.progress.plan("short.mp4", "8 clips, 8 passes", 8)
        told.work("explaining", 8, 0.5)
        told.work("drawing", 90, 0.1)  # nine seconds
    assert told.lines == []


def test_a_few_passes_that_take_long_are_told_as_soon_as_that_is_known() -> None:
    told = Told()
    told.progress.plan("long.mp4", "20 clips, 20 passes", 20)
    told.work("explaining", 20, 30.0)
    assert told.lines[:2] == [
        (30.0, "long.mp4: 20 clips, 20 passes"),
        (30.0, "long.mp4: explaining 2 of 20, about 9 min of it left"),
    ]
    assert [time for time, _ in told.lines[2:]] == [30.0 + 60 * minute for minute in range(1, 9)]


def test_each_stage_is_told_of_by_itself_and_what_nobody_knows_is_not() -> None:
    told = Told()
    told.work("checking", 0, 1.0)
    told.progress.stage("long.mp4", "opening", 0, 0)
    told.now += 100
    told.work("checking", 30, 1.0)
    told.work("drawing", 30, 1.0)
    assert [line.partition(",")[0] for _, line in told.lines] == [
        "long.mp4: checking 3 of 30",
        "long.mp4: drawing 3 of 30",
    ]


def test_where_there_is_a_bar_only_the_plan_is_a_line() -> None:
    told = Told(drawn=True)
    with told.progress:
        told.progress.plan("long.mp4", "60 clips, 60 passes", 60)
        told.work("explaining", 60, 5.0)
    assert told.lines == [(5.0, "long.mp4: 60 clips, 60 passes")]


@pytest.mark.parametrize("passes", [99, 100])
def test_many_passes_are_told_of_before_the_first(passes: int) -> None:
    told = Told()
    told.progress.plan("a.mp4", "so many", passes)
    assert bool(told.lines) == (passes >= 100)


def test_videos_of_unknown_number_are_counted() -> None:
    terminal = Terminal()
    with Progress(None, terminal, False, True) as progress:
        progress.stage("a.mp4", "opening", 0, 0)
        progress.finished("a.mp4")
        progress.above("a.mp4: done", terminal)
    drawn = terminal.getvalue()
    assert "all videos" in drawn
    assert "1/?" in drawn


@pytest.mark.parametrize("finished", [False, True])
def test_of_several_videos_at_once_the_bar_shows_the_first_and_how_many_more(
    finished: bool,
) -> None:
    told = Told(drawn=True, at_once=True)
    with told.progress:
        told.progress.stage("a.mp4", "explaining", 1, 8)
        told.progress.stage("b.mp4", "drawing", 5, 9)
        told.progress.stage("a.mp4", "explaining", 2, 8)
        if finished:
            told.progress.finished("a.mp4")
    *_, last = told.terminal.getvalue().partition("\x1b[?25h")[0].rpartition("all videos")
    all_videos, one, _ = last.split("\n")
    assert ("1/2" if finished else "0/2") in all_videos
    assert one.startswith("b.mp4  drawing " if finished else "a.mp4  explaining  and 1 more ")
    assert ("5/9" if finished else "2/8") in one


def test_without_a_bar_lines_are_about_one_of_several_videos() -> None:
    told = Told(at_once=True)
    for done in range(1, 1001):
        for name in ("a.mp4", "b.mp4", "c.mp4"):
            told.progress.stage(name, "explaining", done, 1000)
        told.now += 0.5
    assert [time for time, _ in told.lines] == [2.0 + 60 * minute for minute in range(9)]
    assert {line.partition(":")[0] for _, line in told.lines} == {"a.mp4"}
    told.progress.finished("a.mp4")
    told.progress.stage("b.mp4", "explaining", 999, 1000)
    assert told.lines[-1][1].startswith("b.mp4: explaining 999 of 1,000")
