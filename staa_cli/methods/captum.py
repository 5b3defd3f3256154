"""Captum, where it is installed: what it has is not written again here."""

from __future__ import annotations

from typing import Any

from staa_cli.errors import UnavailableError


def captum_attr() -> Any:
    """The module ``captum.attr``.

    Raises:
        UnavailableError: it is not installed.
    """
    try:
        import captum.attr
    except ImportError as error:
        raise UnavailableError(
            f"this method needs {error.name or 'captum'}, which is not installed",
            "pip install 'staa[compare]'",
        ) from error
    return captum.attr
