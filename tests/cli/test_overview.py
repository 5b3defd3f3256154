"""`staa explain` of several videos: the overview of their folder, and what CI services get."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from small_videos import film

from staa_cli.errors import ExitCode

LINE = ("explain", "clips", "--no-annotated", "--reproducible")
OVERVIEW = ["staa-out/index.html", "staa-out/index.json"]


pytestmark = pytest.mark.usefixtures("two_clips")


def listed() -> tuple[list[str], list[str]]:
    """Folders of results, and failed inputs, in the overview."""
    content = json.loads(Path("staa-out/index.json").read_text())
    return (
        [entry["folder"]["path"] for entry in content["results"]],
        [failed["input"]["path"] for failed in content["failed_inputs"]],
    )


def cases(path: str) -> dict[str | None, list[str]]:
    """Children of each test in a JUnit file by name."""
    root = ET.fromstring(Path(path).read_text())
    return {case.get("name"): [child.tag for child in case] for case in root.iter("testcase")}


def test_several_videos_have_an_overview_and_one_has_none(run: Any) -> None:
    one = run("explain", "clips/walk.mp4", "--no-annotated")
    assert one.code == ExitCode.OK
    assert not Path("staa-out/index.json").exists()
    done = run(*LINE)
    assert done.code == ExitCode.OK
    assert done.out.splitlines()[-2:] == OVERVIEW
    assert listed() == (["jump", "walk"], [])
    assert "./jump/report.html" in Path("staa-out/index.html").read_text()
    later = run("explain", "clips/walk.mp4", "clips/jump.mp4", "--json", "-o", "more")
    assert [json.loads(line)["schema_version"] for line in later.out.splitlines()] == [1, 1]
    assert Path("more/index.html").is_file()


def test_ctrl_c_in_the_overview_leaves_nothing_to_continue(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("staa_cli.results.index.write.write_index", interrupted)
        done = run(*LINE)
    assert done.code == ExitCode.INTERRUPTED
    assert done.err.splitlines()[-1] == (
        "interrupted: 2 of 2 finished; `staa report staa-out` writes the overview"
    )
    assert run("report", "staa-out").code == ExitCode.OK
    assert listed() == (["jump", "walk"], [])


def test_the_overview_is_of_the_whole_folder(run: Any) -> None:
    run(*LINE)
    film(Path("other/a.mp4"), 12)
    film(Path("other/b.mp4"), 12)
    run("explain", "other", "--no-annotated", "--junit", "junit.xml")
    assert listed() == (["a", "b", "jump", "walk"], [])
    assert list(cases("junit.xml")) == ["other/a.mp4", "other/b.mp4"]


def test_no_html_writes_no_page_at_all(run: Any) -> None:
    done = run(*LINE, "--no-html")
    assert done.out.splitlines()[-1] == "staa-out/index.json"
    assert list(Path("staa-out").rglob("*.html")) == []
    assert run("report", "staa-out").code == ExitCode.OK
    assert "./jump/report.json" in Path("staa-out/index.html").read_text()


def test_a_failed_input_is_listed_until_it_succeeds(run: Any) -> None:
    bad = Path("clips/bad, one.mp4")
    bad.write_text("no video")
    done = run(*LINE, "--junit", "j.xml", "--summary-md", "s.md", "--annotations", "github")
    assert done.code == ExitCode.INPUT_FAILED
    assert listed() == (["jump", "walk"], [str(bad)])
    assert cases("j.xml")[str(bad)] == ["error"]
    assert "1 failed" in Path("s.md").read_text().splitlines()[0]
    (command,) = [line for line in done.err.splitlines() if line.startswith("::error")]
    assert command.startswith("::error file=clips/bad%2C one.mp4,title=staa%3A VideoError::")
    assert "bad, one.mp4" in Path("staa-out/index.html").read_text()
    run("report", "staa-out", "--no-pages")  # keeps it
    assert listed()[1] == [str(bad)]
    assert cases("staa-out/junit.xml")[str(bad)] == ["error"]
    bad.unlink()
    film(bad, 12)
    assert run("explain", str(bad), "--no-annotated").code == ExitCode.OK
    run("report", "staa-out", "--no-pages")
    assert listed() == (["bad, one", "jump", "walk"], [])


def test_a_video_that_became_bad_is_listed_beside_its_earlier_result(run: Any) -> None:
    run(*LINE)
    good = Path("clips/walk.mp4").read_bytes()
    Path("clips/walk.mp4").write_text("no video")
    assert run(*LINE).code == ExitCode.INPUT_FAILED
    for _ in range(2):
        assert listed() == (["jump", "walk"], ["clips/walk.mp4"])
        run("report", "staa-out", "--no-pages")
    Path("clips/walk.mp4").write_bytes(good)
    assert run(*LINE, "--junit", "j.xml").code == ExitCode.OK
    assert listed() == (["jump", "walk"], [])
    unchanged = ["skipped", "system-out"]
    assert cases("j.xml") == {"clips/jump.mp4": unchanged, "clips/walk.mp4": unchanged}


def test_ci_gets_what_became_of_a_single_video_too(run: Any) -> None:
    film(Path("still.mp4"), 1)
    done = run("explain", "still.mp4", "--no-annotated", "--junit", "deep/j.xml",
               "--annotations", "github", "--json", "-q")  # fmt: skip
    assert done.code == ExitCode.OK
    codes = [warning["code"] for warning in json.loads(done.out)["warnings"]]
    assert codes
    assert done.err.startswith("::warning file=still.mp4,title=staa%3A ")
    assert codes[0] in done.err
    ((name, children),) = cases("deep/j.xml").items()
    assert (name, children) == ("still.mp4", ["system-out"])
    root = ET.fromstring(Path("deep/j.xml").read_text())
    assert float(next(root.iter("testcase")).get("time", "0")) > 0


def test_with_no_clobber_results_count_too(run: Any) -> None:
    run(*LINE)
    done = run(*LINE, "--no-clobber", "--junit", "j.xml")
    assert done.code == ExitCode.OK
    assert set(cases("j.xml")) == {"clips/jump.mp4", "clips/walk.mp4"}


def test_a_page_of_somebody_else_stays_and_the_results_are_written(run: Any) -> None:
    Path("staa-out").mkdir()
    Path("staa-out/index.html").write_text("theirs")
    done = run(*LINE, "--junit", "j.xml")
    assert done.code == ExitCode.INPUT_FAILED
    assert "error: staa-out/index.html is in the way" in done.err
    assert "--output-dir" in done.err
    assert "2 explained" in done.err
    assert Path("staa-out/index.html").read_text() == "theirs"
    assert Path("staa-out/jump/report.json").is_file()
    assert list(cases("j.xml").values()) == [["system-out"]] * 2


def test_a_dry_run_writes_nothing(run: Any) -> None:
    assert run(*LINE, "--dry-run", "--junit", "j.xml").code == ExitCode.OK
    assert not Path("staa-out").exists()
    assert not Path("j.xml").exists()


def test_what_annotations_it_does_not_know(run: Any) -> None:
    done = run(*LINE, "--annotations", "gitlab")
    assert (done.code, done.out) == (ExitCode.USAGE, "")
    assert done.err.startswith("error: --annotations: expected github, not 'gitlab'\n")
    assert not Path("staa-out").exists()


def test_what_cannot_be_written_keeps_nothing_else_from_being_written(run: Any) -> None:
    Path("in the way").write_text("")
    done = run(*LINE, "--junit", "in the way/j.xml", "--summary-md", "new/s.md")
    assert done.code == ExitCode.INPUT_FAILED
    assert "cannot write in the way" in done.err
    assert "2 videos" in Path("new/s.md").read_text()
    done = run(*LINE, "--junit", "clips", "-o", "other")
    assert done.code == ExitCode.USAGE
    assert done.err.startswith("error: --junit: clips is a folder")
    assert not Path("other").exists()
