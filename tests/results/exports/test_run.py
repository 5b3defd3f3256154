"""An export is complete or not at all, and replaces nothing that is not its own."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest
from compared_runs import edited, result

from staa_cli.errors import InputError, NothingMatched, OutputError, UsageError
from staa_cli.results.exports.base import EXPORTS, Export, ExportOptions
from staa_cli.results.exports.run import export

FORMATS = ("csv", "labelstudio", "fiftyone")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    result(tmp_path / "run", "walk.mp4")
    result(tmp_path / "run", "jump.mp4")
    return tmp_path / "run"


@pytest.mark.parametrize("name", FORMATS)
def test_equal_results_make_equal_files_and_leave_nothing_else(
    name: str, run: Path, tmp_path: Path
) -> None:
    exported = export(run, name, tmp_path / "one")
    assert (exported.count, exported.failures) == (2, ())
    export(run, name, tmp_path / "two")
    assert content(tmp_path / "one") == content(tmp_path / "two")
    files = [*EXPORTS.get(name).files(ExportOptions()), f"export-{name}.json"]
    assert names(tmp_path / "one") == sorted(files)


@pytest.mark.parametrize("name", FORMATS)
def test_a_report_a_folder_and_a_folder_of_folders_are_results(
    name: str, run: Path, tmp_path: Path
) -> None:
    one = run / "walk"
    counts = [
        export(place, name, tmp_path / str(number)).count
        for number, place in enumerate((one / "report.json", one, run, tmp_path))
    ]
    assert counts == [1, 1, 2, 2]


@pytest.mark.parametrize("name", FORMATS)
def test_others_are_exported_where_one_is_broken(name: str, run: Path, tmp_path: Path) -> None:
    (result(run, "cut.mp4")).write_text('{"schema_version": 1, ')
    edited(result(run, "newer.mp4"), lambda report: report.update(schema_version=2))
    edited(result(run, "odd.mp4"), lambda report: report["frames"]["seen"].pop())
    (result(run, "later.mp4").parent / ".staa-writing").write_text("{}")
    exported = export(run, name, tmp_path / "out")
    assert exported.count == 2
    assert [str(run / place) in failure.cause for failure, place in zip(
        exported.failures, ("cut", "later", "newer", "odd"), strict=True
    )] == [True] * 4  # fmt: skip
    assert all(failure.hint for failure in exported.failures)
    document = json.loads((tmp_path / "out" / f"export-{name}.json").read_text())
    assert document["failures"] == [failure.cause for failure in exported.failures]
    assert "cut.mp4" not in b"".join(content(tmp_path / "out").values()).decode().replace(
        json.dumps(document["failures"][0]), ""
    )


@pytest.mark.parametrize("name", FORMATS)
def test_nothing_is_replaced_where_no_result_can_be_exported(
    name: str, run: Path, tmp_path: Path
) -> None:
    export(run, name, tmp_path / "out")
    before = content(tmp_path / "out")
    for path in run.rglob("report.json"):
        path.write_text("")
    exported = export(run, name, tmp_path / "out")
    assert (exported.paths, exported.count, len(exported.failures)) == ((), 0, 2)
    assert content(tmp_path / "out") == before
    export(run, name, tmp_path / "never")
    assert not (tmp_path / "never").exists()


@pytest.mark.parametrize("place", ["nowhere", "empty"])
def test_no_result_is_no_match(place: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(NothingMatched):
        export(tmp_path / place, "csv", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_that_staa_did_not_write_is_kept(name: str, run: Path, tmp_path: Path) -> None:
    theirs = tmp_path / "out" / EXPORTS.get(name).files(ExportOptions())[0]
    theirs.parent.mkdir()
    theirs.write_text("theirs")
    with pytest.raises(OutputError, match="was not written by staa") as caught:
        export(run, name, tmp_path / "out")
    assert "--output-dir" in str(caught.value.hint)
    assert content(tmp_path / "out") == {theirs.name: b"theirs"}


def test_another_table_beside_an_export_is_kept_too(run: Path, tmp_path: Path) -> None:
    export(run, "csv", tmp_path / "out")
    theirs = tmp_path / "out" / "videos.csv"
    theirs.write_text("theirs")
    with pytest.raises(OutputError, match="was not written by staa"):
        export(run, "csv", tmp_path / "out", ExportOptions(rows="videos"))
    assert theirs.read_text() == "theirs"
    theirs.unlink()
    for rows in ("videos", "frames", "videos"):  # both tables are of staa, then
        export(run, "csv", tmp_path / "out", ExportOptions(rows=rows))
    assert names(tmp_path / "out") == ["export-csv.json", "frames.csv", "videos.csv"]


def test_formats_share_a_folder(run: Path, tmp_path: Path) -> None:
    for name in (*FORMATS, *FORMATS):
        export(run, name, tmp_path / "out")
    theirs = tmp_path / "out" / "videos.csv"
    theirs.write_text("theirs")
    with pytest.raises(OutputError):
        export(run, "csv", tmp_path / "out", ExportOptions(rows="videos"))


@pytest.mark.parametrize("name", FORMATS)
def test_a_full_disk_leaves_the_earlier_export(
    name: str, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(run, name, tmp_path / "out")
    before = content(tmp_path / "out")

    def full(self: Export) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(EXPORTS.get(name), "finish", full)
    with pytest.raises(OutputError, match="no space left"):
        export(run, name, tmp_path / "out")
    assert content(tmp_path / "out") == before


def test_an_unknown_format_names_the_nearest(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown export format 'label-studio'") as caught:
        export(run, "label-studio", tmp_path / "out")
    assert "labelstudio" in str(caught.value.hint)


def test_a_video_at_a_url_is_no_file_for_fiftyone(run: Path, tmp_path: Path) -> None:
    url = "s3://bucket/walk.mp4"
    edited(run / "walk" / "report.json", lambda report: report["video"].update(path=url))
    exported = export(run, "fiftyone", tmp_path / "out")
    assert exported.count == 1
    (failure,) = exported.failures
    assert url in failure.cause


@pytest.mark.parametrize("name", ["labelstudio", "fiftyone"])
def test_frames_in_memory_have_no_video_to_show(name: str, run: Path, tmp_path: Path) -> None:
    edited(run / "walk" / "report.json", lambda report: report["video"].update(path="<frames>"))
    exported = export(run, name, tmp_path / "out")
    assert exported.count == 1
    (failure,) = exported.failures
    assert isinstance(failure, InputError)
    assert "frames in memory" in failure.cause
    assert export(run, "csv", tmp_path / "table").count == 2
