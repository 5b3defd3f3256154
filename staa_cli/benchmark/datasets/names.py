"""Open a data set by name or by folder."""

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
    """Open a declared data set, or a folder of videos.

    Args:
        name: of a declared data set, with its argument if it takes one, as in ``mosaics:DIR``; or
            a folder's path.
        model: classifies the clips.
        seed: of generated or randomly drawn clips.
        split: development clips are for choosing, test clips for reporting.

    Raises:
        UsageError: the data set does not exist, or the model lacks its classes.
        UnavailableError: the package that declares the data set cannot be loaded.
        NothingMatched: the folder holds no video.
        InputError: its ground_truth.json or its list of classes is invalid, or there is no folder
            DIR.
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
    usage = ", ".join(f"{option}DIR" if option.endswith(":") else option for option in known)
    hint = did_you_mean(name, known) or f"a folder of videos, or one of {usage}"
    raise UsageError(f"unknown data set {name!r}", hint)
