"""One setting: its name, type, and limits, and the conversion of input to its type."""

from __future__ import annotations

import math
import reprlib
import types
from dataclasses import dataclass, field
from typing import Any, Literal, Union, get_args, get_origin

from staa_cli.errors import ConfigError, UsageError
from staa_cli.registry import did_you_mean


def setting(default: Any, doc: str, **facts: Any) -> Any:
    """A dataclass field with a default, one line of help, and other properties for `Key`.

    Args:
        default: default value.
        doc: one line of help.
        facts: other fields of `Key` by name.
    """
    return field(default=default, metadata={"doc": doc, **facts})


@dataclass(frozen=True, kw_only=True)
class Key:
    """One setting with its names, type, help, and limits."""

    name: str
    """Dotted key, for example ``sampling.frames``."""
    doc: str
    """One line of help."""
    type: Any
    default: Any
    flag: str
    """Option of the command line."""
    short: str | None = None
    """Short form of the option."""
    turns_off: bool = False
    """The option sets False, for a setting that is on by default."""
    unset: str | None = None
    """Meaning of None."""
    takes: str | None = None
    """Accepted values, if the type does not describe them completely."""
    unit: str | None = None
    """Unit of a number, in the plural."""
    metavar: str | None = None
    """Placeholder for the value in help; by default from the type."""
    above: float | None = None
    """Exclusive lower bound of a number."""
    at_least: float | None = None
    """Inclusive lower bound of a number."""
    at_most: float | None = None
    """Inclusive upper bound of a number."""
    shapes_result: bool = True
    """The result depends on it; False for settings of execution or file locations."""

    @property
    def variable(self) -> str:
        """Name of the environment variable."""
        return "STAA_" + self.name.replace(".", "_").upper()

    @property
    def line(self) -> str:
        """One line of help with the accepted values."""
        takes = self.takes or ", ".join(self.choices)
        return f"{self.doc}: {takes}" if takes else self.doc

    @property
    def choices(self) -> tuple[str, ...]:
        """The allowed words, empty if the type has no fixed set."""
        return tuple(
            word
            for option in _options(self.type)
            if get_origin(option) is Literal
            for word in get_args(option)
        )


def convert(key: Key, value: Any, where: str, error: type[UsageError] = ConfigError) -> Any:
    """Convert input for a setting to its type and check the limits.

    Raises:
        UsageError: invalid input; of the class `error`, with a cause that begins with `where`.
    """
    for option in _options(key.type):
        try:
            converted = _CONVERTERS[get_origin(option) or option](option, value)
        except (ValueError, TypeError):
            continue
        if _within(key, converted):
            return converted
    hint = did_you_mean(value, key.choices) if isinstance(value, str) else None
    raise error(f"{where}: expected {describe(key)}, not {reprlib.repr(value)}", hint)


def describe(key: Key) -> str:
    """The accepted values in words: ``a whole number of at least 1``."""
    words = [w for option in _options(key.type) if (w := _words(option))]
    if key.unit is not None:
        words[-1] += f" of {key.unit}"
    signs = (("above", key.above), ("of at least", key.at_least), ("at most", key.at_most))
    limits = [f"{sign} {bound:,.12g}" for sign, bound in signs if bound is not None]
    return " ".join([" or ".join(words), " and ".join(limits)]).strip()


def _words(option: Any) -> str:
    if get_origin(option) is Literal:
        return "one of " + ", ".join(get_args(option))
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    return names.get(option, "" if option is types.NoneType else "block numbers like 0,2")


def _options(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def _to_none(_: Any, value: Any) -> None:
    if value is not None:
        raise ValueError


def _to_choice(option: Any, value: Any) -> Any:
    if value not in get_args(option):
        raise ValueError
    return value


def _to_int(_: Any, value: Any) -> int:
    if isinstance(value, bool | float):
        raise ValueError
    return int(value)


def _to_float(_: Any, value: Any) -> float:
    number = float(value)
    if isinstance(value, bool) or not math.isfinite(number):
        raise ValueError
    return number


def _to_bool(_: Any, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    words = {"1": True, "true": True, "yes": True, "on": True}
    words |= {"0": False, "false": False, "no": False, "off": False}
    if str(value).lower() not in words:
        raise ValueError
    return words[str(value).lower()]


def _to_text(_: Any, value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise ValueError
    return str(value)


def _to_numbers(_: Any, value: Any) -> tuple[int, ...]:
    parts = value.split(",") if isinstance(value, str) else value
    numbers = tuple(_to_int(int, part) for part in (parts if isinstance(parts, list) else [parts]))
    if not numbers or min(numbers) < 0:
        raise ValueError
    return numbers


_CONVERTERS: dict[Any, Any] = {
    types.NoneType: _to_none,
    Literal: _to_choice,
    int: _to_int,
    float: _to_float,
    bool: _to_bool,
    str: _to_text,
    tuple: _to_numbers,
}


def _within(key: Key, value: Any) -> bool:
    if not isinstance(value, int | float):
        return True
    return (
        (key.above is None or value > key.above)
        and (key.at_least is None or value >= key.at_least)
        and (key.at_most is None or value <= key.at_most)
    )
