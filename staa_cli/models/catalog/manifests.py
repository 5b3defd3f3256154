"""Cards of the bundled models: one JSON file beside each weights file. Knows no torch.

`weights/NAME.json` belongs to `weights/NAME.safetensors`, whose tensors carry our own names::

    family   timesformer
    arch     a registered architecture, for example timesformer_tiny_events
    background  index of the class that means "nothing happens" (may be absent)
    output   schema.Output, what the logits mean (softmax where absent)
    kwargs   arguments for it, where its defaults are not the ones of the weights (may be absent)
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
from staa_cli.models.catalog.names import HUB, installed, published
from staa_cli.schema import ModelInput, Output

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


def read_manifests(folder: Path = WEIGHTS) -> dict[str, Manifest]:
    """A folder in, name to manifest out, in alphabetical order.

    Raises:
        CheckpointError: a manifest is broken, which means a broken installation.
    """
    manifests = {}
    for path in sorted(folder.glob("*.json"), key=lambda path: path.stem):
        try:
            manifests[path.stem] = _manifest(path)
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise CheckpointError(
                f"the manifest {path.name} of a bundled model is broken: {error}",
                "install staa again",
            ) from error
    return manifests


def list_models(folder: Path = WEIGHTS) -> list[dict[str, Any]]:
    """The models that have a name, as plain data for `staa models`.

    Those that come along first, then those that are downloaded when they are asked for, then those
    of installed packages.
    """
    return [*_bundled(folder), *_published(), *_installed()]


def _published() -> list[dict[str, Any]]:
    return [
        {
            "name": model.name,
            "family": model.family,
            "input": model.input,
            "classes": model.classes,
            "license": model.license,
            "origin": f"{HUB}{model.repo}",
            "note": f"{model.data}; downloads some {model.megabytes:,} MB once",
        }
        for model in published().values()
    ]


def _installed() -> list[dict[str, Any]]:
    return [
        {"name": name, "family": "own", "origin": factory, "note": "of an installed package"}
        for name, factory in installed().items()
    ]


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


def _manifest(path: Path) -> Manifest:
    facts = json.loads(path.read_text(encoding="utf-8"))
    facts["labels"] = tuple(facts["labels"])
    given: dict[str, Any] = facts["input"]
    for name, value in given.items():
        given[name] = tuple(value) if isinstance(value, list) else value
    facts["input"] = ModelInput(**given)
    return Manifest(name=path.stem, weights=path.with_suffix(".safetensors"), **facts)
