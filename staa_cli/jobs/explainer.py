"""An opened model with settings, to explain one video after the other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from staa_cli.evaluation.measure import measure_faithfulness
from staa_cli.explain.clips import clips_at_once
from staa_cli.explain.pipeline import PLANNING, check_settings, explain_one, open_model
from staa_cli.explain.turns import Turns
from staa_cli.jobs.outcome import Workload
from staa_cli.jobs.workload import workload
from staa_cli.models.catalog.hub import Announce
from staa_cli.schema import Explanation, OnProgress

if TYPE_CHECKING:
    from staa_cli.jobs.run import Request


class Explainer:
    """Opens the model and checks that the settings fit it. Several threads may explain videos.

    Args:
        request: options of all jobs.
        announce: called with one line about what is going to be downloaded.
        at_once: number of threads that explain videos.

    Raises:
        UsageError: an unknown method or class, or one that does not fit the model.
        UnavailableError: no such model, device, or package.
    """

    def __init__(self, request: Request, announce: Announce, at_once: int = 1) -> None:
        settings = self.settings = request.settings
        self.model = open_model(settings, announce)
        check_settings(self.model, settings)
        threads, on_cpu = torch.get_num_threads(), self.model.device.type == "cpu"
        # Another number of threads, or of clips, changes the last bits; a compiled model is for one
        # shape, and compiled by one thread.
        alike = request.reproducible or settings.compile
        if on_cpu and at_once > 1 and not alike:
            self._turns = Turns(threads=max(1, threads // at_once), side_by_side=True)
            return
        self._turns = Turns(1 if alike else clips_at_once(settings.batch_size, self.model), threads)

    def workload(self, clips: int) -> Workload:
        """The cost of a number of clips."""
        output, method = self.settings.output, self.settings.method
        return workload(clips, self.model, self.settings, [method.name], output.depth)

    def explain(
        self, video: Path, on_opened: Callable[[Workload], None], on_progress: OnProgress
    ) -> Explanation:
        """Explain one video; `on_opened` gets its workload first. See `explain_one`."""

        def report(stage: str, done: int, total: int) -> None:
            if stage == PLANNING:
                on_opened(self.workload(total))
            else:
                on_progress(stage, done, total)

        return explain_one(
            video,
            self.model,
            self.settings,
            report,
            measure=measure_faithfulness,
            turns=self._turns,
        )
