"""Convert any exception to a StaaError with a cause, a hint, and an exit code."""

from __future__ import annotations

import errno
import textwrap

from staa_cli.errors import OutputError, StaaError, UnavailableError, UnexpectedError
from staa_cli.memory import ran_out_of_memory

_MAX_CHARACTERS = 300


def understood(error: Exception) -> StaaError:
    """Convert an exception to a StaaError with the original as its `__cause__`.

    A StaaError is returned unchanged.
    """
    if isinstance(error, StaaError):
        return error
    converted = _convert(error)
    converted.__cause__ = error
    return converted


def _convert(error: Exception) -> StaaError:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return OutputError(
            "no space left for the output", "free some space, or choose another folder"
        )
    context = "".join(f", {note}" for note in getattr(error, "__notes__", ()))
    if ran_out_of_memory(error):
        return UnavailableError(
            f"memory ran out{context}",
            "--batch-size 1 and --precision bf16 need less memory; another --device may have more",
        )
    # Some libraries have very long messages.
    text = textwrap.shorten(str(error), _MAX_CHARACTERS, placeholder=" …")
    return UnexpectedError(
        f"{type(error).__name__}: {text}".removesuffix(": ") + context,
        "this is a bug in staa; run the same command with -vv to see where it occurs",
    )
