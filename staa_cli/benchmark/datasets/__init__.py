"""What methods are scored on: clips from a seed, the user's own videos, or folders of classes."""

from staa_cli.benchmark.datasets.base import (
    DATASETS,
    Dataset,
    Opener,
    Question,
    Sample,
    Split,
    register_dataset,
)
from staa_cli.benchmark.datasets.names import open_dataset

__all__ = [
    "DATASETS",
    "Dataset",
    "Opener",
    "Question",
    "Sample",
    "Split",
    "open_dataset",
    "register_dataset",
]
