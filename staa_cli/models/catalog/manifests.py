"""Manifests of bundled models: a JSON file beside each file of weights. Knows no torch.

`weights/NAME.json` belongs to `weights/NAME.safetensors`, whose tensors carry our own names::

    family   timesformer
    arch     a registered architecture, for example timesformer_tiny_events
    background  index of the class that means "nothing happens" (may be absent)
    output   schema.Output, what the logits mean (softmax where absent)
    kwargs   arguments for it, where its defaults are not the ones of the weights (may be absent)
    random_masks  fields of schema.RandomMasks, where it was trained with such (may be absent)
    labels   names of the classes, in the order of the head
    input    fields of schema.ModelInput; those with a default there may be absent
    license  of the weights
    origin   who made them, from what, how
    note     one line that a user should read before believing a result
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
    """What is known of bundled weights; the fields stand at the top of this file."""

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
    random_masks: RandomMasks | None = None


def tiny_events() -> Manifest:
    """Of the bundled model whose attention goes over space and over time in turn."""
    return read_manifest(WEIGHTS / "tiny-events.json")


def tiny_events_joint() -> Manifest:
    """Of the bundled model whose attention goes over space and time together."""
    return read_manifest(WEIGHTS / "tiny-events-joint.json")


def read_manifests(folder: Path = WEIGHTS) -> dict[str, Manifest]:
    """Read the manifests in a folder, by model name in alphabetical order.

    Raises:
        CheckpointError: a manifest is broken, which means a broken installation.
    """
    paths = sorted(folder.glob("*.json"), key=lambda path: path.stem)
    return {path.stem: read_manifest(path) for path in paths}


def list_models(folder: Path = WEIGHTS) -> list[dict[str, Any]]:
    """The models that have a name, as plain data for `staa models`.

    Those that come along first, then those that are downloaded when they are asked for, then those
    of installed packages.
    """
    return [*_bundled(folder), *_published(), *_others()]


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


def _others() -> list[dict[str, Any]]:
    """Of packages, which are not imported for that, and of the program itself."""
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


def _bundled(folder: Path) -> list[dict[str, Any]]:
    return [
        {
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
        for manifest in read_manifests(folder).values()
    ]


def read_manifest(path: Path) -> Manifest:
    """``NAME.json`` to a manifest of the weights in ``NAME.safetensors`` beside it.

    Raises:
        CheckpointError: it is broken, which means a broken installation.
    """
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        facts["labels"] = tuple(facts["labels"])
        given: dict[str, Any] = facts["input"]
        for name, value in given.items():
            given[name] = tuple(value) if isinstance(value, list) else value
        facts["input"] = ModelInput(**given)
        if "random_masks" in facts:
            facts["random_masks"] = RandomMasks(**facts["random_masks"])
        return Manifest(name=path.stem, weights=path.with_suffix(".safetensors"), **facts)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise CheckpointError(
            f"the model manifest {path.name} is broken: {error}",
            "reinstall the package that provides it",
        ) from error
