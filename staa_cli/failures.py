"""Whatever was raised, as an error that can be told: a cause, a hint, an exit code."""

from __future__ import annotations

import errno
import textwrap

from staa_cli.errors import OutputError, StaaError, UnavailableError, UnexpectedError
from staa_cli.memory import ran_out_of_memory

_MOST_CHARACTERS = 300


def understood(error: Exception) -> StaaError:
    """An exception of any kind in, one of staa's out, with the former as its `__cause__`.

    What is staa's own already comes back as it is.
    """
    if isinstance(error, StaaError):
        return error
    told = _told(error)
    told.__cause__ = error
    return told


def _told(error: Exception) -> StaaError:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return OutputError(
            "no space left for the output", "free some space, or choose another folder"
        )
    where = "".join(f", {note}" for note in getattr(error, "__notes__", ()))
    if ran_out_of_memory(error):
        return UnavailableError(
            f"memory ran out{where}",
            "--batch-size 1 and --precision bf16 need less memory; another --device may have more",
        )
    # Some libraries tell half a page.
    text = textwrap.shorten(str(error), _MOST_CHARACTERS, placeholder=" …")
    return UnexpectedError(
        f"{type(error).__name__}: {text}".removesuffix(": ") + where,
        "this is a bug in staa; run the same command with -vv to see where it occurs",
    )
