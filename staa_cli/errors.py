"""The errors that staa raises, and their exit codes.

StaaError                     a cause and, optionally, a hint how to fix it
|- UsageError             2   an invalid option, name, or combination of options
|  `- ConfigError         2   the same in a configuration file, with file and line
|- InputError             3   this input cannot be explained; the others continue
|  |- VideoError          3   it cannot be opened or decoded
|  `- OutputError         3   its results cannot be written
|- NothingMatched         4   no input found
|- UnavailableError       5   a model, device, or codec is not available, or too little memory
|  `- CheckpointError     5   weights that do not fit the model, or a file without weights
`- UnexpectedError       70   a bug in staa or in one of its dependencies

Any error while processing one of several inputs counts as a failure of that input: the error keeps
its own code, and the command exits with 3.
"""

from __future__ import annotations

import traceback
from enum import IntEnum
from typing import Any


class ExitCode(IntEnum):
    """Exit codes of the process; public, so that scripts can use the names.

    Each has a one-line meaning for the help.
    """

    meaning: str

    def __new__(cls, value: int, meaning: str) -> ExitCode:
        """Make a code with its meaning."""
        code = int.__new__(cls, value)
        code._value_ = value
        code.meaning = meaning
        return code

    OK = 0, "everything succeeded"
    GATE_FAILED = 1, "a requested limit was not met; no other outcome uses this code"
    USAGE = 2, "invalid option, name, or configuration file"
    INPUT_FAILED = 3, "an input failed, results could not be written, or a limit not checked"
    NOTHING_MATCHED = 4, "no input found"
    UNAVAILABLE = 5, "a model, device, codec, or enough memory is not available"
    INTERNAL = 70, "a bug in staa"
    INTERRUPTED = 130, "stopped by Ctrl-C"
    BROKEN_PIPE = 141, "the output pipe was closed by its reader"


class StaaError(Exception):
    """An error with a one-line cause and, optionally, a one-line hint.

    Args:
        cause: what is wrong, in the terms of the user.
        hint: how to fix it.
    """

    exit_code = ExitCode.INTERNAL

    def __init__(self, cause: str, hint: str | None = None) -> None:
        super().__init__(cause)
        self.cause = cause
        self.hint = hint

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle whole: with the notes, and the traceback, also of causes, as text.

        A class of another package is sent as the class of this module that it extends, because the
        receiving process may be unable to import it.
        """
        kind = next(each for each in type(self).__mro__ if each.__module__ == __name__)
        if isinstance(self.__cause__, SentTraceback):
            text = self.__cause__.text
        else:
            text = "".join(traceback.format_exception(self))
        return _received, (kind, self.cause, self.hint, getattr(self, "__notes__", []), text)


class SentTraceback(Exception):
    """The cause of an error from another process: its traceback as text."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f"in another process\n{self.text}"


def _received(
    kind: type[StaaError], cause: str, hint: str | None, notes: list[str], text: str
) -> StaaError:
    error = kind(cause, hint)
    for note in notes:
        error.add_note(note)
    error.__cause__ = SentTraceback(text)
    return error


class UsageError(StaaError):
    """An invalid option, name, or combination of them."""

    exit_code = ExitCode.USAGE


class ConfigError(UsageError):
    """A configuration file that cannot be read or has an invalid setting."""


class InputError(StaaError):
    """An input that cannot be explained; the others continue."""

    exit_code = ExitCode.INPUT_FAILED


class VideoError(InputError):
    """A video that cannot be opened or decoded."""


class OutputError(InputError):
    """Results that cannot be written."""


class NothingMatched(StaaError):
    """No input was found."""

    exit_code = ExitCode.NOTHING_MATCHED


class UnavailableError(StaaError):
    """A model, device, codec, or enough memory is not available on this machine."""

    exit_code = ExitCode.UNAVAILABLE


class CheckpointError(UnavailableError):
    """Weights that do not fit their model, or a file without weights."""


class UnexpectedError(StaaError):
    """An unforeseen error: a bug in staa or in one of its dependencies."""

    exit_code = ExitCode.INTERNAL
