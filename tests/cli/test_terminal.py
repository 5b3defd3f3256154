"""The terminal: who gets colors, and names that cannot do harm."""

from __future__ import annotations

import io
import logging

import pytest

from staa_cli.cli.terminal import Console, shown, table, wants_color
from staa_cli.errors import VideoError


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("environ", "flag", "terminal", "colored"),
    [
        ({}, "auto", True, True),
        ({}, "auto", False, False),
        ({"NO_COLOR": "1"}, "auto", True, False),
        ({"NO_COLOR": ""}, "auto", True, True),
        ({"FORCE_COLOR": "1"}, "auto", False, True),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, "auto", True, False),
        ({"TERM": "dumb"}, "auto", True, False),
        ({"CI": "true", "GITHUB_ACTIONS": "true"}, "auto", False, False),
        ({"NO_COLOR": "1"}, "always", False, True),
        ({"FORCE_COLOR": "1"}, "never", True, False),
    ],
)
def test_color(environ: dict[str, str], flag: str, terminal: bool, colored: bool) -> None:
    stream = Terminal() if terminal else io.StringIO()
    assert wants_color(stream, flag, environ) is colored  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("clip.mp4", "clip.mp4"),
        ("[red]é 猫.mp4", "[red]é 猫.mp4"),
        ("a\nerror: b.mp4", "a\\nerror: b.mp4"),
        ("\x1b[2Jx", "\\x1b[2Jx"),
        ("x\udcff.mp4", "x\\xff.mp4"),
        ("\u202egpj.exe", "\\u202egpj.exe"),
    ],
)
def test_a_name_is_shown_on_one_line_without_controls(name: str, safe: str) -> None:
    assert shown(name) == safe


def test_logs_of_libraries_are_heard_at_vv_alone() -> None:
    told = []
    for verbosity in (0, 1, 2):
        stream = io.StringIO()
        console = Console(verbosity, stream=stream, environ={})
        with console.logs():
            logging.getLogger("some.library").info("two\nlines")
        logging.getLogger("some.library").info("later")
        told.append(stream.getvalue())
    assert told == ["", "", "some.library: two\nsome.library: lines\n"]


def said(verbosity: int) -> str:
    stream = io.StringIO()
    console = Console(verbosity, stream=stream, environ={})
    console.fact("a fact")
    console.detail("a detail")
    console.message("a message")
    console.warning("a warning")
    console.error(VideoError("no video stream", "is it one?"), "a\nb.mp4")
    return stream.getvalue()


def test_verbosity() -> None:
    errors = "error: a\\nb.mp4: no video stream\nhint: is it one?\n"
    assert said(-1) == errors
    assert said(0) == "a message\nwarning: a warning\n" + errors
    assert said(1) == "a detail\na message\nwarning: a warning\n" + errors
    assert said(2) == "a fact\n" + said(1)


def test_a_line_above_the_bar_keeps_brackets_and_a_quiet_console_draws_none() -> None:
    stream = Terminal()
    console = Console(stream=stream, environ={"NO_COLOR": "1"})
    with console.progress(2) as progress:
        progress.stage("[bold]x.mp4", "model", 3, 8)
        console.message("[bold]x.mp4: done")
        progress.finished("[bold]x.mp4")
    text = stream.getvalue()
    assert "[bold]x.mp4: done" in text
    assert "[bold]x.mp4  model" in text
    assert "3/8" in text
    assert "1/2" in text
    for quiet in (Terminal(), io.StringIO()):
        console = Console(-1 if quiet.isatty() else 0, stream=quiet, environ={})
        with console.progress(2) as progress:
            progress.stage("x.mp4", "model", 3, 8)
        assert quiet.getvalue() == ""


def test_table_wraps_its_last_column_only() -> None:
    text = table(("NAME", "ABOUT"), [("a", "one two three four five six")], 28)
    assert text == "NAME  ABOUT\na     one two three four\n      five six"
    assert table(("A", "B"), [("x", "one two three " * 9)]).count("\n") == 1
