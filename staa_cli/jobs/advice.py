"""How many processes are fastest on this machine, found out by explaining a video several times."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from staa_cli.config.settings import Settings
from staa_cli.jobs.engines import Engine
from staa_cli.jobs.inputs import Job
from staa_cli.jobs.outcome import OnEvent
from staa_cli.jobs.run import Request

_ROUNDS = 3
"""Videos for each process that are measured, after one that is not."""
_WORTH = 1.15
"""Ratio of rates from which more processes are worth their memory."""


@dataclass(frozen=True, slots=True)
class Rate:
    """What a number of processes achieves."""

    jobs: int
    """Number of processes."""
    videos_s: float
    """Videos per second, once all processes have opened the model."""


def measured_rates(
    video: Path,
    settings: Settings,
    counts: Sequence[int],
    engine_of: Callable[[int], Engine],
    on_event: OnEvent = lambda event: None,
) -> Iterable[Rate]:
    """Measure numbers of processes, one after the other.

    Args:
        video: that is explained again and again, into a temporary folder.
        settings: of the explanation.
        counts: numbers of processes.
        engine_of: gives the engine for a number of processes.
        on_event: called with events of the jobs.

    Raises:
        StaaError: the video cannot be explained with these settings.
    """
    for count in counts:
        # With one process, two videos are worked on at once, too.
        first = max(2, count)
        with TemporaryDirectory(prefix="staa-") as folder:
            output = replace(settings.output, dir=folder)
            request = Request(replace(settings, output=output))
            jobs = [Job(video, Path(folder) / str(n)) for n in range(first * (1 + _ROUNDS))]
            ends = []
            engine = engine_of(count)
            with closing(engine(jobs, request, on_event, lambda line: None)) as outcomes:
                for outcome in outcomes:
                    if outcome.error is not None:
                        raise outcome.error
                    ends.append(time.perf_counter())
        yield Rate(count, (len(ends) - first) / (ends[-1] - ends[first - 1]))


def best(rates: Sequence[Rate]) -> Rate:
    """The rate to recommend: the fastest, but fewer processes if they are nearly as fast."""
    highest = max(rate.videos_s for rate in rates)
    enough = [rate for rate in rates if rate.videos_s * _WORTH >= highest]
    return min(enough, key=lambda rate: rate.jobs)


def write_sample(path: Path) -> Path:
    """Write a synthetic video of 5 seconds, 640 x 360, to measure with."""
    import numpy as np

    from staa_cli.synthetic.events import make_scene, render
    from staa_cli.video.encode import write_video

    length_s, rate, (width, height) = 5, 24, (640, 360)
    scene = make_scene(1, label=1, duration_s=length_s, width=width / height)
    pictures, *_ = render(scene, np.arange(length_s * rate) / rate, height)
    write_video(path, pictures, rate=rate)
    return path
