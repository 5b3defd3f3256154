"""`staa export`: what it prints, and its exit codes."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from compared_runs import edited, result

from staa_cli.errors import ExitCode


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result(Path("run"), "walk.mp4")
    result(Path("run"), "jump.mp4")


@pytest.mark.parametrize(
    ("line", "paths"),
    [
        (("csv",), ["staa-export/csv/frames.csv"]),
        (("csv", "--rows", "moments", "-o", "out"), ["out/moments.csv"]),
        (("csv", "-o", "-out"), ["./-out/frames.csv"]),
        (
            ("labelstudio",),
            [
                "staa-export/labelstudio/tasks.json",
                "staa-export/labelstudio/labeling_interface.xml",
            ],
        ),
        (("fiftyone", "--maps", "seen"), ["staa-export/fiftyone"]),
    ],
)
def test_stdout_has_what_the_tool_opens_and_nothing_else(
    run: Any, line: tuple[str, ...], paths: list[str]
) -> None:
    name, *options = line
    done = run("export", name, "run", *options)
    assert (done.code, done.out.splitlines()) == (ExitCode.OK, paths)
    assert all(Path(path).exists() for path in paths)
    assert "2 results exported" in done.err
    assert run("export", name, "run", *options, "-q").out == ""


def test_a_broken_report_is_a_line_with_a_hint_and_the_others_are_exported(run: Any) -> None:
    edited(Path("run", "walk", "report.json"), lambda report: report.update(schema_version=2))
    result(Path("run"), "cut.mp4").write_text("{")
    done = run("export", "csv", "run")
    assert done.code == ExitCode.INPUT_FAILED
    assert done.out == "staa-export/csv/frames.csv\n"
    errors = [line for line in done.err.splitlines() if line.startswith(("error:", "hint:"))]
    assert [line.partition(":")[0] for line in errors] == ["error", "hint"] * 2
    assert "run/cut/report.json is not JSON" in errors[0]
    assert "run/walk/report.json has schema version 2" in errors[2]
    assert "1 result exported, 2 failed" in done.err
    assert Path("staa-export/csv/frames.csv").read_text().count("jump") == 60 * 2


def test_all_broken_writes_nothing(run: Any) -> None:
    for path in Path("run").rglob("report.json"):
        path.write_text("{")
    done = run("export", "fiftyone", "run")
    assert (done.code, done.out) == (ExitCode.INPUT_FAILED, "")
    assert not Path("staa-export", "fiftyone").exists()


@pytest.mark.parametrize("place", ["nowhere", "empty"])
def test_nothing_found(run: Any, place: str) -> None:
    Path("empty").mkdir()
    done = run("export", "csv", place)
    assert (done.code, done.out) == (ExitCode.NOTHING_MATCHED, "")
    assert [line.partition(":")[0] for line in done.err.splitlines()] == ["error", "hint"]


def test_a_file_that_is_in_the_way(run: Any) -> None:
    Path("out").mkdir()
    Path("out", "frames.csv").write_text("theirs")
    done = run("export", "csv", "run", "-o", "out")
    assert done.code == ExitCode.INPUT_FAILED
    assert "was not written by staa" in done.err
    assert Path("out", "frames.csv").read_text() == "theirs"


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (("cvs",), "unknown export format 'cvs'"),
        (("csv", "--rows", "frame"), "--rows: expected frames, videos, or moments, not 'frame'"),
        (("csv", "--maps", "none"), "--maps has no effect on csv"),
        (("labelstudio", "--rows", "frames"), "--rows has no effect on labelstudio"),
        (("fiftyone", "--url", "x"), "--url has no effect on fiftyone"),
    ],
)
def test_what_it_does_not_know(run: Any, line: tuple[str, ...], error: str) -> None:
    done = run("export", line[0], "run", *line[1:])
    assert (done.code, done.out) == (ExitCode.USAGE, "")
    assert done.err.startswith(f"error: {error}\nhint: ")


def test_parquet_without_pyarrow(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    done = run("export", "parquet", "run")
    assert (done.code, done.out) == (ExitCode.UNAVAILABLE, "")
    assert done.err.endswith("hint: pip install 'staa[parquet]'\n")


def test_a_name_that_is_no_text_is_escaped(run: Any) -> None:
    folder = os.fsdecode(b"run/a\xff")
    Path("run", "walk").rename(folder)
    done = run("export", "csv", "run")
    assert done.code == ExitCode.OK
    assert "a\\xff,walk.mp4,0," in Path("staa-export/csv/frames.csv").read_text(encoding="utf-8")
