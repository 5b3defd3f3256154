"""Attribution methods: a registry, and one small file per method or group of similar methods.

A method lists the attention to record (`taps`) and turns it into one number per token
(`attribute`). It sees a model only through taps and its `AttentionLayout`.
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
"""What `auto` stands for: the first of these that fits the model."""


def get_method(name: str) -> Method:
    """The method with this name or, for ``package.module:Class``, a user's own class.

    Raises:
        UsageError: there is no such method; the hint names the most similar one.
        UnavailableError: it is from a package or a user's own, and cannot be loaded.
    """
    return own_method(name) if is_reference(name) else METHODS.get(name)


def candidates(name: str) -> list[Method]:
    """The methods that a name may stand for, the best first: one, or those of `auto`.

    Raises:
        UsageError: there is no such method; the hint names the most similar one.
        UnavailableError: a user's own class does not exist, or is not a method.
    """
    return [get_method(method) for method in (AUTO if name == "auto" else (name,))]


def choose_method(name: str, model: nn.Module, layout: AttentionLayout, options: Options) -> Method:
    """The method with this name, checked to fit the model; for `auto`, the first that fits.

    Raises:
        UsageError: there is no such method, or it does not fit the model.
        UnavailableError: a user's own class does not exist, or is not a method.
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
    names = []
    for name, method in METHODS.items():
        with suppress(UsageError):
            method.check(model, layout, options)
            names.append(name)
    return names


def named(text: str, model: nn.Module, layout: AttentionLayout, options: Options) -> list[str]:
    """Names of methods from ``A,B``, each once, with ``auto`` resolved.

    ``all`` stands for every method that fits the model and is not named yet, the default first,
    and ``baselines`` for the methods that do not use the model.
    """
    fitting_names = fitting(model, layout, options)
    groups = {
        "all": [*(name for name in AUTO if name in fitting_names), *fitting_names],
        "baselines": [name for name in fitting_names if not METHODS.get(name).passes_per_clip],
    }
    chosen = [
        choose_method(name, model, layout, options).name if name == "auto" else name
        for name in listed(text, groups)
    ]
    return list(dict.fromkeys(chosen))


def listed(text: str, groups: Mapping[str, Sequence[str]]) -> list[str]:
    """``A,B`` as a list, each name once; a group's name stands for its members."""
    names = [name.strip() for name in text.split(",")]
    return list(dict.fromkeys(member for name in names for member in groups.get(name, [name])))


def list_methods() -> list[dict[str, Any]]:
    """Descriptions of all methods that load, in the order of `METHODS.names()`."""
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
