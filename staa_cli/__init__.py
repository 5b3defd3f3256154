"""Where and when did a video transformer look: spatio-temporal attention attribution."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

__all__ = [
    "CheckpointError",
    "ConfigError",
    "ExitCode",
    "Explanation",
    "InputError",
    "NothingMatched",
    "OutputError",
    "Settings",
    "StaaError",
    "UnavailableError",
    "UnexpectedError",
    "UsageError",
    "VideoError",
    "__version__",
    "explain_clip",
    "explain_video",
    "list_methods",
    "load_model",
    "register_dataset",
    "register_export",
    "register_family",
    "register_method",
    "register_metric",
    "register_model",
    "register_writer",
]

if TYPE_CHECKING:
    from staa_cli.api import Explanation, explain_clip, explain_video, load_model
    from staa_cli.benchmark.datasets import register_dataset
    from staa_cli.config.settings import Settings
    from staa_cli.errors import (
        CheckpointError,
        ConfigError,
        ExitCode,
        InputError,
        NothingMatched,
        OutputError,
        StaaError,
        UnavailableError,
        UnexpectedError,
        UsageError,
        VideoError,
    )
    from staa_cli.evaluation.base import register_metric
    from staa_cli.methods import list_methods
    from staa_cli.methods.base import register_method
    from staa_cli.models.catalog.names import register_model
    from staa_cli.models.families.base import register_family
    from staa_cli.results.exports.base import register_export
    from staa_cli.results.writers.base import register_writer

_MODULES = {
    "CheckpointError": "staa_cli.errors",
    "ConfigError": "staa_cli.errors",
    "ExitCode": "staa_cli.errors",
    "Explanation": "staa_cli.api",
    "InputError": "staa_cli.errors",
    "NothingMatched": "staa_cli.errors",
    "OutputError": "staa_cli.errors",
    "Settings": "staa_cli.config.settings",
    "StaaError": "staa_cli.errors",
    "UnavailableError": "staa_cli.errors",
    "UnexpectedError": "staa_cli.errors",
    "UsageError": "staa_cli.errors",
    "VideoError": "staa_cli.errors",
    "explain_clip": "staa_cli.api",
    "explain_video": "staa_cli.api",
    "list_methods": "staa_cli.methods",
    "load_model": "staa_cli.models.load",  # imports no video decoder
    "register_dataset": "staa_cli.benchmark.datasets",
    "register_export": "staa_cli.results.exports.base",
    "register_family": "staa_cli.models.families.base",
    "register_method": "staa_cli.methods.base",
    "register_metric": "staa_cli.evaluation.base",
    "register_model": "staa_cli.models.catalog.names",
    "register_writer": "staa_cli.results.writers.base",
}


def __getattr__(name: str) -> Any:
    # Imported on first use, so that `staa --help` does not wait for torch.
    if name not in _MODULES:
        raise AttributeError(f"module 'staa_cli' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
