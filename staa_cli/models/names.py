"""What the name of a model can be, told from the name alone. Knows no torch."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from staa_cli.errors import UsageError
from staa_cli.references import is_reference

HUB = "hf-hub:"
TIMM = "timm:"
ENTRY_POINTS = "staa.models"
"""Group of the entry points by which installed packages name models of their own."""

_PUBLISHED = Path(__file__).with_name("published.json")
_WEIGHTS = Path(__file__).with_name("weights")


@dataclass(frozen=True, slots=True)
class Published:
    """A fine-tuned checkpoint that people use, on the Hugging Face hub."""

    name: str
    repo: str
    family: str
    input: dict[str, Any]
    """Frames, size, stride, rate."""
    classes: int
    data: str
    """What it was fine-tuned on."""
    licence: str
    """Of the weights, as their page states it."""
    parameters: int

    @property
    def megabytes(self) -> int:
        """Size of the weights in float32, as all of them are stored."""
        return round(self.parameters * 4 / 1e6)


def bundled() -> dict[str, Path]:
    """Cards of the models that come with staa, by their names."""
    return {path.stem: path for path in sorted(_WEIGHTS.glob("*.json"))}


@functools.cache
def published() -> dict[str, Published]:
    """The published checkpoints that have a short name here."""
    rows = json.loads(_PUBLISHED.read_text(encoding="utf-8"))
    return {name: Published(name, **row) for name, row in rows.items()}


def check_name(name: str) -> None:
    """See that there is a name at all: an empty one is, to the system, the current folder.

    Raises:
        UsageError: there is none.
    """
    if name.strip() in ("", HUB, TIMM):
        raise UsageError("the model's name is empty", "is a variable unset, or misspelt?")


def repository(name: str) -> str | None:
    """``org/name``, and ``@revision`` where it is pinned, that a name stands for on the hub."""
    if name in published():
        return published()[name].repo
    return name.removeprefix(HUB) if name.startswith(HUB) else None


def installed() -> dict[str, str]:
    """Models of installed packages: name to ``package.module:factory``."""
    from importlib.metadata import entry_points  # which reads mail, and takes as long as that

    return {point.name: point.value for point in entry_points(group=ENTRY_POINTS)}


def is_factory(name: str) -> bool:
    """Whether a name has the form ``package.module:factory``, of which the import runs code."""
    return not name.startswith((HUB, TIMM)) and is_reference(name)
