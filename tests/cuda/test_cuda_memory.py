"""Real memory of a CUDA device running out: smaller batches, a clear error, nothing left behind."""

from __future__ import annotations

import gc
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from staa_cli import explain_clip, explain_video
from staa_cli.api import Explanation
from staa_cli.benchmark.datasets.events import EventClips
from staa_cli.config.settings import MethodSettings, SamplingSettings, Settings
from staa_cli.errors import UnavailableError
from staa_cli.explain.pipeline import open_model
from staa_cli.methods import METHODS, Options, fitting, get_method
from staa_cli.models.load import LoadedModel, load_model

if not torch.cuda.is_available():
    pytest.skip("no CUDA device here", allow_module_level=True)
pytestmark = pytest.mark.cuda

Agree = Callable[..., None]
Limit = Callable[[float], None]
PeakOf = Callable[[Callable[[], object]], int]

BATCH = 8
SIZE = 448
"""Pixels a side: large enough that clips, not the allocator's blocks, fill the memory."""
SAMPLES = 66


def asked(method: str, gpu: str, batch_size: int = BATCH) -> Settings:
    return Settings(
        device=gpu,
        batch_size=batch_size,
        method=MethodSettings(name=method),
        sampling=SamplingSettings(size=SIZE, hop=0.2),
    )


class Watched(LoadedModel):
    """Remembers how many clips it was given at once."""

    sizes: list[int] = []  # noqa: RUF012 - one for the copies that `fitted` makes, too

    def place(self, batch: torch.Tensor) -> torch.Tensor:
        self.sizes.append(len(batch))
        return LoadedModel.place(self, batch)


def watched(model: LoadedModel) -> Watched:
    Watched.sizes.clear()
    return Watched(model.module, model.info, model.device, model.precision)


def codes(found: Explanation) -> set[str]:
    return {warning.code for warning in found.warnings}


@pytest.mark.parametrize("method", ["staa", "grad-attention"])
def test_a_batch_that_does_not_fit_is_halved_until_it_does(
    method: str,
    gpu: str,
    exact: None,
    limited: Limit,
    peak_of: PeakOf,
    agree: Agree,
    sample_videos: Path,
) -> None:
    video, settings = sample_videos / "grow_sound.mp4", asked(method, gpu)
    model = watched(open_model(settings))
    alone = peak_of(lambda: explain_video(video, model, settings=replace(settings, batch_size=1)))
    together = peak_of(lambda: explain_video(video, model, settings=settings))
    assert max(Watched.sizes) == BATCH
    plain = explain_video(video, model, settings=settings)
    assert "batch-size-reduced" not in codes(plain)
    limited(alone + 2 / 7 * (together - alone))  # what three clips would take
    held = torch.cuda.memory_allocated()
    Watched.sizes.clear()
    found = explain_video(video, model, settings=settings)
    assert "batch-size-reduced" in codes(found)
    assert Watched.sizes[0] == BATCH
    assert Watched.sizes[1] == BATCH // 2
    assert Watched.sizes[-1] in (1, 2)
    (warning,) = [each for each in found.warnings if each.code == "batch-size-reduced"]
    assert re.search(r"--batch-size [12]\)", warning.text)
    assert torch.cuda.memory_allocated() == held
    assert found.clips == plain.clips
    assert found.prediction.target == plain.prediction.target
    agree("frame scores", found.frames.score, plain.frames.score, 1e-4)
    for ours, theirs in zip(found.attributions, plain.attributions, strict=True):
        agree("values", ours.values, theirs.values, 1e-4)


def test_a_clip_that_does_not_fit_is_told_and_its_memory_is_free_again(
    gpu: str, limited: Limit, sample_videos: Path
) -> None:
    video, settings = sample_videos / "hop.mp4", asked("staa", gpu)
    model = open_model(settings)
    explain_video(video, model, settings=settings)
    limited(0)  # releases what is not held
    held = torch.cuda.memory_allocated()
    limited(torch.cuda.memory_reserved() + (4 << 20))
    told = "one clip alone does not fit into the memory of cuda"
    with pytest.raises(UnavailableError, match=told) as caught:
        explain_video(video, model, settings=settings)
    assert "--precision bf16" in str(caught.value.hint)
    del caught  # and the frames of its traceback
    gc.collect()
    assert torch.cuda.memory_allocated() == held
    torch.cuda.set_per_process_memory_fraction(1.0)
    assert "batch-size-reduced" not in codes(explain_video(video, model, settings=settings))


def test_weights_that_do_not_fit_are_told(gpu: str, limited: Limit) -> None:
    torch.zeros(1, device=gpu)
    limited(0)
    limited(torch.cuda.memory_reserved() + 1)
    with pytest.raises(UnavailableError, match="does not fit into the memory of cuda"):
        load_model("tiny-events", device=gpu)


@pytest.mark.parametrize("share", [0.6, 0.1])
@pytest.mark.parametrize("method", ["rise", "kernel-shap", "integrated-gradients"])
def test_altered_copies_that_do_not_fit_go_in_smaller_passes(
    method: str,
    share: float,
    gpu: str,
    exact: None,
    limited: Limit,
    peak_of: PeakOf,
    agree: Agree,
) -> None:
    """One clip fits, with a share of what the copies would take beside it."""
    model = load_model("tiny-events", device=gpu)
    frames = EventClips("events", 1, "test").sample(0).frames

    def explain(name: str = method) -> Any:
        return explain_clip(model, frames, method=name, options=Options(samples=SAMPLES))

    one = peak_of(lambda: explain("grad-attention" if get_method(method).gradients else "staa"))
    many = peak_of(explain)
    assert many > 2 * one
    plain = explain().attribution
    limited(one + share * (many - one))
    found = explain().attribution
    agree("values", found.values, plain.values, 1e-4)
    assert found.passes_per_clip == plain.passes_per_clip


@contextmanager
def no_collector() -> Iterator[None]:
    """It does not know how much of the device's memory a cycle of references keeps."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@pytest.mark.parametrize("name", METHODS.names())
def test_memory_does_not_grow_with_the_clips(
    name: str, gpu: str, record_property: Callable[[str, object], None]
) -> None:
    model = load_model("test_timesformer", device=gpu)
    if name not in fitting(model.module, model.layout, Options()):
        pytest.skip("does not fit, and says so")
    frames = np.random.default_rng(0).integers(0, 255, (4, 48, 64, 3)).astype(np.uint8)
    held, peaks = [], []
    with no_collector():
        for _ in range(20):
            torch.cuda.reset_peak_memory_stats()
            explain_clip(model, frames, method=name, options=Options(samples=SAMPLES))
            held.append(torch.cuda.memory_allocated())
            peaks.append(torch.cuda.max_memory_allocated())
    # Libraries set up a workspace once, at the first clip or a later one; growth goes on.
    record_property("bytes held after the tenth clip and the last", f"{held[9]} {held[-1]}")
    assert held[-1] == held[9]
    assert peaks[-1] == peaks[9]
