"""The engine of this process: in order, and never ahead of whoever asks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from job_runs import job
from small_videos import asked

from staa_cli.jobs.engines import Engine
from staa_cli.jobs.engines.local import run_local
from staa_cli.jobs.inputs import Job
from staa_cli.jobs.outcome import Event, Opening, Progress
from staa_cli.jobs.run import Request

ENGINE: Engine = run_local
"""So that the types are compared."""


def test_a_job_is_taken_when_its_outcome_is_asked_for(tmp_path: Path) -> None:
    jobs = [job(tmp_path, f"{name}.mp4", seed=seed) for seed, name in enumerate("abc")]
    taken: list[Job] = []
    events: list[Event] = []

    def come() -> Iterator[Job]:
        for each in jobs:
            taken.append(each)
            yield each

    outcomes = ENGINE(come(), Request(asked()), events.append, lambda line: None)
    assert (taken, events) == ([], [])
    for number in (1, 2):
        outcome = next(outcomes)
        assert taken == jobs[:number]
        assert outcome.job is jobs[number - 1]
        assert outcome.status == "done"
        assert (outcome.job.folder / "report.json").is_file()
    assert not jobs[2].folder.exists()
    assert len([event for event in events if isinstance(event, Opening)]) == 1
    assert {event.job for event in events if isinstance(event, Progress)} == set(jobs[:2])
