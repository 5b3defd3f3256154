"""The benchmark's zoo: small models that were taught by one label a clip and by nothing else.

They are part of the repository and of no wheel; ``zoo:NAME`` loads one. Knows no torch.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from staa_cli.errors import UnavailableError
from staa_cli.models.catalog.manifests import Manifest, describe, read_manifest, read_manifests
from staa_cli.registry import did_you_mean

ZOO = "zoo:"
FOLDER = Path(__file__).parents[3] / "zoo"
MAKE = "python -m staa_cli.training.zoo RUNS"


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
    manifests = read_manifests(folder or FOLDER)
    return {name: replace(each, name=ZOO + name) for name, each in manifests.items()}


def zoo_manifest(name: str, folder: Path | None = None) -> Manifest:
    """``zoo:NAME`` to the manifest of that model.

    Raises:
        UnavailableError: it is not there; the hint says how it is made.
        CheckpointError: its manifest is broken.
    """
    model, folder = name.removeprefix(ZOO), folder or FOLDER
    known = sorted(path.stem for path in folder.glob("*.json"))
    if model not in known:
        make = f"a checkout of the repository makes it: {MAKE} {model}"
        raise UnavailableError(
            f"the zoo has no model {model!r}", did_you_mean(model, known) or make
        )
    manifest = read_manifest(folder / f"{model}.json")
    if not manifest.weights.is_file():
        raise UnavailableError(
            f"the weights of {name} are missing: {manifest.weights.name}",
            f"a checkout of the repository makes them: {MAKE} {model}",
        )
    return replace(manifest, name=name)
