"""From a name, or a folder, to its clips."""

from __future__ import annotations

from pathlib import Path

from staa_cli.benchmark.datasets.base import DATASETS, Dataset, Split, declared_name
from staa_cli.benchmark.datasets.ground_truth import TrueVideos
from staa_cli.benchmark.datasets.videos import Videos
from staa_cli.errors import UsageError
from staa_cli.models.load import LoadedModel
from staa_cli.registry import did_you_mean
from staa_cli.results.ground_truth import FILE


def open_dataset(name: str, model: LoadedModel, seed: int, split: Split = "test") -> Dataset:
    """A data set's name, or a folder of videos, in; its clips out.

    Args:
        name: of a data set that is declared, with its argument if it takes one, as in
            ``mosaics:DIR``; or a folder's path.
        model: that is to classify the clips.
        seed: which clips, of those made from a seed.
        split: development clips are for choosing, test clips for reporting.

    Raises:
        UsageError: there is no such data set, or the model does not know its classes.
        UnavailableError: it is of a package, and cannot be loaded.
        NothingMatched: the folder holds no video.
        InputError: the ground_truth.json in it cannot be right.
    """
    if (declared := declared_name(name)) in DATASETS:
        return DATASETS.get(declared)(name, model, seed, split)
    if (folder := Path(name)).is_dir():
        has_truth = (folder / FILE).is_file()
        return TrueVideos(folder, model) if has_truth else Videos(folder, model)
    if folder.is_file():
        raise UsageError(
            f"a data set is a folder of videos, but {name!r} is a file",
            "give the folder that it is in",
        )
    known = DATASETS.names()
    usage = ", ".join(f"{each}DIR" if each.endswith(":") else each for each in known)
    hint = did_you_mean(name, known) or f"a folder of videos, or one of {usage}"
    raise UsageError(f"unknown data set {name!r}", hint)
