"""Conditions over the fields of a document, in a small language that is safe to take from anywhere.

For example::

    label_changed or temporal.shift_s > 0.15 and not old.temporal.flat

Python's parser reads the text, and a closed list of node types is then interpreted here: there are
fields, numbers, texts, arithmetic, comparisons, `and`, `or`, `not`, and four functions; nothing can
be called, imported, or assigned. Field names are checked against the types of the document when
the text is parsed, so that a misspelled one is an error even where it would not be reached.

Parts are evaluated from left to right, and only as far as needed. What cannot be evaluated (a field
that is null or absent, a text where a number is needed, a division by zero) is an error, never
false.
"""

from __future__ import annotations

import ast
import math
import re
import types
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Union, get_args, get_origin, get_type_hints

from msgspec import Struct

from staa_cli.errors import InputError, UsageError
from staa_cli.registry import did_you_mean
from staa_cli.schema import WARNINGS

MAX_CHARACTERS, MAX_DEPTH = 1000, 20
_WORDS = {"true": True, "false": False, "null": None}
_ORDERS: dict[type[ast.cmpop], Callable[[float, float], bool]] = {
    ast.Lt: lambda a, b: a < b,
    ast.LtE: lambda a, b: a <= b,
    ast.Gt: lambda a, b: a > b,
    ast.GtE: lambda a, b: a >= b,
}
_ARITHMETIC: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
}
_NODES = (
    *(ast.Constant, ast.Name, ast.Attribute, ast.Subscript, ast.Call, ast.Load),
    *(ast.BoolOp, ast.And, ast.Or, ast.UnaryOp, ast.Not, ast.USub, ast.BinOp, *_ARITHMETIC),
    *(ast.Compare, ast.Eq, ast.NotEq, ast.In, ast.NotIn, *_ORDERS),
)
_OF_CODES = ("code", "warnings", "warnings_added", "warnings_removed")
"""Fields with codes of warnings."""
_FUNCTIONS = "functions are abs(a), len(list), min(a, b), max(a, b), min(list), max(list)"
_LANGUAGE = "expressions have fields, numbers, texts, and, or, not, in, == != < <= > >=, + - * /"


@dataclass(frozen=True, slots=True)
class Expression:
    """A parsed expression."""

    text: str
    _tree: ast.expr

    @classmethod
    def parse(cls, text: str, kind: type[Struct], option: str) -> Expression:
        """Parse an expression over the fields of a type.

        Args:
            text: of the expression.
            kind: of the documents that it is evaluated on.
            option: of the command line that it came from, for errors.

        Raises:
            UsageError: it is not an expression of the language, it is too long or too deep, or a
                field does not exist; with the position, and the nearest field.
        """
        text = re.sub(r"\s*[\r\n]\s*", " ", text).strip()  # several lines, as in a file of YAML
        if len(text) > MAX_CHARACTERS:
            raise UsageError(f"{option}: longer than {MAX_CHARACTERS:,} characters")
        if not text:
            raise UsageError(f"{option}: expected an expression, not ''", _LANGUAGE)
        try:
            with warnings.catch_warnings():  # about what is refused below, such as odd literals
                warnings.simplefilter("ignore")
                tree = ast.parse(text, mode="eval").body
        except SyntaxError as error:
            position = error.offset or len(text) + 1  # none where the end is too early
            raise UsageError(
                f"{option}: cannot read {text!r} at character {position}", _LANGUAGE
            ) from error
        except (ValueError, MemoryError, RecursionError) as error:
            raise UsageError(f"{option}: cannot read the expression", _LANGUAGE) from error
        if _depth(tree) > MAX_DEPTH:
            raise UsageError(f"{option}: nested more than {MAX_DEPTH} deep")
        _Checker(text, kind, option).check(tree)
        return cls(text, tree)

    def holds(self, document: Struct) -> bool:
        """Whether the condition is true of a document.

        Raises:
            InputError: it cannot be evaluated.
        """
        return _boolean(self._tree, document)

    def number(self, document: Struct) -> float:
        """The value of an arithmetic expression.

        Raises:
            InputError: it cannot be evaluated, or it is not a number.
        """
        return _number(self._tree, document)


class _Checker:
    """Checks the nodes of an expression and the names of its fields."""

    def __init__(self, text: str, kind: type[Struct], option: str) -> None:
        self._text, self._kind, self._option = text, kind, option

    def check(self, node: ast.AST) -> None:
        """Check a node and everything below it."""
        if not isinstance(node, _NODES):
            raise self._error(node, f"{self._source(node)!r} is not allowed", _LANGUAGE)
        match node:
            case ast.Name() | ast.Attribute() | ast.Subscript():
                self._type_of(node)
            case ast.Constant(value=value):
                self._check_constant(node, value)
            case ast.Compare(left=left, comparators=others):
                for one, other in zip([left, *others], others, strict=False):
                    self._check_code(one, other)
                    self._check_code(other, one)
                self._check_inner(node)
            case ast.Call(func=ast.Name(id="abs" | "len"), keywords=[], args=[argument]):
                self.check(argument)
            case ast.Call(func=ast.Name(id="min" | "max"), keywords=[], args=[_, *_] as arguments):
                for argument in arguments:
                    self.check(argument)
            case ast.Call():
                raise self._error(node, f"{self._source(node)!r} is not allowed", _FUNCTIONS)
            case _:
                self._check_inner(node)

    def _check_inner(self, node: ast.AST) -> None:
        for inner in ast.iter_child_nodes(node):
            if not isinstance(inner, _NODES) and not hasattr(inner, "col_offset"):
                raise self._error(node, f"{self._source(node)!r} is not allowed", _LANGUAGE)
            self.check(inner)

    def _check_code(self, text: ast.expr, field: ast.expr) -> None:
        """Check a text that is compared with codes of warnings: a wrong one is never there."""
        while isinstance(field, ast.Subscript):
            field = field.value
        name = field.attr if isinstance(field, ast.Attribute) else getattr(field, "id", "")
        if name in _OF_CODES and isinstance(text, ast.Constant) and isinstance(text.value, str):
            code = text.value
            if code not in WARNINGS:
                hint = did_you_mean(code, WARNINGS) or f"warnings: {', '.join(sorted(WARNINGS))}"
                raise self._error(text, f"no warning has the code {code!r}", hint)

    def _check_constant(self, node: ast.Constant, value: object) -> None:
        if not isinstance(value, bool | int | float | str | None):
            raise self._error(node, f"{self._source(node)!r} is not allowed", _LANGUAGE)
        try:
            finite = not isinstance(value, int | float) or math.isfinite(value)
        except OverflowError:
            finite = False
        if not finite:
            raise self._error(node, "the number is too large")

    def _type_of(self, node: ast.expr) -> Any:
        """The type of a field; `Any` where the document does not say."""
        match node:
            case ast.Name(id=name):
                return None if name in _WORDS else self._field(self._kind, name, node)
            case ast.Attribute(value=base, attr=name):
                return self._field(self._type_of(base), name, node)
            case ast.Subscript(value=base, slice=ast.Constant(value=int(index))) if (
                index is not True and index is not False
            ):
                kind = self._type_of(base)
                if kind is not Any and get_origin(kind) not in (list, tuple):
                    raise self._error(base, f"{self._source(base)!r} is not a list")
                return Any if kind is Any else _plain_type(get_args(kind)[0])
        raise self._error(node, f"{self._source(node)!r} is not a field", _LANGUAGE)

    def _field(self, kind: Any, name: str, node: ast.expr) -> Any:
        if get_origin(kind) in (list, tuple):  # a field of each
            return list[self._field(_plain_type(get_args(kind)[0]), name, node)]  # type: ignore[misc]
        if kind is Any or get_origin(kind) is dict:
            return Any
        if not (isinstance(kind, type) and issubclass(kind, Struct)):
            raise self._error(node, f"{self._source(node)!r} does not exist: it has no fields")
        known = get_type_hints(kind)
        if name not in known:
            raise self._error(
                node,
                f"unknown field {self._source(node)!r}",
                did_you_mean(name, known) or f"fields: {', '.join(known)}",
            )
        return _plain_type(known[name])

    def _source(self, node: ast.AST) -> str:
        """The text of a node."""
        return ast.get_source_segment(self._text, node) or type(node).__name__.lower()

    def _error(self, node: ast.AST, cause: str, hint: str | None = None) -> UsageError:
        offset: int | None = getattr(node, "col_offset", None)
        if offset is None:
            return UsageError(f"{self._option}: {cause}", hint)
        if isinstance(node, ast.Attribute):  # the last name is wrong, not the whole
            offset = (node.end_col_offset or 0) - len(node.attr.encode())
        position = len(self._text.encode()[:offset].decode()) + 1
        return UsageError(f"{self._option}: {cause} at character {position}", hint)


def _depth(tree: ast.expr) -> int:
    """Number of levels of a tree, counted without recursion, as a tree may be too deep for it."""
    level: list[ast.AST] = [tree]
    depth = 0
    while level:
        level = [inner for node in level for inner in ast.iter_child_nodes(node)]
        depth += 1
    return depth


def _plain_type(kind: Any) -> Any:
    """A type without the None that an absent or null field has."""
    if get_origin(kind) in (Union, types.UnionType):
        present = [option for option in get_args(kind) if option is not type(None)]
        return present[0] if len(present) == 1 else Any
    return kind


def _value(node: ast.expr, document: Struct) -> Any:
    """The value of a node; None where a field is null."""
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name):
            return _WORDS[name] if name in _WORDS else getattr(document, name)
        case ast.Attribute(value=base, attr=name):
            return _field(_known(base, document), name, node)
        case ast.Subscript(value=base, slice=ast.Constant(value=index)):
            items = _known(base, document)
            if not isinstance(items, list | tuple) or not isinstance(index, int):
                raise InputError(f"{ast.unparse(base)} is {_kind(items)}, not a list")
            if index >= len(items):
                raise InputError(f"{ast.unparse(node)} is missing")
            return items[index]
        case ast.BoolOp(op=op, values=values):
            stop = isinstance(op, ast.Or)
            return next((stop for item in values if _boolean(item, document) is stop), not stop)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return not _boolean(operand, document)
        case ast.UnaryOp(operand=operand):
            return -_number(operand, document)
        case ast.BinOp(left=left, op=op, right=right):
            return _calculated(node, op, _number(left, document), _number(right, document))
        case ast.Compare(left=left, ops=ops, comparators=others):
            pairs = zip([left, *others], ops, others, strict=False)
            return all(_compared(one, op, other, document) for one, op, other in pairs)
        case ast.Call(func=ast.Name(id=name), args=arguments):
            return _called(name, arguments, document)
    raise AssertionError(f"{type(node).__name__} is not a node of the language")


def _known(node: ast.expr, document: Struct) -> Any:
    value = _value(node, document)
    if value is None:
        raise InputError(f"{ast.unparse(node)} is null")
    return value


def _number(node: ast.expr, document: Struct) -> float:
    value = _known(node, document)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"{ast.unparse(node)} is {_kind(value)}, not a number")
    return value


def _boolean(node: ast.expr, document: Struct) -> bool:
    value = _known(node, document)
    if not isinstance(value, bool):
        raise InputError(f"{ast.unparse(node)} is {_kind(value)}, not true or false")
    return value


def _items(node: ast.expr, document: Struct) -> Sequence[Any]:
    value = _known(node, document)
    if not isinstance(value, list | tuple):
        raise InputError(f"{ast.unparse(node)} is {_kind(value)}, not a list")
    return value


def _field(value: Any, name: str, node: ast.expr) -> Any:
    """A field of an object, or of every object in a list."""
    if isinstance(value, list | tuple):
        return [_field(item, name, node) for item in value]
    if isinstance(value, Mapping) and name in value:
        return value[name]
    if isinstance(value, Struct):
        return getattr(value, name)
    raise InputError(f"{ast.unparse(node)} is missing")


def _calculated(node: ast.expr, op: ast.operator, left: float, right: float) -> float:
    try:
        value = _ARITHMETIC[type(op)](left, right)
        finite = math.isfinite(value)
    except (ZeroDivisionError, OverflowError):
        finite = False
    if not finite:
        raise InputError(f"{ast.unparse(node)} is not a finite number")
    return value


def _compared(left: ast.expr, op: ast.cmpop, right: ast.expr, document: Struct) -> bool:
    if type(op) in _ORDERS:
        return _ORDERS[type(op)](_number(left, document), _number(right, document))
    if isinstance(op, ast.In | ast.NotIn):
        one = _known(left, document)
        found = [_equal(one, item, right) for item in _items(right, document)]
        return any(found) is isinstance(op, ast.In)
    if _is_null(left) or _is_null(right):
        equal = _value(left, document) is None and _value(right, document) is None
    else:
        equal = _equal(_known(left, document), _known(right, document), right)
    return equal is isinstance(op, ast.Eq)


def _is_null(node: ast.expr) -> bool:
    match node:
        case ast.Name(id="null") | ast.Constant(value=None):
            return True
    return False


def _equal(one: Any, other: Any, node: ast.expr) -> bool:
    """Whether two values are equal.

    Raises:
        InputError: they are of different kinds, or not numbers, texts, or booleans.
    """
    kinds = _kind(one), _kind(other)
    if kinds[0] != kinds[1] or not isinstance(one, bool | int | float | str):
        raise InputError(f"{ast.unparse(node)} is {kinds[1]} and is compared with {kinds[0]}")
    return bool(one == other)


def _called(name: str, arguments: list[ast.expr], document: Struct) -> float:
    if name == "abs":
        return abs(_number(arguments[0], document))
    if name == "len":
        return len(_items(arguments[0], document))
    numbers = list(_numbers(arguments, document))
    if not numbers:
        raise InputError(f"{ast.unparse(arguments[0])} is empty")
    return max(numbers) if name == "max" else min(numbers)


def _numbers(arguments: list[ast.expr], document: Struct) -> Iterator[float]:
    """The numbers that are given, or those in the list that is given alone."""
    if len(arguments) > 1:
        yield from (_number(argument, document) for argument in arguments)
        return
    for item in _items(arguments[0], document):
        if isinstance(item, bool) or not isinstance(item, int | float):
            raise InputError(f"{ast.unparse(arguments[0])} has {_kind(item)} in it, not a number")
        yield item


def _kind(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "a text"
        case list() | tuple():
            return "a list"
    return "an object"
