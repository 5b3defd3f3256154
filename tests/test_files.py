from __future__ import annotations

import errno
from pathlib import Path

import pytest

from staa_cli.errors import OutputError
from staa_cli.files import atomic_path


def test_result_appears_at_the_end_and_only_then(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "report.json"
    with atomic_path(target) as part:
        part.write_text("new")
        assert part.parent == target.parent
        assert part.name.endswith(".part")
        assert not target.exists()
    assert target.read_text() == "new"
    assert [p.name for p in target.parent.iterdir()] == ["report.json"]


def _half(target: Path, error: BaseException) -> None:
    with atomic_path(target) as part:
        part.write_text("half")
        raise error


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_failure_keeps_the_old_result_and_leaves_no_part(
    tmp_path: Path, error: type[BaseException]
) -> None:
    target = tmp_path / "report.json"
    target.write_text("old")
    with pytest.raises(error):
        _half(target, error())
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["report.json"]


def test_full_disk_is_said_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no space left") as caught:
        _half(tmp_path / "x", OSError(errno.ENOSPC, "No space left on device"))
    assert caught.value.hint
    assert [p.name for p in tmp_path.iterdir()] == []


def test_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"), atomic_path(tmp_path / "file" / "x"):
        pytest.fail("nothing can be written there")


def test_name_of_any_length(tmp_path: Path) -> None:
    target = tmp_path / ("ä" * 120 + ".mp4")
    with atomic_path(target) as part:
        part.write_bytes(b"x")
    assert target.read_bytes() == b"x"
