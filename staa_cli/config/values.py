"""One setting: its name, type, and limits, and the way from what somebody wrote to its value."""

from __future__ import annotations

import math
import reprlib
import types
from dataclasses import dataclass, field
from typing import Any, Literal, Union, get_args, get_origin

from staa_cli.errors import ConfigError, UsageError
from staa_cli.registry import did_you_mean


def setting(default: Any, doc: str, **facts: Any) -> Any:
    """A dataclass field with its default, one line about it, and more that `Key` has a field for.

    Args:
        default: the value when nobody says anything.
        doc: one line for people.
        facts: fields of `Key`, by name.
    """
    return field(default=default, metadata={"doc": doc, **facts})


@dataclass(frozen=True, kw_only=True)
class Key:
    """One setting as the outside names it."""

    name: str
    """Dotted, for example ``sampling.frames``."""
    doc: str
    """One line for people."""
    type: Any
    default: Any
    flag: str
    """The option that sets it."""
    short: str | None = None
    """The same in one letter."""
    turns_off: bool = False
    """The option sets False: of something that is done unless told otherwise."""
    unset: str | None = None
    """What None stands for."""
    takes: str | None = None
    """What may be written, where the words of its type do not say it all."""
    unit: str | None = None
    """Of a number, in the plural."""
    metavar: str | None = None
    """Stands for the value in help, where its type says too little."""
    above: float | None = None
    """A number must be larger."""
    at_least: float | None = None
    """A number must not be smaller."""
    at_most: float | None = None
    """A number must not be larger."""
    shapes_result: bool = True
    """What comes out depends on it; else it says how the work is done, or where a file lies."""

    @property
    def variable(self) -> str:
        """The name in the environment."""
        return "STAA_" + self.name.replace(".", "_").upper()

    @property
    def line(self) -> str:
        """One line about it, with what it takes."""
        takes = self.takes or ", ".join(self.choices)
        return f"{self.doc}: {takes}" if takes else self.doc

    @property
    def choices(self) -> tuple[str, ...]:
        """The words that are allowed, empty where any value of the type is."""
        return tuple(
            word
            for option in _options(self.type)
            if get_origin(option) is Literal
            for word in get_args(option)
        )


def convert(key: Key, value: Any, where: str, error: type[UsageError] = ConfigError) -> Any:
    """Convert what was written for a key to its type, and check its limits.

    Raises:
        UsageError: the type given as `error`; its cause begins with `where`.
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
    """What a key takes, in words: ``a whole number of at least 1``."""
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
