"""What is written for a video, and what is left when the writing breaks off."""

from __future__ import annotations

import gc
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from small_videos import asked, film

from staa_cli.api import Explanation, explain_video
from staa_cli.config.settings import Settings
from staa_cli.errors import OutputError
from staa_cli.models.load import load_model
from staa_cli.results.document import Report
from staa_cli.results.files import load_schema
from staa_cli.results.folder import ResultFolder
from staa_cli.results.report import load_report
from staa_cli.results.save import save
from staa_cli.results.writers.base import wanted_files
from staa_cli.results.writers.report_json import ReportJson
from staa_cli.video import annotate as annotating
from staa_cli.video import decode as decoding
from staa_cli.video.probe import probe

EVERYTHING = dict.fromkeys(("annotated", "html", "plot", "storyboard", "gif", "npz", "csv"), True)
FILES = {
    "annotated.mp4", "report.html", "curve.png", "storyboard.png", "annotated.gif", "maps.npz",
    "importance.csv", "report.json",
}  # fmt: skip


@pytest.fixture(scope="module")
def explanation(tmp_path_factory: pytest.TempPathFactory) -> Explanation:
    path = film(tmp_path_factory.mktemp("films") / "walk.mp4", 16)
    model = load_model("test_timesformer", device="cpu")
    return explain_video(path, model, settings=asked({"annotated": True}))


def finished(folder: Path, fingerprint: str, settings: Settings) -> Report | None:
    return ResultFolder(folder).finished(wanted_files(settings.output), fingerprint)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_all_that_is_asked_for_is_there_the_report_last(
    tmp_path: Path, explanation: Explanation
) -> None:
    written, told = save(explanation, tmp_path / "out", asked(EVERYTHING))
    assert names(tmp_path / "out") == FILES
    assert {path.name for path in written} == FILES
    assert written[-1] == tmp_path / "out" / "report.json"
    assert written[-1].stat().st_mtime_ns >= max(path.stat().st_mtime_ns for path in written)
    assert all(path.stat().st_size > 100 for path in written)
    report = json.loads(written[-1].read_text())
    assert load_report(written[-1]) == told
    jsonschema.validate(report, load_schema())
    assert told.spatial.maps is None  # of the explanation's own settings, not of these
    assert probe(tmp_path / "out" / "annotated.mp4").frames == 16


def test_what_a_killed_run_left_half_written_goes(tmp_path: Path, explanation: Explanation) -> None:
    for name in (".annotated.mp4.0a1b2c3d.part", ".report.json.0a1b2c3d.part", ".mine.part"):
        (tmp_path / name).write_bytes(b"half")
    save(explanation, tmp_path, asked({"annotated": True}))
    assert names(tmp_path) == {"annotated.mp4", "report.json", ".mine.part"}


def test_an_empty_file_is_not_finished(tmp_path: Path, explanation: Explanation) -> None:
    settings = asked({"annotated": True})
    save(explanation, tmp_path, settings)
    assert finished(tmp_path, explanation.fingerprint, settings) is not None
    (tmp_path / "annotated.mp4").write_bytes(b"")
    assert finished(tmp_path, explanation.fingerprint, settings) is None


def test_nothing_that_is_not_asked_for(tmp_path: Path, explanation: Explanation) -> None:
    save(explanation, tmp_path, asked({"csv": True}))
    assert names(tmp_path) == {"importance.csv", "report.json"}
    assert wanted_files(asked({"csv": True}).output) == ["importance.csv", "report.json"]


def test_an_explanation_writes_what_it_was_asked_for(tmp_path: Path) -> None:
    settings = asked({"npz": True})
    found = explain_video(film(tmp_path / "walk.mp4", 12), settings=settings)
    found.save(tmp_path / "out")
    assert names(tmp_path / "out") == {"maps.npz", "report.json"}
    assert json.loads((tmp_path / "out" / "report.json").read_text())["spatial"]["maps"]


def test_progress_of_drawing(tmp_path: Path, explanation: Explanation) -> None:
    steps: list[tuple[str, int, int]] = []
    save(
        explanation,
        tmp_path,
        asked({"annotated": True}),
        on_progress=lambda *step: steps.append(step),
    )
    assert steps == [("drawing", n + 1, 16) for n in range(16)]


@pytest.mark.parametrize("name", sorted(FILES))
def test_somebody_elses_file_is_never_replaced(
    tmp_path: Path, explanation: Explanation, name: str
) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(OutputError, match="was not written by staa") as caught:
        save(explanation, tmp_path, asked(EVERYTHING))
    assert name in caught.value.cause
    assert caught.value.hint
    assert names(tmp_path) == {name}
    assert (tmp_path / name).read_text() == "mine"


def test_a_report_of_another_program_is_somebody_elses(
    tmp_path: Path, explanation: Explanation
) -> None:
    (tmp_path / "report.json").write_text('{"schema_version": 1}')
    (tmp_path / "annotated.mp4").write_text("mine")
    with pytest.raises(OutputError):
        save(explanation, tmp_path, asked({"annotated": True}))
    assert (tmp_path / "annotated.mp4").read_text() == "mine"


def test_what_belongs_to_another_result_goes(tmp_path: Path, explanation: Explanation) -> None:
    folder = tmp_path / "out"
    save(explanation, folder, asked(EVERYTHING))
    (folder / "notes.txt").write_text("mine")
    again = asked({"plot": True})
    save(explanation, folder, again)  # the same numbers: the pictures are theirs as well
    assert names(folder) == FILES | {"notes.txt"}
    other = replace(explanation, settings=explanation.settings | {"method": {"name": "rollout"}})
    save(other, folder, again)
    assert names(folder) == {"curve.png", "report.json", "notes.txt"}


def test_other_files_in_the_folder_stay(tmp_path: Path, explanation: Explanation) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    save(explanation, tmp_path, asked())
    assert names(tmp_path) == {"notes.txt", "report.json"}


def test_its_own_files_are_replaced(tmp_path: Path, explanation: Explanation) -> None:
    save(explanation, tmp_path, asked(EVERYTHING))
    (tmp_path / "curve.png").write_bytes(b"old")
    save(explanation, tmp_path, asked({"plot": True}))
    assert (tmp_path / "curve.png").stat().st_size > 100
    assert names(tmp_path) == FILES


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_a_run_that_breaks_off_before_the_report_is_taken_up_again(
    tmp_path: Path,
    explanation: Explanation,
    monkeypatch: pytest.MonkeyPatch,
    error: type[BaseException],
) -> None:
    def killed(*_: object, **__: object) -> None:
        raise error

    settings = asked(EVERYTHING)
    with monkeypatch.context() as patch:
        patch.setattr(ReportJson, "write", killed)
        with pytest.raises(error):
            save(explanation, tmp_path, settings)
    assert names(tmp_path) == set()
    save(explanation, tmp_path, settings)
    assert names(tmp_path) == FILES
    report = finished(tmp_path, explanation.fingerprint, settings)
    assert report is not None
    assert report.fingerprint == explanation.fingerprint


def test_an_old_report_beside_newer_files_is_not_finished(
    tmp_path: Path, explanation: Explanation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    settings = asked({"csv": True})
    save(explanation, tmp_path, settings)
    assert finished(tmp_path, explanation.fingerprint, settings)
    other = replace(explanation, fingerprint="other")
    with monkeypatch.context() as patch:
        patch.setattr(ReportJson, "write", killed)
        with pytest.raises(KeyboardInterrupt):
            save(other, tmp_path, settings)
    # The table is of the other run by now, so the old report must not vouch for it.
    assert finished(tmp_path, explanation.fingerprint, settings) is None


def test_finished_means_this_fingerprint_and_every_file(
    tmp_path: Path, explanation: Explanation
) -> None:
    output = asked({"csv": True})
    assert finished(tmp_path, explanation.fingerprint, output) is None
    save(explanation, tmp_path, asked({"csv": True}))
    assert finished(tmp_path, explanation.fingerprint, output)
    assert finished(tmp_path, "other", output) is None
    (tmp_path / "importance.csv").unlink()
    assert finished(tmp_path, explanation.fingerprint, output) is None


@pytest.mark.parametrize(
    "place", ["staa_cli.video.annotate.annotate", "PIL.Image.Image.save", "numpy.savez_compressed"]
)
def test_a_failure_leaves_no_part(
    tmp_path: Path, explanation: Explanation, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    parts: list[Path] = []

    def half(*arguments: object, **_: object) -> None:
        for part in arguments:
            if str(part).endswith(".part"):
                Path(str(part)).write_bytes(b"half")
        parts.extend(tmp_path.glob(".*.part"))
        raise ValueError("broken")

    monkeypatch.setattr(place, half)
    with pytest.raises(ValueError, match="broken"):
        save(explanation, tmp_path, asked(EVERYTHING | {"html": False}))
    assert len(parts) == 1
    assert not [name for name in names(tmp_path) if name.endswith(".part")]
    assert "report.json" not in names(tmp_path)


@contextmanager
def unprivileged() -> Iterator[None]:
    """As somebody whom permissions bind."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.skipif(os.name == "nt", reason="permissions are different there")
@pytest.mark.parametrize("mode", [0o555, 0o000])
def test_a_folder_that_may_not_be_written(tmp_path: Path, mode: int) -> None:
    tmp_path.chmod(mode)
    try:
        with unprivileged(), pytest.raises(OutputError, match="cannot write") as caught:
            ResultFolder(tmp_path / "out").writing(["report.json"]).__enter__()
    finally:
        tmp_path.chmod(0o755)
    assert "permission denied" in caught.value.cause
    assert names(tmp_path) == set()


def test_a_file_where_the_folder_should_be(tmp_path: Path, explanation: Explanation) -> None:
    (tmp_path / "out").write_text("mine")
    for folder in (tmp_path / "out", tmp_path / "out" / "deeper"):
        with pytest.raises(OutputError):
            save(explanation, folder, asked())
    assert (tmp_path / "out").read_text() == "mine"


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a few pages."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k", "none", str(disk)]
    try:
        done = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except OSError:
        done = False
    if not done:
        pytest.skip("no small file system can be mounted here")
    yield disk
    gc.collect()  # an exception may hold an open file
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("wanted", ["annotated", "csv", "npz", "plot", "storyboard", "gif"])
def test_a_full_disk(tiny_disk: Path, explanation: Explanation, wanted: str) -> None:
    (tiny_disk / "ballast").write_bytes(b"x" * (4096 * 2))
    with pytest.raises(OutputError, match="no space left") as caught:
        save(explanation, tiny_disk / "out", asked({wanted: True}))
    assert caught.value.hint
    assert not [path for path in tiny_disk.rglob("*") if path.name.endswith(".part")]
    assert not (tiny_disk / "out" / "report.json").exists()


def test_free_is_said_before_anything_is_made(tmp_path: Path) -> None:
    ResultFolder(tmp_path / "not there yet").check(["report.json"])
    assert names(tmp_path) == set()


def count_packets(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts what is read of a video's stream for its pictures, pass by pass."""
    passes: list[int] = []

    def counted(real: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
        def packets(container: Any, stream: Any, *others: Any) -> Iterator[Any]:
            passes.append(0)
            place = len(passes) - 1
            for packet in real(container, stream, *others):
                passes[place] += packet.stream is stream and packet.size > 0
                yield packet

        return packets

    for module in (annotating, decoding):
        monkeypatch.setattr(module, "packets", counted(module.packets))
    return passes


def test_one_decode_feeds_them_all(
    tmp_path: Path, explanation: Explanation, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes = count_packets(monkeypatch)
    save(explanation, tmp_path / "out", asked(EVERYTHING))
    assert passes == [16]  # every frame once


def test_without_a_video_only_what_is_wanted_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = film(tmp_path / "long.mp4", 15 * 12)  # a key frame every 8 frames
    model = load_model("test_timesformer", device="cpu")
    found = explain_video(path, model, settings=asked())
    passes = count_packets(monkeypatch)
    save(found, tmp_path / "both", asked({"storyboard": True, "gif": True}))
    assert 0 < sum(passes) < 15 * 12  # both show nothing of some seconds
    counted = sum(passes)
    passes.clear()
    save(found, tmp_path / "one", asked({"gif": True}))
    assert 0 <= counted - sum(passes) <= 8 * 6  # what the storyboard shows beyond, if anything
    passes.clear()
    save(found, tmp_path / "none", asked({"plot": True, "csv": True}))
    assert passes == []


def test_stills_are_the_same_from_whichever_decode(
    tmp_path: Path, explanation: Explanation
) -> None:
    stills = {"storyboard": True, "gif": True}
    save(explanation, tmp_path / "a", asked(stills | {"annotated": True}))
    save(explanation, tmp_path / "b", asked(stills))
    for name in ("storyboard.png", "annotated.gif"):
        one, other = ((tmp_path / place / name).read_bytes() for place in "ab")
        assert one == other


def test_what_another_video_left_goes_by_force_alone(
    tmp_path: Path, explanation: Explanation
) -> None:
    folder = tmp_path / "out"
    save(explanation, folder, asked(EVERYTHING))
    before = (folder / "report.json").read_bytes()
    video = replace(explanation.video, path=str(film(tmp_path / "b.mp4", 16, seed=1)))
    other = replace(explanation, video=probe(video.path))
    with pytest.raises(OutputError, match="another video"):
        save(other, folder, asked({"csv": True}))
    assert (folder / "report.json").read_bytes() == before
    assert names(folder) == FILES
    save(other, folder, asked({"csv": True}), force=True)
    assert names(folder) == {"importance.csv", "report.json"}
