"""What runs on a CUDA device: ``pytest -m cuda`` on a machine that has one; skipped elsewhere."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch

Agree = Callable[..., None]


@pytest.fixture(scope="session")
def gpu() -> str:
    """Name of the device; the modules are skipped where there is none."""
    return "cuda"


@pytest.fixture
def exact(gpu: str) -> Iterator[None]:
    """Float32 as a CPU has it: torch lets cuDNN round what it convolves to 10 bits (TF32)."""
    value: str | bool
    conv = getattr(torch.backends.cudnn, "conv", None)
    if hasattr(conv, "fp32_precision"):
        where, name, value = conv, "fp32_precision", "ieee"
    else:  # torch before 2.9
        where, name, value = torch.backends.cudnn, "allow_tf32", False
    before = getattr(where, name)
    setattr(where, name, value)
    yield
    setattr(where, name, before)


@pytest.fixture
def agree(record_property: Callable[[str, object], None]) -> Agree:
    """Asserts that two arrays differ by no more than a part of the second's largest number.

    What was measured is in the report of ``--junitxml``.
    """

    def check(what: str, ours: object, theirs: object, bound: float) -> None:
        one, two = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
        assert one.shape == two.shape
        assert np.isfinite(one).all()
        apart = float(np.abs(one - two).max() / np.abs(two).max())
        record_property(f"{what}, apart", f"{apart:.1e}")
        assert apart <= bound, f"{what}: {apart:.1e} apart"

    return check


@pytest.fixture
def limited(gpu: str) -> Iterator[Callable[[float], None]]:
    """Lets this process have so many bytes of the device, until the test is over."""
    total = torch.cuda.get_device_properties(0).total_memory

    def limit(most: float) -> None:
        release()
        torch.cuda.set_per_process_memory_fraction(most / total)

    yield limit
    torch.cuda.set_per_process_memory_fraction(1.0)
    release()


@pytest.fixture
def peak_of(gpu: str) -> Callable[[Callable[[], object]], int]:
    """Most bytes that torch holds of the device while a job runs; the job has run before."""

    def measure(job: Callable[[], object]) -> int:
        job()  # the libraries' own memory is taken by the first
        release()
        torch.cuda.reset_peak_memory_stats()
        job()
        return torch.cuda.max_memory_reserved()

    return measure


def release() -> None:
    """Give back what nothing holds."""
    gc.collect()
    torch.cuda.empty_cache()
