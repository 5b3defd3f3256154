"""The benchmark's zoo: small models that were taught by one label a clip and by nothing else.

They are part of the repository and of no wheel; ``zoo:NAME`` loads one. Knows no torch.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from staa_cli.errors import UnavailableError
from staa_cli.models.catalog.manifests import Manifest, describe, read_manifest, read_manifests
from staa_cli.registry import nearest

ZOO = "zoo:"
MAKE = "python -m staa_cli.training.zoo RUNS"
LIST = "`staa models --zoo` lists the models that are here"
ENOUGH = 0.85
"""Accuracy below which a model is kept, but left out of means over the zoo."""
RECIPES = (
    "divided-cls",
    "joint-cls",
    "joint-mean",
    "joint-token0",
    "pooler",
    "framewise-cls",
    "framewise-mean",
    "divided-cls-b",
    "joint-mean-b",
    "divided-uniform",
    "divided-cls-masked",
    "joint-mean-masked",
)
"""Names of the models that `training.zoo`, which imports torch, can train."""
FOOTAGE = "footage"
"""Name of the model that `training.footage` trains on a folder of videos with classes."""


def zoo_folder() -> Path:
    """The zoo of the checkout that the package is in; if it is installed, of the current folder."""
    root = Path(__file__).parents[3]
    return (root if (root / "pyproject.toml").is_file() else Path()) / "zoo"


def list_zoo(folder: Path | None = None) -> list[dict[str, Any]]:
    """The models of the zoo as plain data for `staa models --zoo`."""
    manifests = zoo_manifests(folder).values()
    return [
        describe(each) | {"accuracy": each.accuracy, "dataset": each.dataset} for each in manifests
    ]


def zoo_manifests(folder: Path | None = None) -> dict[str, Manifest]:
    """The models of the zoo that are there, by name without prefix.

    Raises:
        CheckpointError: a manifest is broken.
    """
    manifests = read_manifests(folder or zoo_folder())
    return {name: replace(each, name=ZOO + name) for name, each in manifests.items()}


def zoo_names(folder: Path | None = None) -> list[str]:
    """The models of the zoo that are there, as ``zoo:NAME``; no manifest is read."""
    return sorted(ZOO + path.stem for path in (folder or zoo_folder()).glob("*.json"))


def is_left_out(name: str, accuracy: float | None) -> bool:
    """Whether a model is one of the zoo that no mean over the zoo has, for its accuracy."""
    return name.startswith(ZOO) and accuracy is not None and accuracy < ENOUGH


def how_made(model: str) -> str:
    """The command that trains and exports a model, by its name without prefix."""
    if model == FOOTAGE:
        return "python -m staa_cli.training.footage RUNS FOLDER"
    return f"{MAKE} {model}"


def zoo_manifest(name: str, folder: Path | None = None) -> Manifest:
    """``zoo:NAME`` to the manifest of that model.

    Raises:
        UnavailableError: it is not there; the hint says how it is made.
        CheckpointError: its manifest is broken.
    """
    model, folder = name.removeprefix(ZOO), folder or zoo_folder()
    known = zoo_names(folder)
    if name not in known:
        if model in (*RECIPES, FOOTAGE):
            hint = (
                f"a checkout of the repository makes it: {how_made(model)}, "
                f"with a folder for RUNS; {LIST}"
            )
        else:
            near = nearest(model, [*RECIPES, FOOTAGE, *(each.removeprefix(ZOO) for each in known)])
            mean = " or ".join(repr(ZOO + each) for each in dict.fromkeys(near))
            hint = f"did you mean {mean}? {LIST}" if near else LIST
        raise UnavailableError(f"the zoo has no model {model!r}", hint)
    manifest = read_manifest(folder / f"{model}.json")
    if not manifest.weights.is_file():
        raise UnavailableError(
            f"the weights of {name} are missing: {manifest.weights.name}",
            f"a checkout of the repository makes them: {how_made(model)}",
        )
    return replace(manifest, name=name)
