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
    from staa_cli.api import Explanation, explain_clip, explain_video, load_model
    from staa_cli.methods import list_methods

_HOMES = {
    "Explanation": "staa_cli.api",
    "explain_clip": "staa_cli.api",
    "explain_video": "staa_cli.api",
    "list_methods": "staa_cli.methods",
    "load_model": "staa_cli.models.load",  # which needs no decoder
}


def __getattr__(name: str) -> Any:
    # Late, so that `staa --help` need not wait for torch.
    if name not in _HOMES:
        raise AttributeError(f"module 'staa_cli' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
