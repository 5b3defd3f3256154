"""Names of files: whatever bytes they are, they come out as what they are, or can be made it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from small_videos import film

from staa_cli.errors import ExitCode
from staa_cli.paths import STDOUT_ERRORS, as_text, path_fields, path_from

ROOT = Path(__file__).parent.parent.parent

HOSTILE = [
    b"not_utf8_\xff\xfe.mp4",
    b"\xff\xfe.mp4",  # begins as UTF-16 does
    b"\xed\xb3\xbf.mp4",  # a surrogate, encoded
    b"\\udcff.mp4",
    b"\\xff.mp4",
    b"new\nline.mp4",
    b"cr\r.mp4",
    b"esc\x1b[31m.mp4",
    b"-r.mp4",
    b"--help.mp4",
    b"q'uo\"te.mp4",
    b"seq%03d.mp4",
    b"st*ar.mp4",
    b"[x].mp4",
    b"co:lon.mp4",
    b"~.mp4",
    b" a b .mp4",
    b"$HOME`id`;|&.mp4",
    b"n" * 251 + b".mp4",
    "\u202egpj.mp4".encode(),
    "\U0001f600動é.mp4".encode(),
]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="names are bytes on Linux")


def staa(*arguments: str | bytes, **variables: str) -> subprocess.CompletedProcess[bytes]:
    """Runs the command, with bytes everywhere."""
    return subprocess.run(
        [sys.executable, "-m", "staa_cli", *arguments],
        capture_output=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | variables,
        timeout=120,
        check=False,
    )


def laid(names: Sequence[bytes]) -> None:
    """The same small video under each of the names, here."""
    source = film(Path("../source"), 8)
    for name in names:
        shutil.copy(source, os.fsdecode(name))


def the_names(lines: str) -> set[bytes]:
    """Names that JSON lines tell, each line checked to be valid Unicode in ASCII."""
    assert lines.isascii()
    reports = [json.loads(line) for line in lines.splitlines()]
    for report in reports:
        json.dumps(report, ensure_ascii=False).encode("utf-8")
    return {os.fsencode(path_from(report["video"])) for report in reports}


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STAA_THREADS", "1")
    monkeypatch.setenv("STAA_MODEL", "test_timesformer")
    (tmp_path / "in").mkdir()
    monkeypatch.chdir(tmp_path / "in")


def test_every_name_is_explained_and_read_back(run: Any, tmp_path: Path) -> None:
    laid(HOSTILE)
    line = ("explain", ".", "-o", "../out", "--no-annotated", "--json")
    plan = run(*line, "--dry-run")
    assert plan.code == ExitCode.OK
    rows = [json.loads(row) for row in plan.out.splitlines()]
    assert {os.fsencode(path_from(row, "input")) for row in rows} == set(HOSTILE)
    done = run(*line)
    assert done.code == ExitCode.OK
    assert done.err.endswith(f"{len(HOSTILE)} explained\n")
    assert the_names(done.out) == set(HOSTILE)
    again = run(*line)
    assert again.err.endswith(f"{len(HOSTILE)} skipped\n")
    assert again.out == done.out
    written = [json.loads(path.read_text("utf-8")) for path in Path("../out").rglob("report.json")]
    assert {os.fsencode(path_from(each["video"])) for each in written} == set(HOSTILE)
    no_text = [each["video"]["path"] for each in written if "path_bytes" in each["video"]]
    assert sorted(no_text) == [r"\xed\xb3\xbf.mp4", r"\xff\xfe.mp4", r"not_utf8_\xff\xfe.mp4"]
    Path("../list").write_bytes(b"".join(name + b"\0" for name in HOSTILE))
    listed = run("explain", "--from-file", "../list", *line[2:])
    assert the_names(listed.out) == set(HOSTILE)


def test_a_failure_keeps_its_name(run: Any) -> None:
    name = b"gone\xff.mp4"
    done = run("explain", os.fsdecode(name), "--json")
    assert done.code == ExitCode.INPUT_FAILED
    assert the_names(done.out) == {name}
    assert done.err.startswith("error: gone\\xff.mp4: no such file\n")


def test_a_comparison_and_a_benchmark_keep_names_too(run: Any) -> None:
    laid([b"a\xff.mp4"])
    name, folder = os.fsdecode(b"a\xff.mp4"), os.fsdecode(b"../o\xfe")
    words = ("--methods", "staa,random", "--no-faithfulness", "-o", folder, "--json")
    done = run("compare", name, *words)
    assert done.code == ExitCode.OK
    assert the_names(done.out) == {b"a\xff.mp4"}
    Path("broken.mp4").symlink_to("nowhere")
    line = ("--dataset", ".", "--methods", "staa,random", "--metrics", "deletion", "--into", folder)
    done = run("benchmark", "quality", *line)
    assert done.code == ExitCode.INPUT_FAILED  # the broken link
    assert "error: broken.mp4: no such file" in done.err
    result = json.loads(Path(folder, "benchmark.json").read_text("utf-8"))
    names = {os.fsencode(path_from(clip, "name")) for clip in result["per_clip"]}
    assert names == {b"a\xff.mp4", b"broken.mp4"}
    assert result["scored"] == 1


@pytest.mark.slow
def test_everything_is_written_into_a_folder_that_is_no_utf8() -> None:
    laid([b"\xff.mp4"])
    files = ("--plot", "--storyboard", "--gif", "--csv")
    done = staa("explain", b"\xff.mp4", "-o", b"o\xfe", *files)
    assert done.returncode == ExitCode.OK
    paths = [Path(os.fsdecode(line)) for line in done.stdout.splitlines()]
    (folder,) = {path.parent for path in paths}
    assert folder.parent == Path(os.fsdecode(b"o\xfe"))
    assert re.fullmatch("_~[0-9a-f]{8}", folder.name)
    assert len([path for path in paths if path.is_file()]) == 8


@pytest.mark.slow
def test_a_standard_output_of_another_encoding_takes_every_name() -> None:
    laid(["é動\U0001f600.mp4".encode(), b"z.mp4"])
    line = ("explain", ".", "--no-annotated", "--no-html", "--no-npz", "-o", b"o\xff")
    done = staa(*line, PYTHONIOENCODING="cp1252")
    assert done.returncode == ExitCode.OK
    assert done.stdout.splitlines() == [
        b"o\\xff/z/report.json",
        b"o\\xff/\xe9\\u52d5\\U0001f600/report.json",
        b"o\\xff/index.json",
    ]
    assert b"\xe9\\u52d5\\U0001f600.mp4: " in done.stderr


@pytest.mark.parametrize(
    ("encoding", "text", "written"),
    [
        ("utf-8", "é動", "é動".encode()),
        ("utf-8", "a\udcffb\udc80", b"a\xffb\x80"),
        ("utf-8", "\ud800\udc00\udcff", b"\\ud800\\udc00\xff"),
        ("ascii", "é\udcff", b"\\xe9\\xff"),
        ("cp1252", "ÿ\udcff動", b"\xff\\xff\\u52d5"),
        ("latin-1", "ÿ\udcff", b"\xff\\xff"),
        ("shift_jis", "動é", "動".encode("shift_jis") + b"\\xe9"),
        ("utf-16-le", "動\udcff", "動\\xff".encode("utf-16-le")),
    ],
)
def test_a_byte_goes_out_as_it_is_only_where_it_means_the_file(
    encoding: str, text: str, written: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "getfilesystemencoding", lambda: "utf-8")
    assert text.encode(encoding, STDOUT_ERRORS) == written


def test_where_the_locale_knows_ascii_only_names_are_told_as_elsewhere() -> None:
    name = os.fsencode("動.mp4").decode("ascii", "surrogateescape")  # as Python has it there
    assert as_text(name) == "動.mp4"
    assert path_fields(name) == {"path": "動.mp4"}


def test_help_fits_any_standard_output() -> None:
    done = staa("explain", "--help", PYTHONIOENCODING="ascii")
    assert done.returncode == ExitCode.OK
    assert done.stdout.decode("ascii")
