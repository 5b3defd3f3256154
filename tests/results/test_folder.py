"""Whose a result folder is, and what is left of it when writing breaks off."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from staa_cli.errors import OutputError
from staa_cli.files import sha256_of
from staa_cli.results.folder import ResultFolder, Source
from staa_cli.video.folders import walk_videos

NAMES = ["picture.png", "report.json"]


@pytest.fixture(autouse=True)
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def video(path: str, content: str = "a walk") -> Path:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(content)
    return Path(path)


def write(
    folder: Path | str, source: Path, *, document: str = "report.json", **options: Any
) -> None:
    """A result as `save` leaves it: of a path as it was given, which may be relative."""
    of = Source(source.absolute(), sha256_of(source))
    with ResultFolder(Path(folder), document).writing([document], of, **options):
        facts: dict[str, Any] = {"schema_version": 1, "staa_version": "0"}
        facts["video"] = {"path": str(source), "sha256": of.sha256}
        facts["run"] = {"folder": str(Path.cwd())}
        Path(folder, document).write_text(json.dumps(facts))


def break_off(folder: Path | str, source: Path, draw: bool = True) -> None:
    """Ctrl-C while files are written, before or after a picture is there."""
    of = Source(source.absolute(), sha256_of(source))
    with suppress(KeyboardInterrupt), ResultFolder(Path(folder)).writing(NAMES, of):
        assert ".staa-writing" in names(folder)
        if draw:
            Path(folder, "picture.png").write_text("drawn")
        raise KeyboardInterrupt


def kill(folder: Path, source: Path) -> None:
    """What a process leaves that is killed after a picture is there."""
    of = Source(source.absolute(), sha256_of(source))
    with suppress(KeyboardInterrupt), ResultFolder(folder).writing(NAMES, of):
        Path(folder, "picture.png").write_text("drawn")
        left = {path.name: path.read_bytes() for path in folder.iterdir()}
        raise KeyboardInterrupt
    folder.mkdir(exist_ok=True)
    for name, data in left.items():
        (folder / name).write_bytes(data)


def check(folder: Path | str, source: Path, **options: Any) -> None:
    ResultFolder(Path(folder)).check(NAMES, Source.of_file(source), **options)


def names(folder: Path | str) -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir())


@pytest.mark.parametrize("path", ["a.mp4", "{}/a.mp4"])
def test_a_folder_belongs_to_its_source(tmp_path: Path, path: str) -> None:
    write("out/a", video(path.format(tmp_path)))
    check("out/a", Path("a.mp4"))
    check("out/a", tmp_path / "a.mp4")
    check("out/a", Path("out/../a.mp4"))
    other = video("y/a.mp4", "something else")
    with pytest.raises(OutputError, match="holds the results of another video") as caught:
        check("out/a", other)
    assert str(tmp_path / "a.mp4") in caught.value.cause
    assert "\n" not in caught.value.cause
    hint = caught.value.hint or ""
    assert all(flag in hint for flag in ("--output-dir", "--root", "--force"))
    check("out/a", other, force=True)
    check("out/b", other)


def test_an_edited_file_is_the_source_that_it_was() -> None:
    source = video("a.mp4")
    write("out", source)
    video("a.mp4", "a walk, encoded anew")
    check("out", source)


def test_a_file_that_was_moved_or_copied_is_too() -> None:
    write("out", video("old/a.mp4"))
    Path("old").rename("new")
    check("out", Path("new/a.mp4"))
    check("out", video("copy/b.mp4"))


def test_links_lead_to_their_file() -> None:
    source = video("a.mp4")
    write("out", source)
    Path("link.mp4").symlink_to("a.mp4")
    video("a.mp4", "edited")
    check("out", Path("link.mp4"))


def test_an_equal_name_below_another_folder_is_another_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    for name in ("x", "y"):
        video(f"{name}/a.mp4", f"of {name}")
    monkeypatch.chdir("x")
    write(out, Path("a.mp4"))
    check(out, Path("a.mp4"))
    monkeypatch.chdir("../y")
    with pytest.raises(OutputError, match="another video"):
        check(out, Path("a.mp4"))
    # A report that does not say in which folder it began is of its content alone.
    report = json.loads((out / "report.json").read_text())
    del report["run"]
    (out / "report.json").write_text(json.dumps(report))
    with pytest.raises(OutputError, match="another video"):
        check(out, Path("a.mp4"))
    check(out, video("b.mp4", "of x"))


def test_a_name_that_is_no_utf8_is_a_name() -> None:
    source = Path(os.fsdecode(b"\xff.mp4"))
    source.write_text("one")
    other = Path(os.fsdecode(b"\xfe.mp4"))
    other.write_text("other")
    kill(Path("out"), source)
    source.write_text("edited")
    check("out", source)
    with pytest.raises(OutputError, match=r"another video, .*/\\xff.mp4"):
        check("out", other)


def test_a_source_that_is_not_there_is_told_by_who_opens_it() -> None:
    write("out", video("a.mp4"))
    check("out", Path("missing/a.mp4"))


def test_what_was_killed_knows_its_source() -> None:
    source, other = video("x/a.mp4", "of x"), video("y/a.mp4", "of y")
    kill(Path("out"), source)
    assert names("out") == [".staa-writing", "picture.png"]
    with pytest.raises(OutputError, match="another video"):
        check("out", other)
    check("out", source)  # whose picture may be replaced
    write("out", source)
    assert names("out") == ["picture.png", "report.json"]


def test_a_comparison_and_a_report_share_a_folder_of_one_source() -> None:
    source, other = video("x/a.mp4", "of x"), video("y/a.mp4", "of y")
    write("out", source, document="compare.json")
    with pytest.raises(OutputError, match="another video"):
        check("out", other)
    write("out", source)
    assert names("out") == ["compare.json", "report.json"]
    with pytest.raises(OutputError, match="another video") as caught:
        ResultFolder(Path("out"), "compare.json").check([], Source.of_file(other))
    assert "--force" not in (caught.value.hint or "")  # which it does not have
    Path("out/compare.mp4").write_text("panels")
    Path("out/maps.npz").write_text("maps")
    Path("out/notes.txt").write_text("mine")
    write("out", other, force=True)
    assert names("out") == ["notes.txt", "report.json"]
    check("out", other)


@pytest.mark.parametrize("draw", [False, True])
@pytest.mark.parametrize("there", [False, True])
def test_who_does_not_finish_leaves_nothing(there: bool, draw: bool) -> None:
    source = video("a.mp4")
    if there:
        video("out/notes.txt", "mine")
    break_off("out", source, draw)
    assert Path("out").exists() is there
    if there:
        assert names("out") == ["notes.txt"]


def test_a_finished_result_stays_finished_until_something_is_replaced() -> None:
    source = video("a.mp4")
    write("out", source)
    Path("out/picture.png").write_text("of before")
    for change in (False, True):
        break_off("out", source, draw=change)
        assert Path("out/.staa-writing").exists() is change


def test_a_mark_that_makes_no_sense_owns_nothing() -> None:
    for text in ("", "picture.png\n", "[1]", '{"files"'):
        video("out/.staa-writing", text)
        video("out/picture.png", "mine")
        with pytest.raises(OutputError, match="was not written by staa"):
            check("out", video("a.mp4"))


CUT_SHORT = '{\n  "schema_version": 1,\n  "staa_version": "0.1.0",\n  "fingerpr'
STAA_PAGE = '<!doctype html>\n<meta name="generator" content="staa 0.1.0">\n'


@pytest.mark.parametrize("text", [CUT_SHORT, CUT_SHORT + 'int": 1e400}', CUT_SHORT + '": [[[['])
def test_a_damaged_report_is_replaced_with_the_files_beside_it(text: str) -> None:
    source = video("a.mp4")
    video("out/report.json", text)
    video("out/picture.png", "of before")
    check("out", source)
    write("out", source)
    assert ResultFolder(Path("out")).document() is not None


def test_a_damaged_overview_owns_nothing_but_itself() -> None:
    """It lists its files, as those beside it may be of others."""
    video("out/index.json", CUT_SHORT)
    folder = ResultFolder(Path("out"), "index.json")
    folder.check(["index.json", "index.html"])
    video("out/index.html", "mine")
    with pytest.raises(OutputError, match=r"index.html is in the way"):
        folder.check(["index.json", "index.html"])


def test_a_marker_that_is_cut_short_owns_the_files_too() -> None:
    video("out/.staa-writing", '{"staa_version": "0.1.0", "files": ["pict')
    video("out/picture.png", "of before")
    check("out", video("a.mp4"))


@pytest.mark.parametrize("cut_short", [False, True])
def test_the_result_of_a_newer_staa_is_replaced_by_force_alone(cut_short: bool) -> None:
    text = CUT_SHORT.replace('version": 1', 'version": 99')
    video("out/report.json", text if cut_short else text + 'int": ""}')
    video("out/picture.png", "newer")
    with pytest.raises(OutputError, match="schema version 99, of a newer staa") as caught:
        check("out", video("a.mp4"))
    assert "--force replaces it" in (caught.value.hint or "")
    check("out", video("a.mp4"), force=True)
    video("out/compare.json", text)
    with pytest.raises(OutputError, match="of a newer staa") as caught:
        ResultFolder(Path("out"), "compare.json").check([])
    assert "--force" not in (caught.value.hint or "")  # which `compare` does not have


@pytest.mark.parametrize("text", ["", "[[[[", "\0" * 300, '{"schema_version": 1}'])
def test_a_report_beyond_recognition_goes_by_force_beside_a_page_of_staa(text: str) -> None:
    source = video("a.mp4")
    video("out/report.json", text)
    video("out/picture.png", "whose?")
    for force in (False, True):
        with pytest.raises(OutputError, match=r"out/report\.json is in the way") as caught:
            check("out", source, force=force)
        assert (caught.value.hint or "").startswith("move the folder away, or remove it")
    video("out/report.html", "<!doctype html>\n<title>mine</title>")
    with pytest.raises(OutputError, match="in the way"):
        check("out", source, force=True)
    video("out/report.html", STAA_PAGE)
    with pytest.raises(OutputError, match="in the way") as caught:
        check("out", source)
    assert (caught.value.hint or "").startswith("--force replaces it")
    check("out", source, force=True)


@pytest.mark.parametrize("path", [1, None, ["a.mp4"], {"a": 1}])
def test_a_document_that_somebody_has_changed_is_of_its_content(path: Any) -> None:
    source = video("a.mp4")
    write("out", source)
    report = json.loads(Path("out/report.json").read_text())
    report["video"]["path"] = path
    Path("out/report.json").write_text(json.dumps(report))
    check("out", source)
    with pytest.raises(OutputError, match="another video"):
        check("out", video("b.mp4", "something else"))


def test_a_result_of_no_video_has_no_source() -> None:
    folder = ResultFolder(Path("out"), "benchmark.json", "--into")
    with folder.writing(["benchmark.json"]):
        Path("out/benchmark.json").write_text('{"schema_version": 1, "staa_version": "0"}')
    folder.check(["benchmark.json", "quality.png"])
    check("out", video("a.mp4"))
    Path("out/benchmark.json").write_text("{}")
    with pytest.raises(OutputError, match="in the way") as caught:
        folder.check(["benchmark.json"])
    assert "--into" in (caught.value.hint or "")


def test_a_video_that_is_being_written_is_no_input() -> None:
    video("clips/a/annotated.mp4")
    video("clips/b/annotated.mp4")
    mark = {"staa_version": "0", "files": ["annotated.mp4"]}
    video("clips/a/.staa-writing", json.dumps(mark))
    assert list(walk_videos(Path("clips"), recursive=True)) == [Path("clips/b/annotated.mp4")]
