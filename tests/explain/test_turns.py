"""Videos that are explained at the same time with one model: in turn, and in shared batches."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from explaining import counted, same
from small_videos import asked, film

from staa_cli.api import Explanation, explain_video
from staa_cli.config.settings import MethodSettings, Settings
from staa_cli.explain.pipeline import explain_one
from staa_cli.explain.timing import Stopwatch
from staa_cli.explain.turns import Turns
from staa_cli.models.load import LoadedModel

FRAMES = (20, 12, 12)
"""Of three videos; of 3, 2, and 2 clips."""


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("films")
    return [film(folder / f"{n}.mp4", count, seed=n) for n, count in enumerate(FRAMES)]


def at_once(
    films: Sequence[Path],
    model: LoadedModel,
    turns: Turns,
    settings: Settings,
    starts_together: bool = True,
) -> list[Future[Any]]:
    """Explain videos in threads, which start when each has asked for its turn once."""
    explain = partial(
        explain_one, model=model, settings=settings, on_progress=lambda *_: None, turns=turns
    )
    with ThreadPoolExecutor(len(films)) as pool:
        if not starts_together:
            return [pool.submit(explain, video) for video in films]
        with turns.alone(Stopwatch()):
            explained = [pool.submit(explain, video) for video in films]
            until = time.monotonic() + 30
            while len(turns._waiting) < len(films) and time.monotonic() < until:
                time.sleep(0.001)
        return explained


def apart(films: Sequence[Path], model: LoadedModel, settings: Settings) -> list[Explanation]:
    return [explain_video(video, model, settings=settings) for video in films]


@pytest.mark.parametrize("method", ["staa-class", "grad-attention", "gradcam", "rollout"])
def test_clips_of_several_videos_share_a_batch_and_stay_apart(
    films: list[Path], wavering: LoadedModel, method: str
) -> None:
    settings = asked(batch_size=7, method=MethodSettings(method))
    wanted = apart(films, wavering, settings)
    with counted(wavering) as sizes:
        found = [each.result() for each in at_once(films, wavering, Turns(7), settings)]
    assert sizes[0] == 7
    for one, other in zip(found, wanted, strict=True):
        same(one, other, atol=1e-5)
        assert one.run.seconds["forward"] > 0


def test_no_more_clips_share_a_batch_than_fit(films: list[Path], model: LoadedModel) -> None:
    with counted(model) as sizes:
        at_once(films, model, Turns(5), asked(batch_size=3))
    assert sorted(sizes) in ([2, 5], [3, 4])  # by which video is first
    with counted(model) as sizes:
        at_once(films, model, Turns(), asked(batch_size=3))
    assert sorted(sizes) == [2, 2, 3]


def test_alone_or_beside_others_a_video_that_shares_no_batch_gets_the_same_bits(
    films: list[Path], model: LoadedModel
) -> None:
    wanted = apart(films, model, asked())
    found = at_once(films, model, Turns(), asked())
    for one, other in zip(found, wanted, strict=True):
        same(one.result(), other)


@pytest.mark.parametrize("side_by_side", [False, True])
def test_passes_take_turns_or_run_side_by_side(
    films: list[Path], model: LoadedModel, side_by_side: bool
) -> None:
    running, most = [0], [0]
    wanted = apart(films, model, asked())
    counting = threading.Lock()

    def count(step: int, *_: object) -> None:
        with counting:
            running[0] += step
            most[0] = max(most[0], running[0])
        time.sleep(0.005)

    hooks = [
        model.module.register_forward_pre_hook(partial(count, 1)),
        model.module.register_forward_hook(partial(count, -1)),
    ]
    turns = Turns(threads=1, side_by_side=side_by_side)
    try:
        found = at_once(films, model, turns, asked(), starts_together=not side_by_side)
    finally:
        for hook in hooks:
            hook.remove()
    assert (most[0] > 1) == side_by_side
    for one, other in zip(found, wanted, strict=True):
        same(one.result(), other, atol=1e-6)  # that of another number of threads


def test_a_batch_that_does_not_fit_is_divided_by_video(
    films: list[Path], model: LoadedModel
) -> None:
    sizes: list[int] = []

    class Small(LoadedModel):
        def place(self, batch: torch.Tensor) -> torch.Tensor:
            sizes.append(len(batch))
            if len(batch) > 4:
                raise RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes")
            return model.place(batch)

    tight = Small(model.module, model.info, model.device, model.precision)
    wanted = apart(films, model, asked(batch_size=4))
    turns = Turns(7)
    found = [each.result() for each in at_once(films, tight, turns, asked(batch_size=4))]
    assert sizes[0] == 7
    assert turns._together == 3
    for one, other in zip(found, wanted, strict=True):
        same(one, other, atol=1e-5)
        assert not [warning for warning in one.warnings if warning.code == "batch-size-reduced"]


def test_an_error_of_one_video_is_not_that_of_the_others(
    films: list[Path], model: LoadedModel
) -> None:
    class Picky(LoadedModel):
        def place(self, batch: torch.Tensor) -> torch.Tensor:
            if len(batch) in (3, 7):
                raise ValueError("three are too many")
            return model.place(batch)

    picky = Picky(model.module, model.info, model.device, model.precision)
    failed, *found = at_once(films, picky, Turns(7), asked(batch_size=3))
    with pytest.raises(ValueError, match="three are too many"):
        failed.result()
    assert [each.result().video.frames for each in found] == [12, 12]
