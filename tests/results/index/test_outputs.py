"""summary.md, junit.xml, and annotations: names stay names, and readers find what they expect."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from indexed_results import broken_report, failure, index_of, one_entry, renamed
from markdown_it import MarkdownIt

from staa_cli.results.document import Place
from staa_cli.results.index.annotations import github
from staa_cli.results.index.document import Entry
from staa_cli.results.index.junit import junit
from staa_cli.results.index.summary import headline, markdown
from staa_cli.results.markdown import LARGEST_BYTES, within

HOSTILE = [
    "plain",
    "50 %, a: b.mp4",
    "::error::x",
    "%0A%3A",
    "line\r\nbreak",
    "<img onerror=x>&]]></testcase>",
    "\x00\x1b[31m\u202e\ufffe\udcff",
    "|`*_[x](y)",
]
CHILDREN = {
    "testsuites": {"testsuite"},
    "testsuite": {"testcase"},
    "testcase": {"skipped", "error", "failure", "system-out", "system-err"},
}
ATTRIBUTES = {
    "testsuites": {"name", "time", "tests", "failures", "errors"},
    "testsuite": {"name", "tests", "failures", "errors", "time", "skipped"},
    "testcase": {"name", "classname", "time"},
    "error": {"type", "message"},
    "skipped": {"message"},
}
"""What Jenkins' junit-10.xsd allows, as far as it is used; names are required."""


@pytest.fixture(scope="module")
def entry(tmp_path_factory: pytest.TempPathFactory) -> Entry:
    return one_entry(tmp_path_factory.mktemp("run"))


def check_schema(node: ET.Element) -> None:
    assert set(node.attrib) <= ATTRIBUTES.get(node.tag, set())
    if node.tag in ("testsuites", "testsuite", "testcase"):
        assert node.get("name")
    for child in node:
        assert child.tag in CHILDREN[node.tag]
        check_schema(child)


@pytest.mark.parametrize("text", HOSTILE)
def test_junit_is_what_readers_expect(entry: Entry, text: str) -> None:
    index = index_of([entry, renamed(entry, text)], [failure(text)], [broken_report(text)])
    content = junit(index, {Place(text): 1.5}, {entry.folder})
    assert content.startswith(b'<?xml version="1.0" encoding="UTF-8"?>\n')
    root = ET.fromstring(content.decode())
    check_schema(root)
    (suite,) = root
    totals = {"tests": "4", "errors": "2", "failures": "0", "time": "1.500"}
    assert totals.items() <= suite.attrib.items()
    assert suite.get("skipped") == "1"
    first, second, third, fourth = suite
    assert [child.tag for child in first] == ["skipped", "system-out"]
    assert [child.tag for child in second] == ["system-out"]
    assert "warning: low-confidence" in (second.findtext("system-out") or "")
    for case, kind in ((third, "VideoError"), (fourth, "InputError")):
        (error,) = case
        assert (error.tag, error.get("type")) == ("error", kind)
        assert error.get("message")
        assert (error.text or "").startswith("hint: ")
    if text.isprintable():
        assert second.get("name") == f"clips/{text}"
        assert third.get("name") == text


def test_cases_of_the_same_video_have_different_names(entry: Entry) -> None:
    other = renamed(entry, "x")
    twice = index_of([other, renamed(entry, "x", folder="again"), entry])
    root = ET.fromstring(junit(twice).decode())
    names = [case.get("name") for case in root.iter("testcase")]
    assert names == ["clips/x (x)", "clips/x (again)", "walk.mp4"]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_summary_shows_names_as_they_are(entry: Entry, text: str) -> None:
    index = index_of([renamed(entry, text)], [failure(text)], [broken_report(text)])
    lines = markdown(index)
    assert lines[0] == "## staa: 3 videos, 2 failed, 1 with warnings"
    renderer = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    tokens = renderer.parse("\n".join(lines))
    inline = [token for token in tokens if token.type == "inline"]
    allowed = {"text", "text_special", "strong_open", "strong_close"}
    assert {part.type for token in inline for part in token.children or []} <= allowed
    shown = ["".join(part.content for part in token.children or []) for token in inline]
    assert shown[3:8] == ["video", "answer", "highest at", "SRG", "warnings"]
    if text.isprintable():
        assert shown[1] == f"failed {text}: {text}: no video"
        assert shown[8] == f"clips/{text}"
        assert shown[-1] == "low-confidence"


def test_failures_are_first_and_a_long_summary_is_cut(entry: Entry) -> None:
    entries = [renamed(entry, f"{'x' * 150}-{number}") for number in range(6000)]
    text, complete = within(markdown(index_of(entries, [failure("first")])))
    assert not complete
    assert len(text.encode()) < LARGEST_BYTES
    assert text.index("first") < 100
    assert text.rstrip().endswith("**Cut here: the whole summary would be larger than 900 kB.**")


def test_headline_leaves_out_what_there_is_none_of(entry: Entry) -> None:
    assert headline(index_of([entry])) == "1 video"
    assert headline(index_of([entry] * 1200)) == "1,200 videos"


def parsed(line: str) -> tuple[str, dict[str, str], str]:
    """A command as GitHub's runner reads it, with its order of replacements."""
    match = re.fullmatch(r"::(\w+) ([^\r\n]*?)::([^\r\n]*)", line)
    assert match is not None
    properties = {}
    for pair in match[2].split(","):
        name, _, value = pair.partition("=")
        for code, character in (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ",")):
            value = value.replace(code, character)
        properties[name] = value.replace("%25", "%")
    text = match[3].replace("%0D", "\r").replace("%0A", "\n").replace("%25", "%")
    return match[1], properties, text


@pytest.mark.parametrize("text", HOSTILE)
def test_an_annotation_says_what_is_meant(entry: Entry, text: str) -> None:
    index = index_of([entry, renamed(entry, text)], [failure(text)], [broken_report(text)])
    lines = github(index, Path("out"))
    commands = [parsed(line) for line in lines]
    assert [kind for kind, _, _ in commands] == ["error", "error", "warning"]
    assert commands[0][1]["title"] == "staa: VideoError"
    assert commands[2][1]["title"] == "staa: low-confidence"
    if text.isprintable() or text == "line\r\nbreak":
        assert commands[0][1]["file"] == text
        assert commands[0][2] == f"{text}: no video\n{text}"
        assert commands[1][1]["file"] == f"out/{text}/report.json"
        assert commands[2][1]["file"] == f"clips/{text}"
        assert commands[2][2] == text


@pytest.mark.parametrize(("failed", "warned"), [(0, 0), (4, 6), (4, 7), (12, 0), (30, 30)])
def test_at_most_ten_errors_first(entry: Entry, failed: int, warned: int) -> None:
    index = index_of(
        [renamed(entry, f"w{number}") for number in range(warned)],
        [failure(f"f{number}") for number in range(failed)],
    )
    lines = github(index, Path())
    assert len(lines) == min(10, failed + warned)
    kinds = [line.split(" ")[0] for line in lines]
    assert kinds == sorted(kinds)
    if failed + warned > 10:
        assert f"{failed + warned - 9} more videos with errors or warnings" in lines[-1]
