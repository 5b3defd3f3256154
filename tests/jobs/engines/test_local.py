"""The engine of this process: two videos at once, and outcomes in the order of the jobs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from job_runs import content, job, statuses
from small_videos import asked

from staa_cli.errors import UnavailableError
from staa_cli.explain.pipeline import explain_one
from staa_cli.jobs import explainer
from staa_cli.jobs.engines import Engine
from staa_cli.jobs.engines import local as engine
from staa_cli.jobs.engines.local import run_local
from staa_cli.jobs.inputs import Job
from staa_cli.jobs.outcome import Event, Opening, Outcome, Progress, Started
from staa_cli.jobs.resources import Resources
from staa_cli.jobs.run import Request

ENGINE: Engine = run_local
"""So that the types are compared."""
SOON_S = 20.0
"""Far longer than anything here takes."""


@pytest.fixture
def jobs(tmp_path: Path) -> list[Job]:
    return [job(tmp_path, f"{name}.mp4", seed=seed) for seed, name in enumerate("abcd")]


def run(jobs: list[Job], **options: Any) -> list[Outcome]:
    return list(run_local(jobs, Request(asked(), reproducible=True), **options))


Explain = Callable[..., Any]


@pytest.fixture
def when_explained(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[str], object]], None]:
    """Have a function called with the name of each video, in its thread."""

    def call(function: Callable[[str], object]) -> None:
        def explain(path: Path, *args: Any, **more: Any) -> Any:
            explained = explain_one(path, *args, **more)
            function(path.stem)
            return explained

        monkeypatch.setattr(explainer, "explain_one", explain)

    return call


def test_nothing_is_done_before_somebody_asks_and_not_too_much_ahead(
    jobs: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_AHEAD", 2)
    taken: list[Job] = []
    events: list[Event] = []

    def come() -> Iterator[Job]:
        for each in jobs:
            taken.append(each)
            yield each

    outcomes = ENGINE(come(), Request(asked()), events.append, lambda line: None)
    assert (taken, events) == ([], [])
    outcome = next(outcomes)
    assert outcome.job is jobs[0]
    time.sleep(0.5)  # nobody asks
    assert jobs[3] not in taken
    assert statuses(list(outcomes)) == ["done"] * 3
    assert len([event for event in events if isinstance(event, Opening)]) == 1
    assert {event.job for event in events if isinstance(event, Progress)} == set(jobs)
    assert len([event for event in events if isinstance(event, Started)]) == 4


def test_two_videos_are_explained_at_once_and_a_slow_one_keeps_its_place(
    jobs: list[Job], when_explained: Callable[[Callable[[str], object]], None]
) -> None:
    others = threading.Semaphore(0)
    both = threading.Barrier(2)

    def wait(name: str) -> None:
        if name in "ab":
            both.wait(SOON_S)
        if name == "a":
            for _ in range(3):
                assert others.acquire(timeout=SOON_S)
        else:
            others.release()

    when_explained(wait)
    assert [outcome.job for outcome in run(jobs)] == jobs


def test_alone_or_beside_another_the_files_are_the_same(jobs: list[Job], tmp_path: Path) -> None:
    request = Request(asked({"npz": True, "csv": True}, batch_size=4), reproducible=True)
    apart = [Job(each.source, tmp_path / "apart" / each.source.stem) for each in jobs]
    assert statuses(list(run_local(jobs, request))) == ["done"] * 4
    assert statuses(list(run_local(apart, request, at_once=1))) == ["done"] * 4
    for one, other in zip(jobs, apart, strict=True):
        assert content(one.folder) == content(other.folder)


def test_a_bad_video_fails_alone(
    jobs: list[Job], when_explained: Callable[[Callable[[str], object]], None]
) -> None:
    def fail(name: str) -> None:
        if name == "b":
            raise ZeroDivisionError

    when_explained(fail)
    assert statuses(run(jobs)) == ["done", "failed", "done", "done"]


def test_a_model_that_does_not_open_is_told_once(
    jobs: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[int] = []

    def unavailable(*_: object) -> None:
        tries.append(1)
        time.sleep(0.2)  # the other thread waits for it by now
        raise UnavailableError("no such device")

    monkeypatch.setattr(explainer, "open_model", unavailable)
    with pytest.raises(UnavailableError, match="no such device"):
        run(jobs)
    assert tries == [1]


def test_leaving_it_stops_both_videos_at_once_and_leaves_nothing_of_them(
    jobs: list[Job], when_explained: Callable[[Callable[[str], object]], None], tmp_path: Path
) -> None:
    both = threading.Barrier(3)

    def long(name: str) -> None:
        if name != "a":
            both.wait(SOON_S)
            for _ in range(1000):
                time.sleep(SOON_S / 1000)

    when_explained(long)
    outcomes = run_local(jobs, Request(asked(), reproducible=True))
    assert next(outcomes).job is jobs[0]
    both.wait(SOON_S)
    start = time.monotonic()
    outcomes.close()
    assert time.monotonic() - start < 2
    assert [path.name for path in (tmp_path / "out").rglob("*")] == ["a", "report.json"]
    assert statuses(run(jobs[:1])) == ["skipped"]


@pytest.mark.parametrize("count", [4, 2])
def test_a_gpu_gets_more_videos_at_once(
    jobs: list[Job],
    when_explained: Callable[[Callable[[str], object]], None],
    monkeypatch: pytest.MonkeyPatch,
    count: int,
) -> None:
    monkeypatch.setattr(Resources, "is_on_gpu", property(lambda self: self._explainer is not None))
    monkeypatch.setattr(engine, "_ON_GPU", count)
    running = threading.Barrier(count)
    when_explained(lambda name: running.wait(SOON_S))
    assert statuses(run(jobs)) == ["done"] * 4
