"""Benchmark data sets: synthetic clips, the user's own videos, and folders of classes."""

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
