"""Reports of two runs are paired by the hash of their video, wherever they are."""

from __future__ import annotations

from pathlib import Path

import pytest
from compared_runs import edited, result

from staa_cli.errors import InputError
from staa_cli.results.diff.pairs import Entry, find_entries, paired
from staa_cli.results.diff.run import diff
from staa_cli.results.diff.summary import name_of


def entry(folder: str, content: str) -> Entry:
    return Entry(Path(folder, "report.json"), Path(folder), Path(f"{folder}.mp4"), content)


def paths(
    old: list[tuple[str, str]], new: list[tuple[str, str]]
) -> tuple[list[tuple[str, str]], list[str], list[str]]:
    """Pairs, missing, and added ones by their folders."""
    pairs, missing, added = paired([entry(*e) for e in old], [entry(*e) for e in new])
    return (
        [(str(one.folder), str(other.folder)) for one, other in pairs],
        [str(e.folder) for e in missing],
        [str(e.folder) for e in added],
    )


def test_a_video_that_was_renamed_has_its_hash_still() -> None:
    found = paths([("a", "1"), ("b", "2")], [("x", "2"), ("y", "1")])
    assert found == ([("a", "y"), ("b", "x")], [], [])


def test_a_name_alone_makes_no_pair() -> None:
    assert paths([("a", "1")], [("a", "2")]) == ([], ["a"], ["a"])


def test_reports_of_one_video_belong_together_by_their_folders() -> None:
    old, new = [("a", "1"), ("b", "1")], [("b", "1"), ("a", "1")]
    assert paths(old, new) == ([("a", "a"), ("b", "b")], [], [])
    # the two that are left can only be each other's
    assert paths(old, [("b", "1"), ("c", "1")]) == ([("a", "c"), ("b", "b")], [], [])


def test_what_could_be_paired_in_several_ways_is_not() -> None:
    found = paths([("a", "1"), ("b", "1")], [("c", "1"), ("d", "1")])
    assert found == ([], ["a", "b"], ["c", "d"])
    found = paths([("a", "1")], [("c", "1"), ("d", "1")])
    assert found == ([], ["a"], ["c", "d"])
    # one of two copies is gone
    assert paths([("a", "1"), ("b", "1")], [("a", "1")]) == ([("a", "a")], ["b"], [])


def test_a_report_and_a_folder_are_runs_too(tmp_path: Path) -> None:
    old, new = result(tmp_path / "old"), result(tmp_path / "new" / "deep", peak_s=1.5)
    for one in (old, old.parent, tmp_path / "old"):
        for other in (new, new.parent, tmp_path / "new"):
            (pair,) = diff(one, other).pairs
            assert pair.temporal.shift_s > 0.2
            assert pair.old.path == str(old)
    moved = new.rename(tmp_path / "after.json")  # alone, without its maps
    (pair,) = diff(old, moved).pairs
    assert pair.spatial.energy_moved_by_time is None
    assert "no-maps" in {row.code for row in pair.warnings}


def test_a_folder_without_a_report_is_an_error(tmp_path: Path) -> None:
    for name in ("empty", "nowhere"):
        with pytest.raises(InputError, match=name):
            find_entries(tmp_path / "nowhere" if name == "nowhere" else _made(tmp_path / name))


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def test_a_url_is_shown_as_it_is(tmp_path: Path) -> None:
    url = "s3://bucket/a.mp4"
    for run in ("old", "new"):
        report = result(tmp_path / run, "a.mp4")
        edited(report, lambda content: content["video"].update(path=url))
    (pair,) = diff(tmp_path / "old", tmp_path / "new").pairs
    assert name_of(pair.video) == pair.video.path == url


def test_every_pair_is_announced(tmp_path: Path) -> None:
    for video in ("a.mp4", "b.mp4"):
        result(tmp_path / "old", video)
        result(tmp_path / "new", video)
    calls: list[tuple[str, int, int]] = []
    found = diff(tmp_path / "old", tmp_path / "new", on_pair=lambda *call: calls.append(call))
    assert calls == [("a.mp4", 0, 2), ("b.mp4", 1, 2)]
    assert (found.status, found.gates) == (None, [])
