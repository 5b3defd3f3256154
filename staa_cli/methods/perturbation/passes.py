"""Passes of a model side by side on the cores of a CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import torch
from torch import nn

Item = TypeVar("Item")
Result = TypeVar("Result")

MOST = 4
"""Passes at once; each needs memory of its own."""


def passes_at_once(model: nn.Module, device: torch.device) -> int:
    """How many passes to make side by side: as many as torch has threads on a CPU, up to `MOST`.

    The layers of a small model on few copies are too short to be divided among threads: a pass per
    thread takes three quarters of the time. A compiled model takes one pass after the other, since
    it may be compiled anew for a batch of another size.
    """
    compiled = hasattr(model, "_orig_mod")
    return 1 if device.type != "cpu" or compiled else min(torch.get_num_threads(), MOST)


def side_by_side(
    run: Callable[[Item], Result], items: Sequence[Item], at_once: int
) -> Iterator[Result]:
    """Results of a pass for each item, in order; torch's threads are divided among the passes.

    The first error is raised in its place, and what has not begun by then is not run.
    """
    if at_once == 1 or len(items) < 2:
        yield from map(run, items)
        return
    threads = torch.get_num_threads()
    share = partial(torch.set_num_threads, max(1, threads // at_once))
    pool = ThreadPoolExecutor(min(at_once, len(items)), "pass", initializer=share)
    try:
        yield from pool.map(run, items)
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)  # else threads that start later would get the share
