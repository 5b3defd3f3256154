"""Settings of the whole process, which only commands may change, not functions of the package."""

from __future__ import annotations


def use_threads(count: int | None) -> None:
    """Set the number of torch's threads; None keeps its default, one per core."""
    if count is not None:
        import torch

        torch.set_num_threads(count)
