"""`staa report`: the overview of a folder from its files, and exit codes."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import jsonschema
import pytest
from compared_runs import edited, result
from indexed_results import write_page

from staa_cli.errors import ExitCode

FILES = ["index.html", "summary.md", "junit.xml", "index.json"]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result(Path("run"), "walk.mp4", codes=("low-confidence",))
    result(Path("run"), "jump.mp4")


def lines(text: str, *starts: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(starts)]


def test_files_are_written_into_the_folder_and_are_on_stdout(run: Any) -> None:
    done = run("report", "run")
    assert (done.code, done.out.splitlines()) == (ExitCode.OK, [f"run/{name}" for name in FILES])
    assert done.err.splitlines()[-1] == "2 videos, 1 with warnings"
    assert all(Path("run", name).stat().st_size for name in FILES)
    content = json.loads(Path("run/index.json").read_text())
    assert [entry["video"]["path"] for entry in content["results"]] == ["jump.mp4", "walk.mp4"]
    schema = json.loads(run("schema", "index").out)
    jsonschema.Draft202012Validator(schema).validate(content)
    assert run("report", "run", "-q").out == ""


def test_neither_videos_nor_the_model_are_needed(staa: Any) -> None:
    done = staa("report", "run", PYTHONPROFILEIMPORTTIME="1")
    assert done.returncode == ExitCode.OK
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert not imported & {"torch", "timm", "torchvision"}


def test_json_is_what_is_in_the_file(run: Any) -> None:
    done = run("report", "run", "--json", "-q")
    printed = json.loads(done.out)
    assert next(iter(printed)) == "schema_version"
    written = json.loads(Path("run/index.json").read_text())
    assert sorted(written.pop("files")) == sorted(FILES)
    printed.pop("files")
    assert printed == written


def test_a_broken_report_is_a_line_with_a_hint_and_the_others_are_listed(run: Any) -> None:
    edited(Path("run/walk/report.json"), lambda report: report.update(schema_version=2))
    result(Path("run"), "cut.mp4").write_text("{")
    edited(result(Path("run"), "hand.mp4"), lambda report: report["frames"]["seen"].pop())
    done = run("report", "run", "--annotations", "github")
    assert done.code == ExitCode.INPUT_FAILED
    errors = lines(done.err, "error:", "hint:")
    assert [line.partition(":")[0] for line in errors] == ["error", "hint"] * 3
    assert "run/cut/report.json is not JSON" in errors[0]
    assert "its columns differ in length" in errors[2]
    assert "run/walk/report.json has schema version 2" in errors[4]
    assert len(lines(done.err, "::error file=run/")) == 3
    root = ET.fromstring(Path("run/junit.xml").read_text())
    assert [case.get("name") for case in root.iter("testcase")] == [
        *("jump.mp4", "cut/report.json", "hand/report.json", "walk/report.json")
    ]
    assert len(list(root.iter("error"))) == 3
    assert Path("run/summary.md").read_text().startswith("## staa: 4 videos, 3 failed\n")


def test_all_broken_is_an_overview_of_failures(run: Any) -> None:
    for path in Path("run").rglob("report.json"):
        path.write_text("{")
    done = run("report", "run")
    assert done.code == ExitCode.INPUT_FAILED
    assert len(done.out.splitlines()) == 4
    assert len(lines(done.err, "error:")) == 2


@pytest.mark.parametrize("place", ["nowhere", "empty", "run/walk/report.json"])
def test_nothing_found(run: Any, place: str) -> None:
    Path("empty").mkdir()
    done = run("report", place)
    assert (done.code, done.out) == (ExitCode.NOTHING_MATCHED, "")
    assert [line.partition(":")[0] for line in done.err.splitlines()] == ["error", "hint"]
    assert list(Path("empty").iterdir()) == []


def test_a_video_that_is_gone_matters_only_to_a_page_that_links_to_it(run: Any) -> None:
    from staa_cli.results.pages.media import Media

    write_page(Path("run/jump"))
    write_page(Path("run/walk"), media=Media("./../../gone.mp4", 0.0, "linked"))
    done = run("report", "run")
    assert done.code == ExitCode.OK
    assert {"run/jump/report.html", "run/walk/report.html"} <= set(done.out.splitlines())
    (warning,) = lines(done.err, "warning:")
    assert "run/walk/report.html shows a video that is gone: " in warning
    assert "staa render run/walk --video" in warning
    assert "report.html" not in "".join(run("report", "run", "--no-pages").out.splitlines())


def test_a_damaged_page_is_an_error_and_the_overview_is_written(run: Any) -> None:
    write_page(Path("run/jump")).write_text("<video>")
    done = run("report", "run")
    assert done.code == ExitCode.INPUT_FAILED
    assert done.out.splitlines() == [f"run/{name}" for name in FILES]
    assert "error: run/jump/report.html is not a page of staa" in done.err
    assert done.err.splitlines()[-1] == "2 videos, 1 with warnings, 1 page not written"
    assert Path("run/jump/report.html").read_text() == "<video>"


def test_a_file_that_is_in_the_way(run: Any) -> None:
    Path("run/summary.md").write_text("theirs")
    done = run("report", "run")
    assert done.code == ExitCode.INPUT_FAILED
    assert done.err.endswith(
        "error: run/summary.md is in the way and was not written by staa\nhint: move it away\n"
    )
    assert Path("run/summary.md").read_text() == "theirs"


def test_a_summary_is_appended(run: Any) -> None:
    Path("step.md").write_text("before\n")
    run("report", "run", "--summary-md", "step.md")
    text = Path("step.md").read_text()
    assert text == "before\n\n" + Path("run/summary.md").read_text()
    assert "| walk\\.mp4 | windsurfing 87 % |" in text
    Path("step.md").write_text("x" * 899_900)
    done = run("report", "run", "--summary-md", "step.md")
    assert "warning: step.md was cut below 900 kB" in done.err
    assert Path("step.md").stat().st_size < 900_000


def test_annotations_are_not_among_the_results(run: Any) -> None:
    done = run("report", "run", "--annotations", "github", "-q")
    assert done.out == ""
    assert done.err == ("::warning file=walk.mp4,title=staa%3A low-confidence::A caveat.\n")
    wrong = run("report", "run", "--annotations", "gitlab")
    assert (wrong.code, wrong.out) == (ExitCode.USAGE, "")


def test_names_that_are_no_text(run: Any) -> None:
    Path("run/walk").rename(os.fsdecode(b"run/\xff"))
    done = run("report", os.fsdecode(b"run/\xff"), "-q")
    assert done.code == ExitCode.OK
    assert Path(os.fsdecode(b"run/\xff/index.html")).is_file()
