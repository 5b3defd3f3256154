"""How long a plan may take: from a trial, and only of what is to be done."""

from __future__ import annotations

from pathlib import Path

import pytest
from job_runs import job, planned, run
from small_videos import asked

from staa_cli.jobs import explainer
from staa_cli.jobs.estimate import estimate
from staa_cli.jobs.inputs import Job
from staa_cli.jobs.run import Request, Worker


def test_seconds_grow_with_passes_and_with_what_is_drawn(tmp_path: Path) -> None:
    settings = asked({"annotated": True})
    jobs = [job(tmp_path, "a.mp4", 12), job(tmp_path, "b.mp4", 36)]
    jobs.append(Job(tmp_path / "missing.mp4", tmp_path / "out" / "missing"))
    plans, rates = estimate(planned(jobs, settings), Worker(Request(settings)))
    assert rates is not None
    short, long, missing = plans
    for plan, frames in ((short, 12), (long, 36)):
        assert plan.workload is not None
        assert plan.seconds == pytest.approx(
            plan.workload.passes * rates.pass_s + frames * 64 * 48 * rates.pixel_s
        )
    assert (missing.status, missing.workload, missing.seconds) == ("fail", None, None)
    undrawn, rates = estimate(planned(jobs), Worker(Request(asked())))
    assert rates is not None
    assert rates.pixel_s == 0
    assert [plan.status for plan in undrawn] == ["explain", "explain", "fail"]


def test_where_nothing_is_to_be_done_no_model_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [job(tmp_path)]
    run(jobs)
    plans = planned(jobs)

    def no_model(*_: object) -> None:
        pytest.fail("a model was opened")

    monkeypatch.setattr(explainer, "open_model", no_model)
    assert estimate(plans, Worker(Request(asked()))) == (plans, None)
