"""Manifests of bundled models: a JSON file next to each weights file. Does not import torch.

`weights/NAME.json` describes `weights/NAME.safetensors`, whose tensors have our names::

    family   timesformer
    arch     a registered architecture, for example timesformer_tiny_events
    background  index of the class that means "nothing happens" (optional)
    output   schema.Output, what the logits mean (default: softmax)
    kwargs   arguments of the architecture that differ from its defaults (optional)
    random_masks  fields of schema.RandomMasks, if it was trained with such (optional)
    labels   names of the classes, in the order of the head
    input    fields of schema.ModelInput; those with a default are optional
    license  of the weights
    origin   who trained them, on what, and how
    note     one line of caution about results
    accuracy   share of held-out clips that are classified correctly (may be absent)
    dataset    name of the data set of those clips (may be absent)
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from staa_cli.errors import CheckpointError
from staa_cli.models.catalog.names import HUB, MODELS, bundled, of_packages, published
from staa_cli.schema import ModelInput, Output, RandomMasks

WEIGHTS = Path(__file__).parent / "weights"


@dataclass(frozen=True, slots=True)
class Manifest:
    """Description of bundled weights; the module docstring lists the fields."""

    name: str
    weights: Path
    family: str
    arch: str
    labels: tuple[str, ...]
    input: ModelInput
    license: str
    origin: str
    note: str
    kwargs: dict[str, Any] = field(default_factory=dict)
    background: int | None = None
    output: Output = "softmax"
    accuracy: float | None = None
    dataset: str = ""
    random_masks: RandomMasks | None = None


def tiny_events() -> Manifest:
    """Manifest of the bundled model with divided space-time attention."""
    return read_manifest(WEIGHTS / "tiny-events.json")


def tiny_events_joint() -> Manifest:
    """Manifest of the bundled model with joint space-time attention."""
    return read_manifest(WEIGHTS / "tiny-events-joint.json")


def read_manifests(folder: Path = WEIGHTS) -> dict[str, Manifest]:
    """Read the manifests in a folder, by model name in alphabetical order.

    Raises:
        CheckpointError: a manifest is broken, which means a broken installation.
    """
    paths = sorted(folder.glob("*.json"), key=lambda path: path.stem)
    return {path.stem: read_manifest(path) for path in paths}


def list_models(folder: Path = WEIGHTS) -> list[dict[str, Any]]:
    """All named models, as plain data for `staa models`.

    First the bundled ones, then those that are downloaded on first use, then those of installed
    packages.
    """
    return [*map(describe, read_manifests(folder).values()), *_published(), *_from_packages()]


def _published() -> list[dict[str, Any]]:
    return [
        {
            "name": model.name,
            "family": model.family,
            "input": model.input,
            "classes": model.classes,
            "license": model.license,
            "origin": f"{HUB}{model.repo}",
            "note": f"{model.data}; downloads about {model.megabytes:,} MB once",
        }
        for model in published().values()
    ]


def _from_packages() -> list[dict[str, Any]]:
    """Models of installed packages, which are not imported, and of the running program."""
    rows = []
    for name in MODELS.names():
        if name in of_packages():
            origin, note = of_packages()[name].target, f"from {of_packages()[name].package}"
        elif name not in bundled():
            origin, note = name, "registered by this program"
        else:
            continue
        rows.append({"name": name, "family": "own", "origin": origin, "note": note})
    return rows


def describe(manifest: Manifest) -> dict[str, Any]:
    """A manifest as a row of `staa models`."""
    return {
        "name": manifest.name,
        "family": manifest.family,
        "input": {
            "frames": manifest.input.frames,
            "size": list(manifest.input.size),
            "stride": manifest.input.stride,
            "rate": manifest.input.rate,
        },
        "classes": len(manifest.labels),
        "labels": list(manifest.labels),
        "license": manifest.license,
        "origin": manifest.origin,
        "note": manifest.note,
    }


def read_manifest(path: Path) -> Manifest:
    """Read ``NAME.json``, the manifest of ``NAME.safetensors`` in the same folder.

    Raises:
        CheckpointError: it is broken, which means a broken installation.
    """
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        facts["labels"] = tuple(facts["labels"])
        input_fields: dict[str, Any] = facts["input"]
        for name, value in input_fields.items():
            input_fields[name] = tuple(value) if isinstance(value, list) else value
        facts["input"] = ModelInput(**input_fields)
        if "random_masks" in facts:
            facts["random_masks"] = RandomMasks(**facts["random_masks"])
        return Manifest(name=path.stem, weights=path.with_suffix(".safetensors"), **facts)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise CheckpointError(
            f"the model manifest {path.name} is broken: {error}",
            "restore the file, or reinstall the package that provides it",
        ) from error
