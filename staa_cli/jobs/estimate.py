"""Estimate how long a plan takes from a short trial on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from staa_cli.jobs.plan import Planned
from staa_cli.jobs.run import Worker, failure
from staa_cli.jobs.workload import time_frame, time_pass


@dataclass(frozen=True, slots=True)
class Rates:
    """Results of a trial with the model and a video on this machine."""

    device: str
    pass_s: float
    """Seconds per pass."""
    pixel_s: float
    """Seconds per drawn pixel."""


def estimate(plans: Sequence[Planned], worker: Worker) -> tuple[list[Planned], Rates | None]:
    """Estimate how long plans take.

    Storyboards and GIFs are not counted.

    Returns:
        The plans, with workload and seconds where a video is explained; and the rates, None if
        nothing is to be explained or the trial failed.

    Raises:
        UsageError: a method that does not fit the model.
        UnavailableError: no such model or device.
    """
    # Of a video that has to be downloaded first, nothing is known.
    todo = [plan for plan in plans if plan.status == "explain" and plan.clips is not None]
    if not todo:
        return list(plans), None
    settings, model = worker.request.settings, worker.explainer.model
    largest = max(todo, key=_drawn_pixels).video
    draws = settings.output.annotated
    try:
        rates = Rates(
            str(model.device),
            time_pass(model, settings),
            time_frame(largest, settings) if draws and largest else 0.0,
        )
    except Exception as error:  # the job itself will report it
        worker.announce(f"cannot estimate the time: {failure(error).cause}")
        return list(plans), None
    return [_timed(plan, worker, rates) for plan in plans], rates


def _timed(plan: Planned, worker: Worker, rates: Rates) -> Planned:
    if plan.status != "explain" or plan.clips is None:
        return plan
    load = worker.explainer.workload(plan.clips)
    seconds = load.total * rates.pass_s
    return replace(plan, workload=load, seconds=seconds + rates.pixel_s * _drawn_pixels(plan))


def _drawn_pixels(plan: Planned) -> int:
    return plan.frames * plan.video.width * plan.video.height if plan.video else 0
