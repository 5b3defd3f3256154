"""How long a plan may take, from a trial of a few passes and frames, here and now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from staa_cli.jobs.plan import Planned
from staa_cli.jobs.run import Worker, failure
from staa_cli.jobs.workload import time_frame, time_pass


@dataclass(frozen=True, slots=True)
class Rates:
    """What a trial has shown of this machine, the model, and a video."""

    device: str
    pass_s: float
    """Seconds a pass."""
    pixel_s: float
    """Seconds a pixel that is drawn."""


def estimate(plans: Sequence[Planned], worker: Worker) -> tuple[list[Planned], Rates | None]:
    """How long plans may take.

    What is not drawn or checked in pictures of its own (a storyboard, a GIF) is not counted.

    Returns:
        The plans, those that explain with their workload and seconds; and what the trial has shown,
        None where nothing is to be explained, or it cannot be measured.

    Raises:
        UsageError: a method that does not fit the model.
        UnavailableError: no such model or device.
    """
    todo = [plan for plan in plans if plan.status == "explain"]
    if not todo:
        return list(plans), None
    settings, model = worker.request.settings, worker.explainer.model
    largest = max(todo, key=_drawn_pixels).video
    drawn = settings.output.annotated
    try:
        rates = Rates(
            str(model.device),
            time_pass(model, settings),
            time_frame(largest, settings) if drawn and largest else 0.0,
        )
    except Exception as error:  # what is wrong with a video is its own failure, in its turn
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
