"""Tables of frames, videos, and moments: what is in the reports, typed, and safe to open."""

from __future__ import annotations

import csv
import json
import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from compared_runs import edited, result
from explanations import explanation, measured

from staa_cli.errors import UnavailableError
from staa_cli.results.exports.base import ExportOptions, Rows
from staa_cli.results.exports.run import export
from staa_cli.results.exports.tables import COLUMNS
from staa_cli.results.files import write_json

ALL: tuple[Rows, ...] = ("frames", "videos", "moments")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Two results, one of them measured and of a part of its video."""
    result(tmp_path / "run", "walk.mp4", codes=("low-confidence", "decode-errors"))
    made = explanation(part=(60, 180), clip_starts=[60])
    folder = tmp_path / "run" / "deep" / "surf"
    folder.mkdir(parents=True)
    write_json(replace(made, faithfulness=measured()), folder / "report.json")
    return tmp_path / "run"


def reports(run: Path) -> dict[str, dict[str, Any]]:
    return {
        path.parent.relative_to(run).as_posix(): json.loads(path.read_text())
        for path in sorted(run.rglob("report.json"))
    }


def table(run: Path, rows: Rows) -> list[dict[str, str]]:
    (path,) = export(run, "csv", run.parent / "out", ExportOptions(rows=rows)).paths
    assert path == run.parent / "out" / f"{rows}.csv"
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def test_a_row_per_frame_has_the_columns_of_the_report(run: Path) -> None:
    found = table(run, "frames")
    expected = []
    for name, report in reports(run).items():
        frames = report["frames"]
        names = ("index", "time_s", "score", "weighted_score", "seen")
        for values in zip(*(frames[column] for column in names), strict=True):
            expected.append([name, report["video"]["path"], *map(text, values)])
    assert [list(row.values()) for row in found] == expected
    assert "" in {row["score"] for row in found}  # no clip reaches these frames
    assert {row["frame"] for row in found if row["result"] == "deep/surf"} == set(
        map(str, range(60, 180))
    )


def test_a_row_per_video_has_its_answer_and_its_statistics(run: Path) -> None:
    surf, walk = table(run, "videos")
    report = reports(run)["walk"]
    best = report["prediction"]["top_k"][0]
    assert (walk["label"], walk["confidence"]) == (best["label"], str(best["probability"]))
    assert walk["temporal_maximum"] == str(report["temporal"]["maximum"])
    assert walk["temporal_variation"] == str(report["temporal"]["coefficient_of_variation"])
    assert [walk["center_x"], walk["center_y"]] == list(map(str, report["spatial"]["center"]))
    assert walk["warnings"] == "low-confidence decode-errors"
    assert walk["seen_share"] == str(report["coverage"]["seen_share"])
    assert walk["srg"] == walk["beaten_by"] == walk["peak_s"] == ""  # the report has none
    assert (surf["insertion"], surf["deletion"], surf["srg"]) == ("0.75", "0.25", "0.5")
    assert (surf["srg_low"], surf["srg_high"]) == ("0.4", "0.7")
    assert surf["beaten_by"] == "center"


def test_a_row_per_moment_has_its_rank_its_time_and_its_box(run: Path) -> None:
    found = table(run, "moments")
    expected = [
        [
            *(name, report["video"]["path"], rank),
            *(moment["start_s"], moment["peak_s"], moment["end_s"]),
            *(moment["peak_score"], moment["share"], *moment["center"], *moment["box"]),
        ]
        for name, report in reports(run).items()
        for rank, moment in enumerate(report["moments"], 1)
    ]
    assert [list(row.values()) for row in found] == [list(map(str, row)) for row in expected]


def test_raw_values_are_told_apart_by_the_output_of_the_model(tmp_path: Path) -> None:
    result(tmp_path / "run", output="identity", confidence=-3.5)
    (row,) = table(tmp_path / "run", "videos")
    assert (row["output"], row["target_confidence"]) == ("identity", "-3.5")  # no apostrophe


FORMULAS = ["=1+1.mp4", "+1.mp4", "-1.mp4", "@sum.mp4", "\t=1.mp4", "\r=1.mp4", "＝1.mp4"]  # noqa: RUF001
HARMLESS = ["a\rb.mp4", "a=1.mp4", "a,b.mp4", 'a"b.mp4', "a\nb.mp4", "'quoted.mp4", " a.mp4"]


@pytest.mark.parametrize("name", [*FORMULAS, *HARMLESS])
def test_no_name_becomes_a_formula_or_another_cell(tmp_path: Path, name: str) -> None:
    path = result(tmp_path / "run", "walk.mp4")
    edited(path, lambda report: report["video"].update(path=name))
    exported = export(path, "csv", tmp_path / "out", ExportOptions(rows="videos"))
    with exported.paths[0].open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    is_formula = name in FORMULAS
    assert row["video"] == (f"'{name}" if is_formula else name)
    assert list(row) == list(COLUMNS["videos"])
    assert len(exported.caveats) == is_formula
    if is_formula:
        assert "1 text cell would have been a formula" in exported.caveats[0]


@pytest.mark.parametrize("rows", ALL)
def test_pandas_reads_the_table(run: Path, rows: Rows) -> None:
    pandas = pytest.importorskip("pandas")
    (path,) = export(run, "csv", run.parent / "out", ExportOptions(rows=rows)).paths
    frame = pandas.read_csv(path)
    for column, kind in COLUMNS[rows].items():
        if kind in ("number", "count"):
            assert pandas.api.types.is_numeric_dtype(frame[column]), column
        elif kind == "truth":
            assert frame[column].dtype == bool


@pytest.mark.parametrize("rows", ALL)
def test_parquet_has_the_same_values_with_their_types(run: Path, rows: Rows) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    (path,) = export(run, "parquet", run.parent / "out", ExportOptions(rows=rows)).paths
    found = parquet.read_table(path)
    assert found.schema.metadata.keys() >= {b"staa_version"}
    assert found.column_names == list(COLUMNS[rows])
    expected = table(run, rows)
    assert found.num_rows == len(expected)
    for row, cells in zip(found.to_pylist(), expected, strict=True):
        for column, value in row.items():
            if isinstance(value, list):
                assert " ".join(value) == cells[column]
            elif isinstance(value, float):
                assert math.isclose(value, float(cells[column]))
            else:
                assert text(value) == cells[column]


def test_parquet_keeps_few_rows_in_memory(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr("staa_cli.results.exports.parquet._ROW_GROUP", 100)
    (path,) = export(run, "parquet", run.parent / "out").paths
    file = parquet.ParquetFile(path)
    assert file.num_row_groups == 2
    assert file.metadata.num_rows == 60 + 120


def test_parquet_without_pyarrow_says_how_to_get_it(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UnavailableError, match="needs pyarrow") as caught:
        export(run, "parquet", run.parent / "out")
    assert caught.value.hint == "pip install 'staa[parquet]'"
    assert not (run.parent / "out").exists()
