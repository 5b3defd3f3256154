"""Many videos: what is skipped, what is made again, and what fails alone."""

from __future__ import annotations

import errno
import json
import os
import pickle
import subprocess
import sys
import traceback
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from hardware import ABSENT, WORKING, codec_of, machine_with
from job_runs import content, job, planned, run, statuses
from small_videos import asked, film

from staa_cli.config.settings import MethodSettings, PostSettings, RenderSettings, SamplingSettings
from staa_cli.errors import (
    ExitCode,
    InputError,
    OutputError,
    StaaError,
    UnavailableError,
    UnexpectedError,
    UsageError,
    VideoError,
)
from staa_cli.explain.pipeline import explain_one
from staa_cli.files import MARK
from staa_cli.jobs import explainer
from staa_cli.jobs.engines.local import run_local
from staa_cli.jobs.inputs import Job, Problem
from staa_cli.jobs.outcome import Event, Opened, Opening, Progress, Started
from staa_cli.jobs.run import Request
from staa_cli.models.load import load_model
from staa_cli.results.report import load_report
from staa_cli.results.writers.report_json import ReportJson


def test_one_bad_file_among_three(tmp_path: Path) -> None:
    jobs = [job(tmp_path, "a.mp4"), Job(tmp_path / "b.mp4", tmp_path / "out" / "b")]
    jobs.append(job(tmp_path, "c.mp4", seed=1))
    (tmp_path / "b.mp4").write_text("no video")
    events: list[Event] = []
    outcomes = run(jobs, on_event=events.append)
    assert statuses(outcomes) == ["done", "failed", "done"]
    assert isinstance(outcomes[1].error, VideoError)
    assert not jobs[1].folder.exists()
    for outcome in (outcomes[0], outcomes[2]):
        assert outcome.report == load_report(outcome.job.folder / "report.json")
        assert outcome.outputs == (outcome.job.folder / "report.json",)
        assert outcome.seconds > 0
    kinds = [type(event) for event in events if not isinstance(event, Progress)]
    assert kinds == [Started, Opening, Opened, Started, Started, Opened]
    for event in events:
        if isinstance(event, Opened):
            report = next(o.report for o in outcomes if o.job == event.job)
            assert report is not None
            assert event.workload.clips == len(report.sampling.clips)
    assert [e.job for e in events if isinstance(e, Started)] == jobs
    assert {e.job for e in events if isinstance(e, Progress)} == {jobs[0], jobs[2]}


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (AttributeError("no such thing"), UnexpectedError, "AttributeError: no such thing"),
        (ValueError("of\n\ta library"), UnexpectedError, "ValueError: of a library"),
        (RecursionError(), UnexpectedError, "RecursionError"),
        (MemoryError(), UnavailableError, "memory ran out"),
        (torch.OutOfMemoryError("CUDA out of memory"), UnavailableError, "memory ran out"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), UnavailableError, "memory ran out"),
        (OSError(errno.EIO, "Input/output error", "x"), InputError, "input/output error, x"),
        (UnavailableError("no such codec"), UnavailableError, "no such codec"),
        (UsageError("not with this one"), UsageError, "not with this one"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_whatever_a_video_meets_is_its_own_failure(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    kind: type[StaaError],
    words: str,
) -> None:
    jobs = [job(tmp_path, "a.mp4"), job(tmp_path, "b.mp4", seed=1)]
    real, held = explain_one, list[Any]()

    def explain(path: Path, *args: Any, **more: Any) -> Any:
        if path != jobs[0].source:
            return real(path, *args, **more)
        pictures = torch.zeros(8)
        held.append(weakref.ref(pictures))
        raise error

    monkeypatch.setattr(explainer, "explain_one", explain)
    first, second = run(jobs)
    assert (first.status, second.status) == ("failed", "done")
    assert type(first.error) is kind
    assert words in first.error.cause
    raised = first.error.__cause__ or first.error
    assert raised is error
    assert "in explain" in "".join(traceback.format_exception(first.error))
    assert held[0]() is None  # what a failure holds would be missing for the next video


@pytest.mark.parametrize("kind", [Started, Opening, Opened, Progress])
@pytest.mark.parametrize(
    "error", [BrokenPipeError(), OSError(errno.EIO, "gone"), ZeroDivisionError()], ids=repr
)
def test_what_the_listener_raises_is_no_failure_of_a_video(
    tmp_path: Path, kind: type[Event], error: Exception
) -> None:
    jobs = [job(tmp_path, "a.mp4"), job(tmp_path, "b.mp4", seed=1)]

    def tell(event: Event) -> None:
        if isinstance(event, kind):
            raise error

    outcomes = run_local(jobs, Request(asked({"annotated": True})), on_event=tell)
    with pytest.raises(type(error)) as caught:
        next(outcomes)
    assert caught.value is error


def test_batches_begin_anew_after_a_video_that_ran_out_of_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [job(tmp_path, f"{name}.mp4", 36, seed=i) for i, name in enumerate("abc")]
    model, sizes = load_model("test_timesformer", device="cpu"), []
    turn, real = [""], explain_one

    def forward(module: Any, args: tuple[Any, ...]) -> None:
        sizes.append((turn[0], len(args[0])))
        if turn[0] == "b.mp4":
            raise torch.OutOfMemoryError("CUDA out of memory")

    def explain(path: Path, *args: Any, **more: Any) -> Any:
        turn[0] = path.name
        return real(path, *args, **more)

    monkeypatch.setattr(explainer, "explain_one", explain)
    model.module.register_forward_pre_hook(forward)
    monkeypatch.setattr(explainer, "open_model", lambda *_: model)
    settings = asked(batch_size=2, sampling=SamplingSettings(hop=0.5))
    outcomes = run(jobs, settings)
    assert statuses(outcomes) == ["done", "failed", "done"]
    assert isinstance(outcomes[1].error, UnavailableError)
    most = {name: max(size for each, size in sizes if each == name) for name, _ in sizes}
    assert most == {"a.mp4": 2, "b.mp4": 2, "c.mp4": 2}
    assert min(size for each, size in sizes if each == "b.mp4") == 1  # it was tried
    assert outcomes[2].report is not None
    assert "batch-size-reduced" not in {w.code for w in outcomes[2].report.warnings}


def test_a_finished_video_is_skipped(tmp_path: Path) -> None:
    one = job(tmp_path)
    (first,) = run(one, asked({"csv": True}))
    before = {path: path.stat().st_mtime_ns for path in one.folder.iterdir()}
    (again,) = run(one, asked({"csv": True}))
    assert again.status == "skipped"
    assert (again.report, again.outputs) == (first.report, first.outputs)
    assert {path: path.stat().st_mtime_ns for path in one.folder.iterdir()} == before
    (forced,) = run(one, asked({"csv": True}), force=True)
    assert forced.status == "done"


@pytest.mark.parametrize(
    "changes",
    [
        {"target": "1"},
        {"sampling": SamplingSettings(hop=1.0)},
        {"output": {"csv": True}},
        {"labels": "names.txt"},
    ],
    ids=str,
)
def test_other_settings_make_it_again(tmp_path: Path, changes: dict[str, Any]) -> None:
    one, changes = job(tmp_path), dict(changes)
    run(one)
    if "labels" in changes:
        (tmp_path / "names.txt").write_text("a\nb\nc\nd\ne\n")
        changes["labels"] = str(tmp_path / "names.txt")
    settings = asked(changes.pop("output", None), **changes)
    assert statuses(run(one, settings)) == ["done"]
    assert statuses(run(one, settings)) == ["skipped"]


DRAWN = {"annotated": True, "npz": True, "storyboard": True, "quick_faithfulness": True}


def test_what_is_only_drawn_otherwise_is_not_explained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = job(tmp_path)
    run(one, asked(DRAWN))
    other = asked(DRAWN | {"csv": True}, render=RenderSettings("contour", preset="ultrafast"))
    (wanted,) = run(Job(one.source, tmp_path / "fresh"), other, reproducible=True)
    (row,) = planned([one], other)
    assert row.status == "redraw"
    events: list[Event] = []
    with monkeypatch.context() as patch:
        patch.setattr(explainer, "explain_one", None)
        (outcome,) = run(one, other, events.append, reproducible=True)
    assert outcome.status == "redrawn"
    assert outcome.report == wanted.report
    assert content(one.folder) == content(tmp_path / "fresh")
    assert {event.stage for event in events if isinstance(event, Progress)} == {"drawing"}
    assert statuses(run(one, other, reproducible=True)) == ["skipped"]
    (one.folder / "storyboard.png").unlink()
    assert statuses(run(one, other, reproducible=True)) == ["redrawn"]
    assert content(one.folder) == content(tmp_path / "fresh")
    assert statuses(run(one, asked(DRAWN), force=True)) == ["done"]


@pytest.mark.parametrize(
    "changes",
    [
        {"target": "1"},
        {"post": PostSettings(threshold="otsu")},
        {"output": {"npz": True, "faithfulness": True}},
    ],
    ids=str,
)
def test_what_takes_the_model_is_explained_again(tmp_path: Path, changes: dict[str, Any]) -> None:
    one = job(tmp_path)
    run(one, asked({"npz": True}))
    settings = asked(**{"output": {"npz": True, "csv": True}, **changes})
    assert planned([one], settings)[0].status == "explain"
    assert statuses(run(one, settings)) == ["done"]


def test_a_stored_explanation_that_is_not_that_of_the_report_is_not_drawn(tmp_path: Path) -> None:
    one, csv = job(tmp_path), asked({"npz": True, "csv": True})
    maps, mark = one.folder / "maps.npz", one.folder / MARK

    def explained_anew() -> None:
        run(one, asked({"npz": True}), force=True)
        (one.folder / "importance.csv").unlink(missing_ok=True)

    explained_anew()
    maps.write_bytes(maps.read_bytes()[:-50])
    assert statuses(run(one, csv)) == ["done"]
    explained_anew()
    mark.write_text("{}")  # an interrupted run may have written any of the files
    assert statuses(run(one, csv)) == ["done"]
    explained_anew()
    film(one.source, 12, seed=5)
    assert statuses(run(one, csv)) == ["done"]
    explained_anew()
    assert statuses(run(one, csv)) == ["redrawn"]


def test_settings_of_the_machine_do_not(tmp_path: Path) -> None:
    one = job(tmp_path)
    run(one)
    assert statuses(run(one, asked(batch_size=3, device="cpu"))) == ["skipped"]


def test_other_names_in_the_same_file_make_it_again(tmp_path: Path) -> None:
    one, names = job(tmp_path), tmp_path / "names.txt"
    names.write_text("a\nb\nc\nd\ne\n")
    run(one, asked(labels=str(names)))
    assert statuses(run(one, asked(labels=str(names)))) == ["skipped"]
    names.write_text("v\nw\nx\ny\nz\n")
    (outcome,) = run(one, asked(labels=str(names)))
    assert outcome.status == "done"
    assert outcome.report is not None
    assert outcome.report.prediction.target.label in "vwxyz"


def test_another_video_of_that_name_makes_it_again(tmp_path: Path) -> None:
    one = job(tmp_path)
    (first,) = run(one)
    film(one.source, 12, seed=5)
    (second,) = run(one)
    assert second.status == "done"
    assert first.report is not None
    assert second.report is not None
    assert first.report.video.sha256 != second.report.video.sha256


def test_a_missing_file_makes_it_again(tmp_path: Path) -> None:
    one, settings = job(tmp_path), asked({"csv": True})
    run(one, settings)
    (one.folder / "importance.csv").unlink()
    assert statuses(run(one, settings)) == ["done"]
    assert (one.folder / "importance.csv").is_file()


def test_no_clobber_leaves_any_report(tmp_path: Path) -> None:
    one = job(tmp_path)
    run(one)
    before = content(one.folder)
    assert statuses(run(one, asked(target="1"), no_clobber=True)) == ["skipped"]
    assert content(one.folder) == before
    other = job(tmp_path, "new.mp4")
    assert statuses(run(other, no_clobber=True)) == ["done"]


def test_a_file_in_the_way_is_found_before_the_work(tmp_path: Path) -> None:
    one = job(tmp_path)
    one.folder.mkdir(parents=True)
    (one.folder / "importance.csv").write_text("mine")
    events: list[Event] = []
    (outcome,) = run(one, asked({"csv": True}), on_event=events.append)
    assert isinstance(outcome.error, OutputError)
    assert not [event for event in events if isinstance(event, Progress)]
    assert content(one.folder) == {"importance.csv": b"mine"}


def test_the_video_itself_is_never_replaced(tmp_path: Path) -> None:
    source = film(tmp_path / "annotated.mp4", 12)
    run(Job(source, tmp_path))  # a report beside it makes the name staa's own
    before = source.read_bytes()
    (outcome,) = run(Job(source, tmp_path), asked({"annotated": True}))
    assert isinstance(outcome.error, OutputError)
    assert "the video itself" in outcome.error.cause
    assert source.read_bytes() == before
    # Nor is it removed as a file of the earlier result, of another class.
    assert statuses(run(Job(source, tmp_path), asked(target="1"))) == ["done"]
    assert source.read_bytes() == before


@pytest.mark.parametrize("damage", ["cut short", "empty", "newer", "interrupted"])
def test_no_clobber_neither_replaces_nor_counts_what_cannot_be_read(
    tmp_path: Path, damage: str
) -> None:
    one = job(tmp_path)
    run(one)
    path = one.folder / "report.json"
    text = path.read_text()
    damaged = {
        "cut short": text[:400],
        "empty": "",
        "newer": text.replace('"schema_version": 1', '"schema_version": 99'),
        "interrupted": text,
    }
    path.write_text(damaged[damage])
    if damage == "interrupted":
        (one.folder / MARK).write_text("{}")
    before = content(one.folder)
    (outcome,) = run(one, no_clobber=True)
    assert isinstance(outcome.error, InputError)
    assert "--force" in (outcome.error.hint or "")
    assert content(one.folder) == before


def test_maps_of_another_result_beside_a_report_make_it_again(tmp_path: Path) -> None:
    one, settings = job(tmp_path), asked({"npz": True})
    run(one, asked({"npz": True}, target="1"))
    maps = (one.folder / "maps.npz").read_bytes()
    run(one, settings)
    (one.folder / "maps.npz").write_bytes(maps)
    assert statuses(run(one, settings)) == ["done"]
    assert statuses(run(one, settings)) == ["skipped"]
    # Without maps, those of before would contradict the report.
    run(one, asked({"npz": False}))
    assert not (one.folder / "maps.npz").exists()


def test_an_interrupt_ends_it_and_the_next_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [job(tmp_path, "a.mp4"), job(tmp_path, "b.mp4", seed=1)]
    settings = asked({"csv": True})
    real, calls = ReportJson.write, list[None]()

    def second_is_killed(*args: Any, **more: Any) -> None:
        calls.append(None)
        if len(calls) == 2:
            raise KeyboardInterrupt
        real(*args, **more)

    with monkeypatch.context() as patch:
        patch.setattr(ReportJson, "write", second_is_killed)
        with pytest.raises(KeyboardInterrupt):
            run(jobs, settings)
    assert not jobs[1].folder.exists()
    assert statuses(run(jobs, settings)) == ["skipped", "done"]
    assert sorted(content(jobs[1].folder)) == ["importance.csv", "report.json"]


def test_a_video_by_another_encoder_is_as_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, settings = job(tmp_path), asked({"annotated": True})
    machine_with(monkeypatch, WORKING)
    assert statuses(run(one, settings)) == ["done"]
    assert codec_of(one.folder / "annotated.mp4") == "mpeg4"
    machine_with(monkeypatch)
    x264 = replace(settings, render=replace(settings.render, encoder="x264"))
    assert statuses(run(one, settings) + run(one, x264)) == ["skipped", "skipped"]
    assert statuses(run(one, settings, force=True)) == ["done"]
    assert codec_of(one.folder / "annotated.mp4") == "h264"


def test_an_encoder_that_is_not_here_ends_the_run_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = job(tmp_path)
    machine_with(monkeypatch, ABSENT)
    render = RenderSettings(encoder="videotoolbox")
    with pytest.raises(UnavailableError):
        run(one, asked({"annotated": True}, render=render))
    assert not one.folder.exists()
    assert statuses(run(one, asked({"npz": True}, render=render))) == ["done"]


def test_reproducible_means_equal_bytes(tmp_path: Path) -> None:
    one, settings = job(tmp_path), asked({"annotated": True, "npz": True})
    first = run(one, settings, reproducible=True)
    before = content(one.folder)
    second = run(one, settings, reproducible=True, force=True)
    assert statuses(first + second) == ["done", "done"]
    assert content(one.folder) == before
    assert "run" not in json.loads(before["report.json"])


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"target": "nobody"}, UsageError),
        ({"method": "nothing"}, UsageError),
        ({"layers": (7,)}, UsageError),
        ({"model": "nowhere"}, UnavailableError),
        ({"sampling": SamplingSettings(size=33)}, UsageError),
        ({"method": "kernel-shap", "samples": 2}, UsageError),
        ({"method": "integrated-gradients", "samples": 5000}, UsageError),
    ],
    ids=str,
)
def test_what_cannot_be_is_told_before_the_first_video(
    tmp_path: Path, changes: dict[str, Any], error: type[Exception]
) -> None:
    events: list[Event] = []
    changes = dict(changes)
    method = {"name": changes.pop("method", "staa"), "layers": changes.pop("layers", "default")}
    method["samples"] = changes.pop("samples", None)
    settings = asked(**changes)
    settings = replace(settings, method=replace(settings.method, **method))
    with pytest.raises(error):
        run(job(tmp_path), settings, on_event=events.append)
    assert [type(event) for event in events] == [Started, Opening]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("method", ["occlusion", "lime", "integrated-gradients"])
def test_a_missing_package_is_told_before_the_first_video(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    events: list[Event] = []
    with pytest.raises(UnavailableError, match="captum"):
        run(job(tmp_path), asked(method=MethodSettings(name=method)), on_event=events.append)
    assert [type(event) for event in events] == [Started, Opening]


def damaged(path: Path) -> Path:
    """A film of which one frame near the end is noise."""
    film(path, 36)
    with av.open(str(path)) as container:
        places = [(p.pts, p.pos, p.size) for p in container.demux(video=0) if p.size]
    _, start, size = sorted(places)[30]
    with path.open("r+b") as file:
        file.seek(start + 5)
        # Always the same noise: a decoder does not notice all.
        file.write(np.random.default_rng(0).bytes(max(size - 5, 0)))
    return path


def test_what_drawing_meets_is_in_the_report_and_in_the_outcome(tmp_path: Path) -> None:
    one = Job(damaged(tmp_path / "bad.mp4"), tmp_path / "out")
    # The model does not see the damage.
    sampling = SamplingSettings(end=1.0, keep_rest=True)
    (unseen,) = run(one, asked(sampling=sampling))
    assert unseen.report is not None
    assert "decode-errors" not in {w.code for w in unseen.report.warnings}
    (outcome,) = run(one, asked({"annotated": True}, sampling=sampling))
    assert outcome.report == load_report(tmp_path / "out" / "report.json")
    assert outcome.report.video.packets_bad > 0
    assert "decode-errors" in {w.code for w in outcome.report.warnings}


def copies(folder: Path, *names: str) -> list[Job]:
    """Different films, whose results would all go to one folder."""
    jobs = [job(folder, name, seed=seed) for seed, name in enumerate(names)]
    return [Job(each.source, folder / "out") for each in jobs]


@pytest.mark.parametrize("no_clobber", [False, True])
def test_the_results_of_another_video_stay(tmp_path: Path, no_clobber: bool) -> None:
    first, second = copies(tmp_path, "x/a.mp4", "y/a.mp4")
    run(first)
    before = content(tmp_path / "out")
    for settings in (asked(), asked(target="1"), asked({"csv": True})):
        (outcome,) = run(second, settings, no_clobber=no_clobber)
        assert isinstance(outcome.error, OutputError)
        assert "the results of another video" in outcome.error.cause
        assert outcome.error.hint is not None
        assert "--force" in outcome.error.hint
        (row,) = planned([second], settings, no_clobber=no_clobber)
        assert (row.status, type(row.error)) == ("fail", OutputError)
    assert content(tmp_path / "out") == before
    assert statuses(run(second, force=True)) == ["done"]
    assert statuses(run(first)) == ["failed"]
    assert statuses(run(second)) == ["skipped"]


def test_a_video_that_has_moved_keeps_its_results(tmp_path: Path) -> None:
    one = job(tmp_path, "x/a.mp4")
    run(one)
    moved = one.source.rename(tmp_path / "b.mp4")
    assert statuses(run(Job(moved, one.folder))) == ["skipped"]


def test_what_needs_no_model_opens_none(tmp_path: Path) -> None:
    one = job(tmp_path)
    run(one, no_clobber=True)
    jobs = [
        Job(film(tmp_path / "other.mp4", 8), one.folder),
        Job(tmp_path, tmp_path / "out", Problem("no video in this folder", None)),
        one,
    ]
    events: list[Event] = []
    outcomes = run(jobs, asked(model="nowhere"), events.append, no_clobber=True)
    assert statuses(outcomes) == ["failed", "failed", "skipped"]
    assert Opening() not in events


def test_a_request_and_an_outcome_can_be_sent_to_another_process(tmp_path: Path) -> None:
    request = Request(asked(target="1"), reproducible=True)
    assert pickle.loads(pickle.dumps(request)) == request
    done, failed = run([job(tmp_path), Job(tmp_path / "missing.mp4", tmp_path / "out" / "missing")])
    assert pickle.loads(pickle.dumps(done)) == done
    again = pickle.loads(pickle.dumps(failed))
    assert (again.job, again.status) == (failed.job, failed.status)
    assert (again.error.cause, again.error.exit_code) == ("no such file", ExitCode.INPUT_FAILED)


BUNDLED = """
import sys
from staa_cli.cli.app import run
code = run(["explain", *sys.argv[1:]])
print(*sorted({"torch", "timm", "torchvision", "matplotlib"} & set(sys.modules)), file=sys.stderr)
sys.exit(code)
"""


KEPT = ("--no-annotated", "--no-html")


def test_where_all_is_finished_or_stored_torch_is_not_imported(tmp_path: Path) -> None:
    source = film(tmp_path / "walk.mp4", 12)
    settings = asked({"npz": True}, model="tiny-events", threads=1)
    run(Job(source, tmp_path / "staa-out" / "walk"), settings)
    environ = os.environ | {"STAA_RENDER_PRESET": "ultrafast", "STAA_THREADS": "1"}
    for flags, words in (((), "skipped, already finished"), (("--csv",), "drawn from the stored")):
        done = subprocess.run(
            [sys.executable, "-c", BUNDLED, "walk.mp4", *KEPT, "--json", *flags],
            cwd=tmp_path,
            env=environ,
            capture_output=True,
            text=True,
            check=True,
        )
        assert json.loads(done.stdout)["model"]["name"] == "tiny-events"
        said, *_, imported = done.stderr.split("\n")[:-1]
        assert words in said
        assert imported == ""
