"""What belongs to the process, and so to the command alone: never to a function of the package."""

from __future__ import annotations


def use_threads(count: int | None) -> None:
    """Have torch compute in so many threads; None leaves its own choice, one a core."""
    if count is not None:
        import torch

        torch.set_num_threads(count)
