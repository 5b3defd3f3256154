"""Architectures by name, for ``--arch`` and, on request, for ``timm.create_model``.

An entry point follows timm's convention: a function named after the architecture that builds the
module from ``pretrained=False`` and keyword arguments. This does not import timm; a program that
uses timm can add all architectures to its registry::

    import timm
    from staa_cli.models.architectures import register_with_timm

    register_with_timm()
    timm.create_model("timesformer_tiny_events")
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from torch import nn

from staa_cli.errors import UsageError
from staa_cli.models.catalog.names import TIMM
from staa_cli.models.families.base import FAMILIES
from staa_cli.registry import Registry, did_you_mean

M = TypeVar("M", bound=nn.Module)


@dataclass(frozen=True, slots=True)
class Architecture:
    """An entry point, and the name of the family that it belongs to."""

    family: str
    build: Callable[..., Any]


def _accept(name: str, declared: Any) -> Architecture:
    if not isinstance(declared, Architecture):
        raise TypeError("expected a staa_cli.models.architectures.Architecture")
    return declared


class _Architectures(Registry[Architecture]):
    """Families register their architectures on import; listing names imports all families."""

    def names(self, pattern: str = "*") -> list[str]:
        """The names that match a shell-style pattern."""
        self._load_families()
        return super().names(pattern)

    def get(self, name: str) -> Architecture:
        """The architecture `name`; the families are imported only if it is not registered yet.

        Raises:
            UsageError: there is none; the hint lists similar names.
        """
        if name not in self:
            self._load_families()
        return super().get(name)

    def _load_families(self) -> None:
        for _ in FAMILIES.items():  # importing a family registers its architectures
            pass


ARCHITECTURES = _Architectures("architecture", "staa.architectures", _accept)


def family_of_arch(arch: str) -> str:
    """Name of the family that a registered architecture, or ``timm:NAME``, belongs to.

    Raises:
        UsageError: there is no such architecture.
    """
    if arch.startswith(TIMM):
        return "framewise"
    if arch in ARCHITECTURES.names():
        return ARCHITECTURES.get(arch).family
    known = [name for name in ARCHITECTURES.names() if not name.startswith("test_")]
    raise UsageError(
        f"unknown architecture {arch!r}",
        did_you_mean(arch, known) or f"available: {', '.join(known)}",
    )


def register_architecture(family: str) -> Callable[[Callable[..., M]], Callable[..., M]]:
    """A decorator that registers an entry point of that family under the function's own name.

    Raises:
        ValueError: the name is taken.
    """

    def add(build: Callable[..., M]) -> Callable[..., M]:
        ARCHITECTURES.register(build.__name__)(Architecture(family, build))
        return build

    return add


def create(
    build: Callable[..., M], pretrained: bool, defaults: dict[str, Any], overrides: dict[str, Any]
) -> M:
    """Build a module from an entry point's arguments, without those that timm adds.

    Raises:
        RuntimeError: pretrained weights are requested; timm has none for these models.
    """
    if pretrained:
        raise RuntimeError("load weights with staa_cli.load_model, not through timm")
    added_by_timm = ("pretrained_cfg", "pretrained_cfg_overlay", "cache_dir")
    arguments = {k: v for k, v in overrides.items() if k not in added_by_timm}
    return build(**{**defaults, **arguments})


def register_with_timm() -> None:
    """Import timm and register every architecture for ``timm.create_model``.

    Safe to call more than once; loading an image model from timm calls it, too.
    """
    from timm.models import is_model, register_model

    for name, architecture in ARCHITECTURES.items():
        if not is_model(name):
            register_model(architecture.build)
