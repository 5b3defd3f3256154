"""Architectures by name: what ``--arch`` may say, and, where timm is used, what timm may create.

An entry point is a function as timm has them: its name is the architecture's, and it makes the
module from ``pretrained=False`` and the module's own arguments. timm is not imported for that; a
program that uses it as well has them all in the registry of timm::

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

from staa_cli.models.families.base import FAMILIES
from staa_cli.registry import Registry

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
    """They are registered by their families, which are loaded where somebody asks for all."""

    def names(self, pattern: str = "*") -> list[str]:
        """The names that match a shell-style pattern."""
        self._load_families()
        return super().names(pattern)

    def get(self, name: str) -> Architecture:
        """What stands under `name`; a family that is loaded is not looked beyond.

        Raises:
            UsageError: nothing does; the hint names the nearest names.
        """
        if name not in self:
            self._load_families()
        return super().get(name)

    def _load_families(self) -> None:
        for _ in FAMILIES.items():  # each registers its own
            pass


ARCHITECTURES = _Architectures("architecture", "staa.architectures", _accept)


def register_architecture(family: str) -> Callable[[Callable[..., M]], Callable[..., M]]:
    """A decorator that files an entry point of that family under the function's own name.

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
    """What an entry point gets to a module; what timm adds on its own is left out.

    Raises:
        RuntimeError: weights are asked for, which are none of timm's.
    """
    if pretrained:
        raise RuntimeError("load weights with staa_cli.load_model, not through timm")
    known = ("pretrained_cfg", "pretrained_cfg_overlay", "cache_dir")
    return build(**{**defaults, **{k: v for k, v in overrides.items() if k not in known}})


def register_with_timm() -> None:
    """Import timm and let ``timm.create_model`` know every architecture.

    Once is enough, more does no harm; loading an image model of timm's does it, too.
    """
    from timm.models import is_model, register_model

    for name, architecture in ARCHITECTURES.items():
        if not is_model(name):
            register_model(architecture.build)
