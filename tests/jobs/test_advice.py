"""Advice on the number of processes."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Any

import pytest
from small_videos import asked, film

from staa_cli.errors import InputError
from staa_cli.jobs.advice import Rate, best, measured_rates
from staa_cli.jobs.inputs import Job
from staa_cli.jobs.outcome import Outcome


@pytest.mark.parametrize(
    ("rates", "jobs"),
    [
        ({1: 1.0}, 1),
        ({1: 1.0, 2: 0.9}, 1),
        ({1: 1.0, 2: 1.1}, 1),
        ({1: 1.0, 2: 1.7, 4: 1.8, 8: 1.5}, 2),
        ({1: 1.0, 2: 1.2, 4: 2.0}, 4),
    ],
)
def test_few_processes_are_advised_where_more_gain_little(
    rates: dict[int, float], jobs: int
) -> None:
    assert best([Rate(count, value) for count, value in rates.items()]).jobs == jobs


@pytest.mark.parametrize("count", [1, 3])
def test_the_start_of_the_processes_is_not_measured(tmp_path: Path, count: int) -> None:
    video, folders = film(tmp_path / "walk.mp4"), set[Path]()

    def engine_of(number: int) -> Any:
        assert number == count

        def run(jobs: Iterable[Job], *_: Any) -> Generator[Outcome]:
            time.sleep(1.0)  # opens the model
            for position, job in enumerate(jobs):
                assert job.source == video
                folders.add(job.folder)
                time.sleep(0.05 if position >= max(2, count) else 0.0)
                yield Outcome(job, "done")

        return run

    (rate,) = measured_rates(video, asked(), [count], engine_of)
    assert rate.jobs == count
    assert 10 < rate.videos_s <= 20
    assert len(folders) == 4 * max(2, count)
    assert not any(folder.exists() for folder in folders)


def test_a_video_that_fails_is_told(tmp_path: Path) -> None:
    def engine_of(number: int) -> Any:
        def run(jobs: Iterable[Job], *_: Any) -> Generator[Outcome]:
            for job in jobs:
                yield Outcome(job, "failed", error=InputError("no video stream"))

        return run

    with pytest.raises(InputError, match="no video stream"):
        list(measured_rates(tmp_path / "a.mp4", asked(), [1], engine_of))
