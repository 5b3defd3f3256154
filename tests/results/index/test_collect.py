"""The overview of a folder: what is in the reports, and the others are listed if one is broken."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from compared_runs import edited, result
from explanations import explanation, measured
from indexed_results import failure

from staa_cli.errors import OutputError
from staa_cli.results.document import Place
from staa_cli.results.files import write_json
from staa_cli.results.generate_schema import index_schema
from staa_cli.results.index.collect import collect_folder, folder_of, stored_index
from staa_cli.results.index.write import write_index
from staa_cli.results.report import plain_document


@pytest.fixture
def run(tmp_path: Path) -> Path:
    result(tmp_path / "run", "walk.mp4", codes=("low-confidence",))
    result(tmp_path / "run" / "deep", "jump.mp4", npz=False)
    return tmp_path / "run"


def test_an_entry_has_what_its_report_has(run: Path) -> None:
    first, second = collect_folder(run).results
    assert (first.folder.path, second.folder.path) == ("deep/jump", "walk")
    assert (first.files, second.files) == (["report.json"], ["maps.npz", "report.json"])
    report = json.loads((run / "walk" / "report.json").read_text())
    assert second.fingerprint == report["fingerprint"]
    assert (second.video.path, second.sha256) == ("walk.mp4", report["video"]["sha256"])
    assert (second.start_s, second.end_s) == (0.0, pytest.approx(2.0, abs=1e-4))
    assert second.label == report["prediction"]["top_k"][0]["label"]
    assert second.target.probability == report["prediction"]["target"]["probability"]
    assert [warning.code for warning in second.warnings] == ["low-confidence"]
    assert second.peak_s == report["temporal"]["peak_s"]
    assert second.faithfulness is None


def test_faithfulness_is_that_of_the_method(tmp_path: Path) -> None:
    write_json(
        dataclasses.replace(explanation(), faithfulness=measured()), tmp_path / "report.json"
    )
    (entry,) = collect_folder(tmp_path).results
    assert entry.folder.path == "."
    assert entry.faithfulness is not None
    assert (entry.faithfulness.srg, entry.faithfulness.beaten_by) == (0.5, ["center"])
    assert folder_of(entry, tmp_path) == tmp_path


def curve_of(run: Path, scores: list[float | None], times: list[float] | None = None) -> Any:
    def change(report: dict[str, Any]) -> None:
        count = len(scores)
        report["frames"] = {
            "index": list(range(count)),
            "seen": [True] * count,
            "time_s": times or [round(place / 30, 6) for place in range(count)],
            "score": [1.0] * count,
            "weighted_score": scores,
        }
        report["temporal"]["peak_s"] = 0

    edited(run / "walk" / "report.json", change)
    return collect_folder(run).results[-1].curve


def test_the_curve_has_the_highest_score_of_each_part(run: Path) -> None:
    assert curve_of(run, [0.0, 1.0, 4.0, 2.0]) == [0, 0.25, 1, 0.5]
    assert curve_of(run, [2.0, 4.0, 3.0]) == [0.5, 1, 0.75]  # from zero
    assert curve_of(run, [-1.0, 1.0, 0.0]) == [0, 1, 0.5]  # from the lowest
    assert curve_of(run, [0.0, 0.0]) == [0, 0]
    assert curve_of(run, [1.0, None, 2.0]) == [0.5, None, 1]
    # the second frame lasts until the third begins
    assert curve_of(run, [1.0, 3.0, 4.0, 2.0], [0.0, 0.01, 2.0, 3.0]) == [0.75, 0.75, 1, 0.5]
    assert curve_of(run, [None, None]) == [None, None]
    assert curve_of(run, [1e308, -1e308, 0.0]) == [1, 0, 0.5]


def test_a_curve_of_many_frames_keeps_its_peak(tmp_path: Path) -> None:
    write_json(explanation(frames=3000), tmp_path / "report.json")
    (entry,) = collect_folder(tmp_path).results
    report = json.loads((tmp_path / "report.json").read_text())
    scores, times = report["frames"]["weighted_score"], report["frames"]["time_s"]
    peak_s = times[scores.index(max(scores))]
    assert len(entry.curve) == 48
    assert entry.curve[int(peak_s / 100 * 48)] == 1
    low = sum(score < 0.1 * max(scores) for score in scores) / len(scores)
    assert sum(value is not None and value < 0.1 for value in entry.curve) / 48 == pytest.approx(
        low, abs=0.06
    )


BROKEN = {
    "newer": (lambda r: r.update(schema_version=2), "has schema version 2"),
    "edited": (lambda r: r["frames"]["score"].pop(), "its columns differ in length"),
    "no answer": (lambda r: r["prediction"].pop("target"), "prediction"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_the_others_are_listed_if_a_report_is_broken(run: Path, name: str) -> None:
    change, words = BROKEN[name]
    edited(run / "walk" / "report.json", change)
    index = collect_folder(run)
    assert [entry.folder.path for entry in index.results] == ["deep/jump"]
    (broken,) = index.broken_reports
    assert words in broken.cause
    assert broken.hint
    assert broken.report.path == "walk/report.json"


def test_an_interrupted_result_is_broken_and_no_json_too(run: Path) -> None:
    (run / "walk" / ".staa-writing").write_text("{}")
    (run / "deep" / "jump" / "report.json").write_text("")
    causes = [broken.cause for broken in collect_folder(run).broken_reports]
    assert "is empty" in causes[0]
    assert "interrupted run" in causes[1]


@pytest.mark.parametrize("value", [1e308, -1e308, 1e-308, 0, 2**63])
def test_no_number_of_a_report_breaks_the_overview(run: Path, value: float, tmp_path: Path) -> None:
    def change(report: dict[str, Any]) -> None:
        report["temporal"]["peak_s"] = abs(value)
        report["video"]["duration_s"] = abs(value)
        report["video"]["rate"] = abs(value)
        report["frames"]["weighted_score"][:2] = [value, -value]
        report["prediction"]["target"] |= {"value": value}
        report["prediction"]["target"].pop("probability")

    edited(run / "walk" / "report.json", change)
    index = collect_folder(run)
    assert len(index.results) + len(index.broken_reports) == 2
    write_index(index, run, ["index.html", "summary.md", "junit.xml"])
    content = json.loads((run / "index.json").read_text(), parse_constant=pytest.fail)
    assert all(math.isfinite(entry["end_s"]) for entry in content["results"])


def test_index_json_is_as_its_schema_says_and_can_be_read_back(run: Path) -> None:
    (run / "walk" / "report.json").rename(run / "report.json")  # a result beside the overview
    index = collect_folder(run, [failure(), failure("late.mp4", folder={"path": "late"})])
    paths = write_index(index, run)
    assert [path.name for path in paths] == ["index.html", "index.json"]
    content = json.loads(paths[-1].read_text())
    jsonschema.Draft202012Validator(index_schema()).validate(content)
    stored = stored_index(run)
    assert stored is not None
    assert plain_document(stored)["results"] == plain_document(index)["results"]
    assert stored.failed_inputs == index.failed_inputs
    assert collect_folder(run).failed_inputs == index.failed_inputs


def test_a_failure_is_listed_until_its_folder_has_another_result(run: Path) -> None:
    found = next(one for one in collect_folder(run).results if one.folder.path == "walk")
    place = {"path": "walk"}
    before = failure(folder=place, fingerprint=found.fingerprint)
    assert collect_folder(run, [before]).failed_inputs == [before]
    assert collect_folder(run, [failure(folder=place)]).failed_inputs == []
    assert collect_folder(run, [failure(folder=place, fingerprint="old")]).failed_inputs == []
    elsewhere = failure(folder={"path": "other"})
    assert collect_folder(run, [elsewhere]).failed_inputs == [elsewhere]


def test_names_that_are_no_text(run: Path) -> None:
    target = run / os.fsdecode(b"a\xff")
    (run / "walk").rename(target)
    entry = next(one for one in collect_folder(run).results if one.folder.path_bytes)
    assert entry.folder.path == "a\\xff"
    assert folder_of(entry, run) == target
    write_index(collect_folder(run), run)
    assert '"0":"a%FF"' in (run / "index.html").read_text(encoding="utf-8")


def test_what_is_not_from_staa_is_not_replaced(run: Path) -> None:
    (run / "index.html").write_text("theirs")
    with pytest.raises(OutputError, match=r"index.html is in the way") as raised:
        write_index(collect_folder(run), run)
    assert raised.value.hint == "move it away"
    assert (run / "index.html").read_text() == "theirs"
    assert not (run / "index.json").exists()
    (run / "index.html").unlink()
    write_index(collect_folder(run), run)
    write_index(collect_folder(run), run, ["index.html", "summary.md", "junit.xml"])
    write_index(collect_folder(run), run)  # what an earlier call wrote stays staa's
    write_index(collect_folder(run), run, ["index.html", "summary.md", "junit.xml"])


def test_equal_results_make_equal_files(run: Path) -> None:
    names = ["index.html", "summary.md", "junit.xml", "index.json"]
    write_index(collect_folder(run), run, names[:3])
    before = [(run / name).read_bytes() for name in names]
    write_index(collect_folder(run), run, names[:3])
    assert [(run / name).read_bytes() for name in names] == before


def test_places_compare_by_their_bytes() -> None:
    assert Place("a\\xff") != Place("a\\xff", "Yf8=")
