"""Several videos explained at once on a CUDA device, in one process."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from job_runs import statuses

from staa_cli.config.settings import OutputSettings, SamplingSettings, Settings
from staa_cli.explain import attribution
from staa_cli.jobs.engines.local import run_local
from staa_cli.jobs.inputs import Job
from staa_cli.jobs.run import Request

if not torch.cuda.is_available():
    pytest.skip("no CUDA device here", allow_module_level=True)
pytestmark = pytest.mark.cuda

OUTPUT = OutputSettings(annotated=False, html=False)


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of clips in each pass that explains."""
    sizes: list[int] = []
    attend = attribution.attend

    def count(model: Any, inputs: torch.Tensor, *args: Any, **more: Any) -> Any:
        sizes.append(len(inputs))
        return attend(model, inputs, *args, **more)

    monkeypatch.setattr(attribution, "attend", count)
    return sizes


def jobs_of(sample_videos: Path, out: Path) -> Sequence[Job]:
    videos = sorted(sample_videos.glob("*.mp4")) * 4
    return [Job(video, out / str(number)) for number, video in enumerate(videos)]


def test_short_videos_share_batches_and_are_explained_as_alone(
    gpu: str, sample_videos: Path, tmp_path: Path, batches: list[int]
) -> None:
    sampling = SamplingSettings("segments", clips=2)
    settings = Settings(device=gpu, output=OUTPUT, sampling=sampling)
    together = jobs_of(sample_videos, tmp_path / "together")
    found = list(run_local(together, Request(settings)))
    assert statuses(found) == ["done"] * len(together)
    assert max(batches) > 2
    assert sum(batches) == 2 * len(together)
    batches.clear()
    apart = jobs_of(sample_videos, tmp_path / "apart")
    wanted = list(run_local(apart, Request(settings), at_once=1))
    assert set(batches) == {2}
    for one, other in zip(found, wanted, strict=True):
        assert one.report is not None
        assert other.report is not None
        scores = [
            np.asarray(row, np.float64)
            for row in (one.report.frames.score, other.report.frames.score)
        ]
        np.testing.assert_allclose(scores[0], scores[1], atol=1e-3)  # NaN where no clip reaches


def test_what_shall_be_reproducible_shares_no_batch(
    gpu: str, sample_videos: Path, tmp_path: Path, batches: list[int]
) -> None:
    settings = Settings(device=gpu, output=OUTPUT, sampling=SamplingSettings("segments", clips=2))
    jobs = jobs_of(sample_videos, tmp_path / "one")
    request = Request(settings, reproducible=True)
    assert statuses(list(run_local(jobs, request))) == ["done"] * len(jobs)
    assert set(batches) == {2}
    again = jobs_of(sample_videos, tmp_path / "two")
    assert statuses(list(run_local(again, request, at_once=1))) == ["done"] * len(jobs)
    for one, other in zip(jobs, again, strict=True):
        for name in ("report.json", "maps.npz"):
            assert (one.folder / name).read_bytes() == (other.folder / name).read_bytes()
