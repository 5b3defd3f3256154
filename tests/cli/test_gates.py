"""`staa explain --fail-if`: a gate over the reports of a call, which fails closed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from staa_cli.errors import ExitCode

LINE = ("explain", "clips", "--no-annotated", "--no-html")
HOLDS, DOES_NOT_HOLD = "prediction.target.probability > 0", "len(frames.index) == 0"


pytestmark = pytest.mark.usefixtures("two_clips")


def test_a_condition_that_is_true_of_a_video_fails(run: Any) -> None:
    passed = run(*LINE, "--fail-if", DOES_NOT_HOLD)
    assert passed.code == ExitCode.OK
    assert f"--fail-if {DOES_NOT_HOLD} passed for all 2 videos" in passed.err
    failed = run(*LINE, "--fail-if", DOES_NOT_HOLD, "--fail-if", HOLDS)
    assert failed.code == ExitCode.GATE_FAILED == 1
    line = f"--fail-if {HOLDS} failed for 2 of 2 videos: clips/jump.mp4, clips/walk.mp4"
    assert f"error: {line}" in failed.err.splitlines()
    assert len(failed.out.splitlines()) == len(passed.out.splitlines())  # all is written


def test_one_video_is_enough(run: Any) -> None:
    """Told by its name, as it is in the report."""
    done = run(*LINE, "--fail-if", 'video.path == "clips/walk.mp4"')
    assert done.code == ExitCode.GATE_FAILED
    assert "failed for 1 of 2 videos: clips/walk.mp4" in done.err


@pytest.mark.parametrize("condition", [HOLDS, DOES_NOT_HOLD])
def test_without_the_report_of_a_video_no_gate_is_evaluated(run: Any, condition: str) -> None:
    Path("clips/bad.mp4").write_text("no video")
    done = run(*LINE, "--fail-if", condition)
    assert done.code == ExitCode.INPUT_FAILED
    assert f"{condition} could not be evaluated: clips/bad.mp4 has no report" in done.err


def test_a_field_that_is_null_makes_it_unevaluated(run: Any) -> None:
    done = run(*LINE, "--fail-if", "faithfulness.rows[0].srg < 0.5")
    assert done.code == ExitCode.INPUT_FAILED
    assert "could not be evaluated: clips/jump.mp4: faithfulness is null" in done.err


@pytest.mark.parametrize(
    ("condition", "told"),
    [
        ("temporal.flatt", "unknown field 'temporal.flatt' at character 10"),
        ("__import__('os')", "is not allowed at character 1"),
        ("", "expected an expression"),
    ],
)
def test_what_is_no_condition_is_told_before_anything_is_explained(
    run: Any, condition: str, told: str
) -> None:
    done = run(*LINE, "--fail-if", condition)
    assert done.code == ExitCode.USAGE
    assert done.err.startswith("error: --fail-if: ")
    assert told in done.err
    assert not Path("staa-out").exists()


def test_ci_services_see_every_gate(run: Any) -> None:
    ci = ("--junit", "j.xml", "--summary-md", "s.md", "--annotations", "github")
    done = run(*LINE, *ci, "--fail-if", DOES_NOT_HOLD, "--fail-if", HOLDS)
    assert done.code == ExitCode.GATE_FAILED
    root = ET.fromstring(Path("j.xml").read_text())
    gates = [case for case in root.iter("testcase") if case.get("classname") == "staa.gate"]
    assert [case.get("name") for case in gates] == [
        f"--fail-if {DOES_NOT_HOLD}",
        f"--fail-if {HOLDS}",
    ]
    assert [[child.tag for child in case] for case in gates] == [[], ["failure"]]
    assert {suite.get("failures") for suite in (root, *root.iter("testsuite"))} == {"1"}
    assert "failed" in Path("s.md").read_text().splitlines()[3]
    (command,) = [line for line in done.err.splitlines() if line.startswith("::error")]
    assert command.startswith("::error title=staa%3A gate::--fail-if prediction")
    done = run(*LINE, *ci, "--fail-if", "faithfulness.rows[0].srg < 0.5")
    assert ET.fromstring(Path("j.xml").read_text()).get("errors") == "1"


def test_finished_videos_are_judged_again(run: Any) -> None:
    run(*LINE)
    done = run(*LINE, "--json", "--fail-if", HOLDS)
    assert done.code == ExitCode.GATE_FAILED
    assert len([json.loads(line) for line in done.out.splitlines()]) == 2
    assert "2 skipped" in done.err


def test_what_is_not_explained_is_not_judged(run: Any) -> None:
    done = run(*LINE, "--dry-run", "--fail-if", HOLDS)
    assert done.code == ExitCode.USAGE
    assert "--dry-run and --fail-if contradict each other" in done.err
