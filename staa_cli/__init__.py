"""Where and when did a video transformer look: spatio-temporal attention attribution."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

__all__ = [
    "Explanation",
    "__version__",
    "explain_clip",
    "explain_video",
    "list_methods",
    "load_model",
]

if TYPE_CHECKING:
    from staa_cli.explain.pipeline import explain_clip, explain_video
    from staa_cli.methods import list_methods
    from staa_cli.models.load import load_model
    from staa_cli.schema import Explanation

_HOMES = {
    "Explanation": "staa_cli.schema",
    "explain_clip": "staa_cli.explain.pipeline",
    "explain_video": "staa_cli.explain.pipeline",
    "list_methods": "staa_cli.methods",
    "load_model": "staa_cli.models.load",
}


def __getattr__(name: str) -> Any:
    # Late, so that `staa --help` need not wait for torch.
    if name not in _HOMES:
        raise AttributeError(f"module 'staa_cli' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
