"""One setting: its name, type, and limits, and the way from what somebody wrote to its value."""

from __future__ import annotations

import math
import reprlib
import types
from dataclasses import dataclass, field
from typing import Any, Literal, Union, get_args, get_origin

from staa_cli.errors import ConfigError, UsageError
from staa_cli.registry import did_you_mean


def setting(
    default: Any,
    doc: str,
    *,
    unset: str | None = None,
    flag: str | None = None,
    above: float | None = None,
    at_least: float | None = None,
    at_most: float | None = None,
    shapes_result: bool = True,
) -> Any:
    """A dataclass field with its default, one line about it, and what limits its value.

    Args:
        default: the value when nobody says anything.
        doc: one line for people.
        unset: what None stands for.
        flag: the option that sets it, where that is not the field's own name.
        above: a number must be larger.
        at_least: a number must not be smaller.
        at_most: a number must not be larger.
        shapes_result: whether what comes out depends on it; else it says how the work is done, or
            where a file lies.
    """
    bounds = {"above": above, "at_least": at_least, "at_most": at_most}
    return field(
        default=default,
        metadata={
            "doc": doc,
            "unset": unset,
            "flag": flag,
            "shapes_result": shapes_result,
            **bounds,
        },
    )


@dataclass(frozen=True)
class Key:
    """One setting as the outside names it."""

    name: str
    """Dotted, for example ``sampling.frames``."""
    doc: str
    type: Any
    default: Any
    unset: str | None
    """What None stands for."""
    flag: str
    above: float | None
    at_least: float | None
    at_most: float | None
    shapes_result: bool

    @property
    def variable(self) -> str:
        """The name in the environment."""
        return "STAA_" + self.name.replace(".", "_").upper()

    @property
    def line(self) -> str:
        """One line about it, with the words it takes."""
        if not self.choices or self.choices[0] in self.doc:
            return self.doc
        return f"{self.doc}: {', '.join(self.choices)}"

    @property
    def in_seconds(self) -> bool:
        """Whether it is a time."""
        return self.doc.endswith("in seconds")

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
    """What somebody wrote for a key in, the typed and checked value out.

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
    if key.in_seconds:
        words[-1] += " of seconds"
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
