"""Attribution methods: a registry, and one small file a family of methods.

A method says which attention it wants to read (`taps`) and turns what was read into one number a
token (`attribute`). It sees a model only through taps and its `AttentionLayout`.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from staa_cli.errors import UsageError
from staa_cli.methods.base import METHODS, Evidence, Method, Options
from staa_cli.schema import AttentionLayout

if TYPE_CHECKING:
    from torch import nn

__all__ = [
    "METHODS",
    "Evidence",
    "Method",
    "Options",
    "choose_method",
    "fitting",
    "get_method",
    "list_methods",
]

AUTO = ("staa-class", "staa")
"""What `auto` stands for: the first that the model can be read by. Chosen by measurement."""


def get_method(name: str) -> Method:
    """The method of that name.

    Raises:
        UsageError: there is none; the hint names the nearest.
    """
    return METHODS.get(name)


def choose_method(name: str, model: nn.Module, layout: AttentionLayout, options: Options) -> Method:
    """The method of that name, which fits the model; of `auto`, the best in one forward pass.

    Raises:
        UsageError: there is none, or it does not fit the model.
    """
    *better, last = AUTO if name == "auto" else (name,)
    for each in better:
        method = get_method(each)
        with suppress(UsageError):
            method.check(model, layout, options)
            return method
    method = get_method(last)
    method.check(model, layout, options)
    return method


def fitting(model: nn.Module, layout: AttentionLayout, options: Options) -> list[str]:
    """Names of the methods that fit the model."""
    found = []
    for name, method in METHODS.items():
        with suppress(UsageError):
            method.check(model, layout, options)
            found.append(name)
    return found


def list_methods() -> list[dict[str, Any]]:
    """Facts about every method, in order of registration."""
    return [
        {
            "name": name,
            "summary": method.summary,
            "class_specific": method.class_specific,
            "forward_equivalents": method.forward_equivalents,
            "units": method.units,
            "source": method.source,
        }
        for name, method in METHODS.items()
    ]
