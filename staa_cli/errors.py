"""Every error that staa raises on purpose, and the exit code that each one becomes.

StaaError                     a cause, and a hint what to do about it
|- UsageError             2   a flag, a name, or a combination that cannot be
|  `- ConfigError         2   the same, in a configuration file: with its file and line
|- InputError             3   this input cannot be explained; others go on
|  |- VideoError          3   it does not open, or does not decode
|  `- OutputError         3   its results cannot be written
|- NothingMatched         4   no input at all
|- UnavailableError       5   a model, a device, or a codec that is not here, or too little memory
|  `- CheckpointError     5   weights that do not fit, or that are not weights
`- UnexpectedError       70   a bug in staa, or in what it is built on

What one input of several meets, of whatever kind, is that input's failure: its error keeps its own
code, and the command ends with 3.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What the process returns; public, so that scripts can name the values.

    Each has its meaning, one line for the help.
    """

    meaning: str

    def __new__(cls, value: int, meaning: str) -> ExitCode:
        """A number that knows what it stands for."""
        code = int.__new__(cls, value)
        code._value_ = value
        code.meaning = meaning
        return code

    OK = 0, "everything succeeded"
    GATE_FAILED = 1, "a requested limit was not met; no other outcome uses this code"
    USAGE = 2, "invalid option, name, or configuration file"
    INPUT_FAILED = 3, "an input failed or its results could not be written; the others finished"
    NOTHING_MATCHED = 4, "no input found"
    UNAVAILABLE = 5, "a model, device, codec, or enough memory is not available"
    INTERNAL = 70, "a bug in staa"
    INTERRUPTED = 130, "stopped by Ctrl-C"
    BROKEN_PIPE = 141, "the output pipe was closed by its reader"


class StaaError(Exception):
    """A failure with a cause (one line) and, where one helps, a hint (one line).

    Args:
        cause: what is wrong, in the words of the person who typed the command.
        hint: what to do about it.
    """

    exit_code = ExitCode.INTERNAL

    def __init__(self, cause: str, hint: str | None = None) -> None:
        super().__init__(cause)
        self.cause = cause
        self.hint = hint


class UsageError(StaaError):
    """A flag, a name, or a combination of both that cannot be."""

    exit_code = ExitCode.USAGE


class ConfigError(UsageError):
    """A configuration file that cannot be read or that says something impossible."""


class InputError(StaaError):
    """One input cannot be explained; the others go on."""

    exit_code = ExitCode.INPUT_FAILED


class VideoError(InputError):
    """A video that does not open or does not decode."""


class OutputError(InputError):
    """Results that cannot be written."""


class NothingMatched(StaaError):
    """No input was found at all."""

    exit_code = ExitCode.NOTHING_MATCHED


class UnavailableError(StaaError):
    """A model, a device, a codec, or the memory that this machine does not have."""

    exit_code = ExitCode.UNAVAILABLE


class CheckpointError(UnavailableError):
    """Weights that do not fit their model, or a file that holds no weights."""


class UnexpectedError(StaaError):
    """What nobody thought of: a bug in staa, or in what it is built on."""

    exit_code = ExitCode.INTERNAL
