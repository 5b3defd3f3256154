"""The kinds of model names, recognized from the name alone. Does not import torch."""

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
    """A widely used fine-tuned checkpoint on the Hugging Face hub."""

    name: str
    repo: str
    family: str
    input: dict[str, Any]
    """Frames, size, stride, rate."""
    classes: int
    data: str
    """What it was fine-tuned on."""
    license: str
    """License of the weights, as stated on their page."""
    parameters: int

    @property
    def megabytes(self) -> int:
        """Size of the weights, which are stored in float32."""
        return round(self.parameters * 4 / 1e6)


def bundled() -> dict[str, Path]:
    """Manifests of the models that come with staa, by their names."""
    return {path.stem: path for path in sorted(_WEIGHTS.glob("*.json"))}


@functools.cache
def published() -> dict[str, Published]:
    """Published checkpoints by their short names."""
    rows = json.loads(_PUBLISHED.read_text(encoding="utf-8"))
    return {name: Published(name, **row) for name, row in rows.items()}


def check_name(name: str) -> None:
    """Refuse an empty name, which as a path would be the current folder.

    Raises:
        UsageError: the name is empty.
    """
    if name.strip() in ("", HUB, TIMM):
        raise UsageError("the model name is empty", "is a shell variable unset or misspelled?")


def repository(name: str) -> str | None:
    """The hub repository of a name, ``org/name`` or ``org/name@revision``; None for other names."""
    if name in published():
        return published()[name].repo
    return name.removeprefix(HUB) if name.startswith(HUB) else None


def _accept(name: str, declared: Any) -> Callable[[], Any]:
    if not callable(declared):
        raise TypeError("expected a function without arguments")
    make: Callable[[], Any] = declared
    return make


MODELS: Registry[Callable[[], Any]] = Registry("model", entry_points.MODELS, _accept)
"""Functions without arguments that return a module, as `models.custom` describes it, or a
`Manifest` of weights that the package contains."""
register_model = MODELS.register
"""A decorator that registers such a function under a name in the running program."""


def of_packages() -> dict[str, Declaration]:
    """Models of installed packages, without names that several packages declare."""
    return {
        name: declarations[0]
        for name, declarations in entry_points.declared(entry_points.MODELS).items()
        if declarations[0].package is not None
    }
