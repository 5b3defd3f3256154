"""Attribution methods: a registry, and one small file a family of methods.

A method says which attention it wants to read (`taps`) and turns what was read into one number a
token (`attribute`). It sees a model only through taps and its `AttentionLayout`.
"""

from __future__ import annotations

from typing import Any

from staa_cli.methods.base import METHODS, Evidence, Method, Options

__all__ = ["METHODS", "Evidence", "Method", "Options", "get_method", "list_methods"]


def get_method(name: str) -> Method:
    """The method of that name.

    Raises:
        UsageError: there is none; the hint names the nearest.
    """
    return METHODS.get(name)


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
