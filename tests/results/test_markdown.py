"""Markdown for CI summaries: hostile names are shown, and a file stays below the limit."""

from __future__ import annotations

import re
import string
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from staa_cli.errors import OutputError
from staa_cli.results.markdown import LARGEST_BYTES, append, literal, table

HOSTILE = [
    "a|b.mp4",
    "</td><script>alert(1)</script>.mp4",
    "[x](javascript:alert(1)).mp4",
    "![x](https://example.org/x.png).mp4",
    "`id` $(id) *b* _i_ ~~s~~ #1 @someone.mp4",
    "back\\slash\\.mp4",
    "&lt;entity&#x41;.mp4",
    "https://example.org",
    "\\|.mp4",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_no_markup_of_a_name_survives(name: str) -> None:
    """Every ASCII punctuation character that markup can be made of has a backslash before it."""
    text = literal(name)
    assert re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", text) == name
    assert set(string.punctuation) & set(re.sub(r"\\.", "", text)) <= set("\"%',/;=?")


@pytest.mark.parametrize("name", HOSTILE)
def test_a_renderer_shows_the_name_and_makes_nothing_of_it(name: str) -> None:
    renderer = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    (token,) = (
        token for token in renderer.parse("\n".join(table(["video"], [[name]])))
        if token.type == "inline" and token.content != "video"
    )  # fmt: skip
    parts = token.children or []
    assert {part.type for part in parts} <= {"text", "text_special"}
    assert "".join(part.content for part in parts) == name


def test_a_name_stays_in_its_cell_and_its_line() -> None:
    lines = table(["video"], [["new\nline\r\x1b[31m\u202e\udcff|.mp4"]])
    assert lines[2] == r"| new\\nline\\r\\x1b\[31m\\u202e\\xff\|\.mp4 |"
    assert lines[:2] == ["| video |", "| --- |"]


def test_lines_are_appended(tmp_path: Path) -> None:
    path = tmp_path / "summary.md"
    assert append(path, ["one", "two"])
    assert append(path, ["thrée"])
    assert path.read_text("utf-8") == "one\ntwo\n\nthrée\n"


@pytest.mark.parametrize("before", [0, 1, 500_000, LARGEST_BYTES - 80])
@pytest.mark.parametrize("line", ["x" * 999, "é" * 499])
def test_a_summary_is_cut_below_the_limit_at_a_line_and_says_so(
    tmp_path: Path, before: int, line: str
) -> None:
    path = tmp_path / "summary.md"
    path.write_bytes(b"-" * before)
    assert not append(path, [line] * 1000)
    content = path.read_text("utf-8")
    assert before < path.stat().st_size <= LARGEST_BYTES
    assert content.endswith("\n**Cut here: the whole summary would be larger than 900 kB.**\n")
    assert content[before:].count(line) == len(re.findall(r"[xé]+\n", content[before:]))
    if before < 1000:
        assert path.stat().st_size > LARGEST_BYTES - 2000


def test_a_full_file_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "summary.md"
    path.write_bytes(b"-" * LARGEST_BYTES)
    assert not append(path, ["one"])
    assert path.stat().st_size == LARGEST_BYTES


def test_as_much_as_fits_exactly_is_not_cut(tmp_path: Path) -> None:
    path = tmp_path / "summary.md"
    assert append(path, ["x" * 99] * 8999)
    assert path.stat().st_size == 899_900


def test_what_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot write"):
        append(tmp_path, ["one"])
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        append(tmp_path / "file" / "in a file.md", ["one"])


def test_its_folder_is_made(tmp_path: Path) -> None:
    assert append(tmp_path / "deep" / "folder.md", ["one"])
    assert (tmp_path / "deep" / "folder.md").read_text() == "one\n"
