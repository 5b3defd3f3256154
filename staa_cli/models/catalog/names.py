"""What the name of a model can be, told from the name alone. Knows no torch."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from staa_cli import entry_points
from staa_cli.entry_points import Declaration
from staa_cli.errors import UsageError
from staa_cli.registry import Registry

HUB = "hf-hub:"
TIMM = "timm:"
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
    license: str
    """Of the weights, as their page states it."""
    parameters: int

    @property
    def megabytes(self) -> int:
        """Size of the weights in float32, as all of them are stored."""
        return round(self.parameters * 4 / 1e6)


def bundled() -> dict[str, Path]:
    """Manifests of the models that come with staa, by their names."""
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
        raise UsageError("the model name is empty", "is a shell variable unset or misspelled?")


def repository(name: str) -> str | None:
    """``org/name``, and ``@revision`` where it is pinned, that a name stands for on the hub."""
    if name in published():
        return published()[name].repo
    return name.removeprefix(HUB) if name.startswith(HUB) else None


def _accept(name: str, declared: Any) -> Callable[[], Any]:
    if not callable(declared):
        raise TypeError("expected a function without arguments")
    make: Callable[[], Any] = declared
    return make


MODELS: Registry[Callable[[], Any]] = Registry("model", entry_points.MODELS, _accept)
"""Functions without arguments, of which each makes a module, as `models.custom` describes it, or a
`Manifest` of weights that come with the package."""
register_model = MODELS.register
"""A decorator that files such a function under a name, for as long as the program runs."""


def of_packages() -> dict[str, Declaration]:
    """Models of installed packages; a name that several declare stands for none of them."""
    return {
        name: found[0]
        for name, found in entry_points.declared(entry_points.MODELS).items()
        if found[0].package is not None
    }
