"""Passes side by side give what passes in turn give, and leave torch's threads as they were."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from staa_cli.benchmark.datasets.events import EventClips
from staa_cli.methods.perturbation.base import PerturbedClip
from staa_cli.methods.perturbation.passes import MOST, passes_at_once, side_by_side
from staa_cli.models.load import load_model

CPU = torch.device("cpu")


@pytest.fixture(params=[1, 2, 3])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """Number of torch's threads in the test."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_every_thread_of_torch_gets_a_pass(threads: int) -> None:
    at_once = passes_at_once(nn.Identity(), CPU)
    assert at_once == threads
    together = threading.Barrier(at_once, timeout=20)

    def run(item: int) -> tuple[int, int]:
        if item < at_once:
            together.wait()  # which times out unless all of these run at the same time
        return item, torch.get_num_threads()

    assert list(side_by_side(run, range(9), at_once)) == [(n, 1) for n in range(9)]
    assert torch.get_num_threads() == threads
    started_later: list[int] = []
    later = threading.Thread(target=lambda: started_later.append(torch.get_num_threads()))
    later.start()
    later.join()
    assert started_later == [threads]


def test_threads_are_divided_among_a_few_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4 * MOST)
    assert passes_at_once(nn.Identity(), CPU) == MOST
    assert passes_at_once(nn.Identity(), torch.device("cuda")) == 1
    shares: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", shares.append)
    list(side_by_side(str, range(MOST), MOST))
    assert set(shares[:-1]) == {4}
    assert shares[-1] == 4 * MOST


def test_a_compiled_model_takes_one_pass_after_the_other(threads: int) -> None:
    assert passes_at_once(torch.compile(nn.Identity()), CPU) == 1  # type: ignore[arg-type]


def test_an_error_ends_the_passes() -> None:
    ran: list[int] = []

    def run(item: int) -> int:
        ran.append(item)
        time.sleep(0.001)
        if item == 3:
            raise ValueError("the fourth")
        return item

    found = side_by_side(run, range(1000), 2)
    assert [next(found) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="the fourth"):
        next(found)
    assert len(ran) < 1000


class InTurn(nn.Module):
    """A model that notices if two passes run at once."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.running, self.most = model, 0, 0
        self.lock = threading.Lock()

    def forward(self, clips: Tensor) -> Tensor:
        with self.lock:
            self.running += 1
            self.most = max(self.most, self.running)
        try:
            logits: Tensor = self.model(clips)
        finally:
            with self.lock:
                self.running -= 1
        return logits


def test_scores_of_copies_do_not_depend_on_the_passes_at_once(threads: int) -> None:
    model = load_model("tiny-events", device="cpu")
    clip = model.preprocess(EventClips("events", 1, "test").sample(0).frames)[0]
    watched, told = InTurn(model.module), list[int]()
    perturbed = PerturbedClip(
        watched, clip, clip.mean() + torch.zeros_like(clip), model.layout.grid, 1
    )
    perturbed.on_perturbed = told.append
    kept = torch.rand(9, *model.layout.grid, generator=torch.Generator().manual_seed(0)).round()
    found = perturbed.keep(kept)
    alone = torch.cat([perturbed.keep(each[None]) for each in kept])
    torch.testing.assert_close(found, alone, rtol=1e-5, atol=1e-7)
    assert watched.most <= threads
    assert sum(told) == perturbed.asked == 2 * len(kept)
