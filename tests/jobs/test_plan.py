"""What would become of videos is what becomes of them then."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from job_runs import job, planned, run, statuses
from safetensors.torch import save_file
from small_videos import asked

from staa_cli.errors import OutputError, UsageError, VideoError
from staa_cli.jobs import explainer, resources
from staa_cli.jobs.inputs import Job
from staa_cli.models import load as loading
from staa_cli.models.catalog import manifests as manifests
from staa_cli.models.checkpoints.sources import open_bundled
from staa_cli.models.load import load_model


def test_the_plan_is_what_happens_then(tmp_path: Path) -> None:
    jobs = [job(tmp_path, "a.mp4"), job(tmp_path, "b.mp4", 30)]
    jobs.append(Job(tmp_path / "c.mp4", tmp_path / "out" / "c"))
    (tmp_path / "c.mp4").write_text("no video")
    run(jobs[0])
    rows = planned(jobs)
    assert [row.status for row in rows] == ["skip", "explain", "fail"]
    assert not jobs[1].folder.exists()
    assert isinstance(rows[2].error, VideoError)
    outcomes = run(jobs)
    assert statuses(outcomes) == ["skipped", "done", "failed"]
    for row, outcome in zip(rows[:2], outcomes, strict=False):
        assert outcome.report is not None
        assert row.clips == len(outcome.report.sampling.clips)
        assert list(row.files) == [path.name for path in outcome.outputs]
        assert row.job == outcome.job
    forced = planned(jobs, force=True)
    assert [row.status for row in forced] == ["explain", "explain", "fail"]
    kept = planned(jobs, asked(target="1"), no_clobber=True)
    assert [row.status for row in kept] == ["skip", "skip", "fail"]


def test_the_plan_sees_what_is_in_the_way(tmp_path: Path) -> None:
    one = job(tmp_path)
    one.folder.mkdir(parents=True)
    (one.folder / "report.json").write_text("mine")
    (row,) = planned([one])
    assert row.status == "fail"
    assert isinstance(row.error, OutputError)
    assert "in the way" in row.error.cause


def test_the_plan_of_a_bundled_model_loads_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_model("test_timesformer", device="cpu")
    save_file(model.module.state_dict(), tmp_path / "mine.safetensors")
    facts = {
        "family": "timesformer",
        "arch": "test_timesformer",
        "labels": list("abcde"),
        "input": {k: v for k, v in asdict(model.input).items() if k != "antialias"},
        "license": "MIT",
        "origin": "a test",
        "note": "",
    }
    (tmp_path / "mine.json").write_text(json.dumps(facts))

    def read() -> dict[str, manifests.Manifest]:
        return manifests.read_manifests(tmp_path)

    def no_model(*_: object, **__: object) -> None:
        pytest.fail("a model was loaded")

    monkeypatch.setattr(resources, "read_manifests", read)
    monkeypatch.setattr(loading, "open_registered", lambda name: open_bundled(read()[name]))
    monkeypatch.setattr(loading, "MODELS", ["mine"])
    settings = asked(model="mine")
    jobs = [job(tmp_path, "a.mp4"), job(tmp_path, "b.mp4", seed=1)]
    run(jobs[0], settings)
    monkeypatch.setattr(explainer, "open_model", no_model)
    rows = planned(jobs, settings)
    assert [row.status for row in rows] == ["skip", "explain"]
    with pytest.raises(UsageError, match="no class"):
        planned(jobs, replace(settings, target="f"))
