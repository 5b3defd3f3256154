"""Video transformers: what there is, and how weights become a model.

Importing this package costs nothing; torch comes with the first use of `load_model`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from staa_cli.models.cards import list_models
    from staa_cli.models.loading import LoadedModel, load_model

__all__ = ["LoadedModel", "list_models", "load_model"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    room = "cards" if name == "list_models" else "loading"
    return getattr(importlib.import_module(f"staa_cli.models.{room}"), name)
