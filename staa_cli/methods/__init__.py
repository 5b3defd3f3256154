"""Attribution methods: a registry, and one small file a method, or a few that are alike.

A method says which attention it wants to read (`taps`) and turns what was read into one number a
token (`attribute`). It sees a model only through taps and its `AttentionLayout`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from staa_cli.errors import UsageError
from staa_cli.methods.base import METHODS, Method, MethodInputs, MethodOutput, Options
from staa_cli.methods.own import own_method
from staa_cli.references import is_reference
from staa_cli.schema import AttentionLayout

if TYPE_CHECKING:
    from torch import nn

__all__ = [
    "METHODS",
    "Method",
    "MethodInputs",
    "MethodOutput",
    "Options",
    "candidates",
    "choose_method",
    "fitting",
    "get_method",
    "list_methods",
    "listed",
    "named",
]

AUTO = ("staa-class", "staa")
"""What `auto` stands for: the first that the model can be read by."""


def get_method(name: str) -> Method:
    """The method of that name, or, for ``package.module:Class``, one of somebody's own.

    Raises:
        UsageError: there is none; the hint names the nearest.
        UnavailableError: it is of a package, or somebody's own, and cannot be loaded.
    """
    return own_method(name) if is_reference(name) else METHODS.get(name)


def candidates(name: str) -> list[Method]:
    """The methods that a name may stand for, the best first: one, or those of `auto`.

    Raises:
        UsageError: there is none of that name; the hint names the nearest.
        UnavailableError: a class of somebody's own is not there, or no method.
    """
    return [get_method(each) for each in (AUTO if name == "auto" else (name,))]


def choose_method(name: str, model: nn.Module, layout: AttentionLayout, options: Options) -> Method:
    """The method of that name, which fits the model; of `auto`, the first that does.

    Raises:
        UsageError: there is none, or it does not fit the model.
        UnavailableError: a class of somebody's own is not there, or no method.
    """
    *better, last = candidates(name)
    for method in better:
        with suppress(UsageError):
            method.check(model, layout, options)
            return method
    last.check(model, layout, options)
    return last


def fitting(model: nn.Module, layout: AttentionLayout, options: Options) -> list[str]:
    """Names of the methods that fit the model."""
    found = []
    for name, method in METHODS.items():
        with suppress(UsageError):
            method.check(model, layout, options)
            found.append(name)
    return found


def named(text: str, model: nn.Module, layout: AttentionLayout, options: Options) -> list[str]:
    """Names of methods from ``A,B``, each once; ``auto`` as what it stands for.

    ``all`` stands for every one that fits the model and is not named yet, the default first, and
    ``baselines`` for those that ask no model anything.
    """
    fit = fitting(model, layout, options)
    groups = {
        "all": [*(name for name in AUTO if name in fit), *fit],
        "baselines": [name for name in fit if not METHODS.get(name).passes_per_clip],
    }
    asked = [
        choose_method(name, model, layout, options).name if name == "auto" else name
        for name in listed(text, groups)
    ]
    return list(dict.fromkeys(asked))


def listed(text: str, groups: Mapping[str, Sequence[str]]) -> list[str]:
    """``A,B`` as a list, each name once; a group's name stands for what is in it."""
    names = [name.strip() for name in text.split(",")]
    return list(dict.fromkeys(each for name in names for each in groups.get(name, [name])))


def list_methods() -> list[dict[str, Any]]:
    """Facts about every method that loads, in the order of `METHODS.names()`."""
    return [
        {
            "name": name,
            "summary": method.summary,
            "class_specific": method.class_specific,
            "passes_per_clip": method.passes_per_clip,
            "units": method.units,
            "source": method.source,
        }
        for name, method in METHODS.items()
    ]
