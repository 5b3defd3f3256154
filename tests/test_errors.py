"""Errors that are sent to another process keep all that is told about them."""

from __future__ import annotations

import pickle
import traceback

import pytest

from staa_cli.errors import CheckpointError, StaaError, UnexpectedError, VideoError
from staa_cli.failures import understood


class TheirError(VideoError):
    """Of a package that only the sending process has, with arguments of its own."""

    def __init__(self, path: str, line: int) -> None:
        super().__init__(f"{path} is bad in line {line}")


def broken() -> None:
    raise ZeroDivisionError("division by zero")


def sent(error: Exception) -> StaaError:
    received = pickle.loads(pickle.dumps(error))
    assert isinstance(received, StaaError)
    return received


def test_an_error_keeps_its_class_its_words_and_where_it_occurred() -> None:
    try:
        broken()
    except ZeroDivisionError as error:
        error.add_note("with auto on tiny-events")
        failed = understood(error)
    received = sent(failed)
    assert type(received) is UnexpectedError
    assert (received.cause, received.hint) == (failed.cause, failed.hint)
    assert received.exit_code == failed.exit_code
    told = "".join(traceback.format_exception(received))
    for words in ("in broken", "ZeroDivisionError: division by zero", "with auto on tiny-events"):
        assert words in told
    again = "".join(traceback.format_exception(sent(received)))
    assert again == told


def test_notes_are_kept() -> None:
    error = CheckpointError("does not fit", "give another one")
    error.add_note("in block 3")
    received = sent(error)
    assert type(received) is CheckpointError
    assert received.__notes__ == ["in block 3"]


def test_an_error_of_another_package_is_one_of_staa_afterwards() -> None:
    received = sent(TheirError("a.csv", 3))
    assert type(received) is VideoError
    assert received.cause == "a.csv is bad in line 3"


@pytest.mark.parametrize("hint", [None, "do this"])
def test_an_error_that_was_never_raised_can_be_sent(hint: str | None) -> None:
    assert sent(VideoError("no such file", hint)).hint == hint
